package actors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "run with -update if that is as it should be")
}

var (
	echoType  = routing.NewType[string, string]("echo")
	shoutType = routing.NewType[string, string]("shout")
)

func echo(_ context.Context, s string) (string, error) { return s, nil }

func nothing() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) }

// office is a spec with some of everything.
func office() actors.Supervisor {
	return actors.Supervisor{
		ID:       "root",
		Strategy: strategies.OneForAll(strategies.MaxRestarts(1, time.Minute)),
		Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Supervisor{
				ID:           "research",
				Strategy:     strategies.OneForOne(strategies.MaxRestarts(25, time.Hour).WithBackoff(strategies.Exponential(10*time.Millisecond, time.Second))),
				AutoShutdown: actors.AutoShutdownAny,
				Children: []actors.Child{
					actors.Pool(4, actors.Agent("reader", echoType, echo)),
					actors.Agent("shouter", shoutType, echo).With(actors.Lifecycle{Restart: actors.Transient, Significant: true, Shutdown: actors.BrutalKill}),
				},
				Lifecycle: actors.Lifecycle{Restart: actors.Transient},
			},
			actors.Supervisor{ID: "guests", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Template: actors.Actor("guest", nothing).With(actors.Lifecycle{Restart: actors.Temporary})},
			actors.Supervisor{
				ID:       "pair",
				Strategy: strategies.RestForOne(strategies.NeverRestart().WithWhenSpent(strategies.SpentStopChild)),
				Children: []actors.Child{actors.Pool(2, actors.Agent("twin", echoType, echo))},
			},
			actors.Actor(`odd "name" <b>\#1`+"\n`x`", nothing),
		},
	}
}

// busy is the same at a bad moment.
func busy(t *testing.T) actors.NodeSnapshot {
	s, err := actors.Describe(office())
	require.NoError(t, err)
	var run func(n *actors.NodeSnapshot)
	run = func(n *actors.NodeSnapshot) {
		n.Status, n.Incarnation, n.Template = actors.StatusRunning, 1, nil
		for i := range n.Children {
			run(&n.Children[i])
		}
	}
	run(&s)
	at := time.Date(2031, 5, 4, 3, 2, 1, 0, time.UTC)
	llm, research, guests := &s.Children[0], &s.Children[1], &s.Children[2]
	llm.Breaker = &breaker.Snapshot{Name: "root/llm", State: breaker.Open, Since: at, Totals: breaker.Totals{Succeeded: 10, Failed: 5, Rejected: 24, Opened: 1}}
	reader := &research.Children[1]
	reader.Status, reader.Incarnation, reader.Restarts, reader.Failures, reader.Recovery = actors.StatusBackingOff, 3, 2, 3, 12*time.Millisecond
	reader.History = []actors.Failure{{Time: at, Incarnation: 3, Class: actors.Crash, Err: errors.New("panic: \x1b[31mno\nway " + strings.Repeat("x", 100)), Event: 7}}
	reader.Queue = 2
	guests.Children = []actors.NodeSnapshot{{ID: "anna", Path: "root/guests/anna", Kind: actors.KindActor, Status: actors.StatusAbandoned, Incarnation: 1, Dropped: 1}}
	return s
}

func write(t *testing.T, with func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, with(&b))
	return b.String()
}

func TestPictures(t *testing.T) {
	planned, err := actors.Describe(office())
	require.NoError(t, err)
	for name, s := range map[string]actors.NodeSnapshot{"planned": planned, "busy": busy(t)} {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".txt", write(t, s.WriteText))
			golden(t, name+".ascii.txt", write(t, s.WriteASCII))
			golden(t, name+".dot", write(t, s.WriteDOT))
			golden(t, name+".mmd", write(t, s.WriteMermaid))
			golden(t, name+".json", write(t, s.WriteJSON))
		})
	}
}

