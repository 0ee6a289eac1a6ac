package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/routing/boltstore"
)

// never is when a process is killed that isn't to be.
const never = time.Duration(math.MaxInt64)

// program runs the demo as a process of its own, kills it after that long if it is still there, and returns its exit code and what it printed. The code of one that
// was killed is -1.
func program(t *testing.T, killAfter time.Duration, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdout, cmd.Stderr = &out, &log
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(killAfter, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // its code says it
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

// settledLines returns the tasks that a process has said are settled. Its last line may be cut off.
func settledLines(stdout string) (ids []string) {
	for line := range strings.Lines(stdout) {
		var l taskLine
		if json.Unmarshal([]byte(line), &l) == nil && l.Type == "task" {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// The demo is killed at random moments, over and over, and resumed each time. In the end everything is as if it had run through.
func TestKilledAndResumed(t *testing.T) {
	t.Parallel()
	rounds := 1
	if soak, err := strconv.Atoi(os.Getenv("MISTERSMITH_SOAK")); err == nil && soak > 0 {
		rounds *= soak
	}
	const input = "goroot:encoding/json"
	for round := range 2 * rounds {
		level, seed := []string{"mild", "wild"}[round%2], fmt.Sprint(round/2+1)
		t.Run(level+" seed "+seed, func(t *testing.T) {
			t.Parallel()
			reference, out := t.TempDir(), t.TempDir()
			start := time.Now()
			code, _, stderr := program(t, never, "--input", input, "--chaos", level, "--seed", seed, "--out", reference)
			require.Equal(t, summary.ExitOK, code, stderr)
			whole := time.Since(start)

			dice := rand.New(rand.NewPCG(uint64(round), 7))
			store := filepath.Join(t.TempDir(), "store.db")
			told := map[string]int{}
			kills, finished := 0, false
			var stdout string
			for !finished || kills == 0 {
				if finished { // before its first kill: the machine has become quicker
					store, out, whole = filepath.Join(t.TempDir(), "store.db"), t.TempDir(), whole/2
					clear(told)
				}
				args := []string{"run", "--store", store, "--resume", "--json"}
				if len(told) == 0 { // from then on the store knows what it is about
					args = append(args, "--input", input, "--chaos", level, "--seed", seed, "--out", out)
				}
				// The first kills come soonest: what is left to do after one takes less time than the whole.
				after := time.Duration(float64(whole) * dice.Float64() * min(0.08*float64(int(1)<<kills), 0.6))
				if kills >= 5 {
					after = never
				}
				code, stdout, stderr = program(t, after, args...)
				for _, id := range settledLines(stdout) {
					told[id]++
				}
				if finished = code != -1; !finished {
					kills++
				}
			}
			require.Equal(t, summary.ExitOK, code, stderr)
			s := summaryOf(t, stdout)
			require.Equal(t, summary.VerdictOK, s.Verdict)
			require.Equal(t, s.Tasks.Accepted, s.Tasks.Done+s.Tasks.Quarantined+s.Tasks.Cancelled+s.Tasks.Expired)
			require.Equal(t, s.Tasks.Quarantined, len(s.Planted["poison"]))
			require.Equal(t, s.Tasks.Cancelled, len(s.Planted["cancel"]))
			require.Equal(t, s.Tasks.Expired, len(s.Planted["expire"]))
			for id, n := range told {
				require.Equal(t, 1, n, "task %s was told to be settled", id)
			}
			t.Logf("%d kills, %d attempts, %d of %d tasks told", kills, s.Attempts, len(told), s.Tasks.Accepted)

			code, stdout, stderr = demo("verify", out)
			require.Equal(t, summary.ExitOK, code, stdout+stderr)
			for _, name := range []string{books.ResultsFile, books.RunFile, reportFile} {
				a, err := os.ReadFile(filepath.Join(reference, name))
				require.NoError(t, err)
				b, err := os.ReadFile(filepath.Join(out, name))
				require.NoError(t, err)
				require.Equal(t, string(a), string(b), name)
			}
			code, stdout, stderr = demo("--store", store, "--resume", "--json", "--out", t.TempDir())
			require.Equal(t, summary.ExitOK, code, stderr)
			require.Equal(t, s.Tasks, summaryOf(t, stdout).Tasks, "there is nothing left to do")
			require.Equal(t, s.Attempts, summaryOf(t, stdout).Attempts)
			require.Empty(t, settledLines(stdout))
		})
	}
}

func TestAStoreThatIsThereIsNotUsedUnasked(t *testing.T) {
	t.Parallel()
	dir := project(t, oneFile)
	store := filepath.Join(t.TempDir(), "store.db")
	code, _, stderr := demo("--input", dir, "--store", store, "--resume", "--out", t.TempDir())
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Contains(t, stderr, "there is no such store: starting fresh")

	for want, args := range map[string][]string{
		"go on with it by --resume":                      {},
		"it is of a run with --seed 1":                   {"--resume", "--seed", "2"},
		"it is of a run with --chaos mild":               {"--resume", "--chaos", "off"},
		"is of a run on " + dir + ", not on " + "goroot": {"--resume", "--input", "goroot:encoding/json"},
	} {
		code, stdout, stderr := demo(append(args, "--store", store, "--out", t.TempDir())...)
		require.Equal(t, summary.ExitUsage, code, stderr)
		require.Empty(t, stdout)
		require.Contains(t, stderr, want)
	}

	other, err := boltstore.Open(store, boltstore.Options{})
	require.NoError(t, err)
	code, _, stderr = demo("--store", store, "--resume", "--out", t.TempDir())
	require.Equal(t, summary.ExitUsage, code)
	require.Contains(t, stderr, "in use by another process")
	require.NoError(t, other.Close())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "one.go"), []byte("package one\n"), 0o600))
	code, _, stderr = demo("--store", store, "--resume", "--out", t.TempDir())
	require.Equal(t, summary.ExitUsage, code)
	require.Contains(t, stderr, "is not what it was when the run began")

	data, err := os.ReadFile(store)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(store, data[:len(data)/2], 0o600))
	code, _, stderr = demo("--store", store, "--resume", "--out", t.TempDir())
	require.Equal(t, summary.ExitUsage, code)
	require.Contains(t, stderr, "corrupt")
}

// An interrupted run with a store keeps what isn't settled, and the next one settles it.
func TestInterruptedAndResumed(t *testing.T) {
	t.Parallel()
	out, store := t.TempDir(), filepath.Join(t.TempDir(), "store.db")
	busy := newBusyModel(t)
	code, stdout, stderr := demo(busy.asked("--input", "goroot:go/types", "--store", store, "--timeout", "300ms", "--out", out, "--json")...)
	require.Equal(t, summary.ExitTimeout, code, stderr)
	s := summaryOf(t, stdout)
	require.Zero(t, s.Tasks.Lost)
	require.LessOrEqual(t, s.Tasks.Cancelled, len(s.Planted["cancel"]), "what waits is kept")
	busy.free.Store(true)
	code, stdout, stderr = demo("--store", store, "--resume", "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	s = summaryOf(t, stdout)
	require.Equal(t, s.Tasks.Accepted, s.Tasks.Done+s.Tasks.Quarantined+s.Tasks.Cancelled+s.Tasks.Expired)
	require.Equal(t, s.Tasks.Cancelled, len(s.Planted["cancel"]))
	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
}
