package view

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
)

var update = flag.Bool("update", false, "write the golden files anew")

func pooled(name string, n int, change func(i int, n *actors.NodeSnapshot)) (pool []actors.NodeSnapshot) {
	for i := range n {
		a := actors.NodeSnapshot{ID: fmt.Sprintf("%s-%d", name, i+1), Kind: actors.KindAgent, Status: actors.StatusRunning}
		if change != nil {
			change(i, &a)
		}
		pool = append(pool, a)
	}
	return pool
}

// busy is a run in full swing.
func busy() Model {
	node := func(id string, kind actors.Kind, children ...actors.NodeSnapshot) actors.NodeSnapshot {
		return actors.NodeSnapshot{ID: id, Kind: kind, Status: actors.StatusRunning, Children: children}
	}
	supervisor := func(id, strategy string, children ...actors.NodeSnapshot) actors.NodeSnapshot {
		s := node(id, actors.KindSupervisor, children...)
		s.Strategy = strategy
		return s
	}
	llm := node("llm", actors.KindBreaker)
	llm.Breaker = &breaker.Snapshot{State: breaker.Closed}
	drill := node("drill-llm", actors.KindBreaker)
	drill.Breaker = &breaker.Snapshot{State: breaker.Open, Totals: breaker.Totals{Rejected: 24}}
	index := node("index", actors.KindActor)
	index.Queue, index.Dropped = 4, 2
	glossary := node("glossary", actors.KindActor)
	glossary.Status, glossary.Restarts = actors.StatusBackingOff, 1
	tree := supervisor("root", "one_for_one", llm,
		supervisor("research", "one_for_one", pooled("summarizer", 12, func(i int, n *actors.NodeSnapshot) {
			n.Restarts = i % 2
			n.Status = actors.Status(i % 7)
		})...),
		supervisor("code", "rest_for_one", append([]actors.NodeSnapshot{index}, pooled("metrics", 4, nil)...)...),
		supervisor("review", "one_for_all", append([]actors.NodeSnapshot{glossary}, pooled("reviewer", 1, nil)...)...),
		supervisor("drills", "one_for_one", supervisor("outage", "one_for_one", append([]actors.NodeSnapshot{drill}, pooled("caller", 2, nil)...)...)))
	m := Model{
		Title: "auditing goroot:net/http, seed 1, chaos mild", Elapsed: 83 * time.Second, Total: 116, Settled: 84, Running: 8, Waiting: 24, Attempts: 150,
		Restarts: 7, Quarantined: 2, Failed: 1, Rate: 31.4, Left: 1020 * time.Millisecond, Tree: tree,
	}
	for i := range 12 {
		m.Events = append(m.Events, Event{At: time.Duration(i) * time.Second, Grave: i%3 == 0, Text: fmt.Sprintf("root/research/summarizer-%d failed: panic: planned crash", i)})
	}
	return m
}

func TestScreens(t *testing.T) {
	cut := busy()
	cut.Note, cut.Left = "interrupted: finishing what agents are working on; interrupt again to leave at once", -1
	over := busy()
	over.Settled, over.Events = over.Total, nil
	for name, screen := range map[string]string{
		"wide":    busy().Render(120, 40, Look{}),
		"usual":   busy().Render(80, 24, Look{}),
		"narrow":  busy().Render(40, 30, Look{}),
		"low":     busy().Render(80, 12, Look{}),
		"tiny":    busy().Render(20, 4, Look{}),
		"ascii":   busy().Render(80, 24, Look{ASCII: true}),
		"colour":  busy().Render(80, 24, Look{Colour: true}),
		"note":    cut.Render(80, 24, Look{}),
		"over":    over.Render(80, 24, Look{}),
		"nothing": Model{Title: "auditing", Total: 3, Left: -1}.Render(80, 24, Look{}),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(path, []byte(screen+"\n"), 0o600))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(want), screen+"\n", "run with -update if that is as it should be")
		})
	}
}

// Whatever the terminal's size, the screen fits it.
func TestAnySizeFits(t *testing.T) {
	full, empty := busy(), Model{}
	full.Note = strings.Repeat("long ", 50)
	for width := range 131 {
		for _, height := range []int{0, 1, 2, 3, 4, 5, 6, 8, 12, 24, 45} {
			for _, look := range []Look{{}, {Colour: true}, {ASCII: true}} {
				for _, m := range []Model{full, empty} {
					screen := m.Render(width, height, look)
					lines := strings.Split(screen, "\n")
					require.LessOrEqual(t, len(lines), max(height, 1))
					for _, line := range lines {
						require.LessOrEqual(t, ansi.StringWidth(line), width, "%dx%d: %q", width, height, line)
					}
				}
			}
		}
	}
}

func TestScreensKeepToTheirLook(t *testing.T) {
	require.NotContains(t, busy().Render(80, 24, Look{}), "\x1b")
	foreign := busy()
	foreign.Title, foreign.Note, foreign.Tree.ID = "prüfe", "größe", "wurzel-ü"
	foreign.Events = []Event{{Text: "…"}}
	for _, r := range foreign.Render(80, 40, Look{ASCII: true}) {
		require.Less(t, r, rune(128))
	}
	require.Contains(t, busy().Render(80, 24, Look{Colour: true}), "\x1b[32m")
}

// Nothing that comes from outside can move the cursor or colour the screen.
func TestScreensAreClean(t *testing.T) {
	m := busy()
	bad := "a\x1b[2J\u202eb\x1b]0;title\x07c\r\nd\x00\xff"
	m.Title, m.Note, m.Tree.ID = bad, bad, bad
	m.Events = []Event{{Text: bad + errors.New(bad).Error()}}
	screen := m.Render(200, 40, Look{})
	for _, r := range screen {
		require.True(t, r == '\n' || r >= ' ' && r != '\u202e', "%q", screen)
	}
	require.Contains(t, screen, "a bc d")
}

func TestPace(t *testing.T) {
	var p Pace
	require.Zero(t, p.Rate())
	require.Equal(t, time.Duration(-1), p.Left(1))
	require.Zero(t, p.Left(0))
	for i := range 100 { // ten a second, and then nothing
		p.Note(time.Duration(i)*100*time.Millisecond, min(i, 50))
	}
	require.Zero(t, p.Rate())
	require.Equal(t, time.Duration(-1), p.Left(10))
	require.Less(t, len(p.samples), 40, "what is long ago is forgotten")
	p = Pace{}
	p.Note(0, 0)
	p.Note(0, 5)
	require.Zero(t, p.Rate(), "no time has passed")
	p.Note(2*time.Second, 20)
	require.InDelta(t, 10, p.Rate(), 0.001)
	require.Equal(t, 3*time.Second, p.Left(30))
}