// Nothing in a name or an error can write outside of its place.
func TestPicturesEscapeWhatTheyShow(t *testing.T) {
	s := busy(t)
	for _, text := range []string{write(t, s.WriteText), write(t, s.WriteASCII), write(t, s.WriteDOT), write(t, s.WriteMermaid)} {
		assert.NotContains(t, text, "\x1b")
		assert.NotContains(t, text, "no\nway")
	}
	for _, r := range write(t, s.WriteASCII) {
		require.Less(t, r, rune(128))
	}
	assert.NotContains(t, write(t, s.WriteMermaid), "<b>")
	assert.NotContains(t, write(t, s.WriteDOT), ` "name"`)
	require.True(t, json.Valid([]byte(write(t, s.WriteJSON))))
}

// Nor can what types and strategies are called, or text that runs from right to left.
func TestPicturesKeepDirectionAndTerminal(t *testing.T) {
	s := actors.NodeSnapshot{ID: "a\u202eb", Kind: actors.KindSupervisor, Strategy: "mine\x1b[2J", Children: []actors.NodeSnapshot{
		{ID: "c", Kind: actors.KindAgent, Types: []string{"evil\x1b[2J", "\u2067back"}},
	}}
	for _, text := range []string{write(t, s.WriteText), write(t, s.WriteASCII), write(t, s.WriteDOT), write(t, s.WriteMermaid)} {
		for _, bad := range []string{"\x1b", "\u202e", "\u2067"} {
			assert.NotContains(t, text, bad)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestPicturesReportWriteErrors(t *testing.T) {
	s := busy(t)
	for _, with := range []func(io.Writer) error{s.WriteText, s.WriteASCII, s.WriteDOT, s.WriteMermaid, s.WriteJSON} {
		require.ErrorIs(t, with(brokenPipe{}), io.ErrClosedPipe)
	}
}

func TestDescribeChecksAsStartDoes(t *testing.T) {
	bad := actors.Supervisor{ID: "a/b", Children: []actors.Child{actors.Actor("", nil)}}
	_, described := actors.Describe(bad, actors.WithAbandonLimit(-1))
	_, started := actors.Start(t.Context(), bad, actors.WithAbandonLimit(-1))
	require.Error(t, described)
	require.Equal(t, started.Error(), described.Error())
	var faults *actors.SpecError
	require.ErrorAs(t, described, &faults)
	require.Len(t, faults.Faults, 4)
}

func TestDescribeShowsTheTreesDefaultPolicy(t *testing.T) {
	s, err := actors.Describe(actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "sub"}}},
		actors.WithPolicy(actors.KindSupervisor, strategies.MaxRestarts(9, time.Minute)))
	require.NoError(t, err)
	require.Equal(t, "root    one_for_one, 3 restarts in 5s\n└─ sub  one_for_one, 9 restarts in 1m\n", write(t, s.WriteText))
}

// What runs is drawn like what was planned, and differs only in what happened.
func TestARunningTreeIsThePlannedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Pool(3, actors.Agent("reader", echoType, echo)),
			actors.Actor("fragile", func() actor.Actor {
				return actor.ReceiveFunc(func(ctx actor.Context) {
					if _, ok := ctx.Message().(string); ok {
						panic("broken")
					}
				})
			}),
		}}
		tree, err := actors.Start(t.Context(), spec)
		require.NoError(t, err)
		defer func() { require.NoError(t, tree.Stop(context.Background())) }()
		require.Equal(t, "root                    running  one_for_one, 3 restarts in 5s\n"+
			"├─ reader-1 … reader-3  running  agent of echo\n"+
			"└─ fragile              running  actor\n", write(t, tree.Snapshot().WriteText))
		tree.ActorSystem().Root.Send(tree.PID("root/fragile"), "now")
		synctest.Wait()
		require.Contains(t, write(t, tree.Snapshot().WriteText), "└─ fragile              running  actor; 1 restart; 1 failure\n")
	})
}

func ExampleDescribe() {
	picture, err := actors.Describe(actors.Supervisor{
		ID:       "root",
		Strategy: strategies.OneForOne(strategies.MaxRestarts(10, time.Minute)),
		Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Pool(3, actors.Agent("shouter", shoutType, echo)),
		},
	})
	if err != nil {
		panic(err)
	}
	_ = picture.WriteText(os.Stdout)
	// Output:
	// root                      one_for_one, 10 restarts in 1m
	// ├─ llm                    breaker
	// └─ shouter-1 … shouter-3  agent of shout
}
