package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// asProgram makes the test binary behave as the demo, for tests that need a process.
const asProgram = "MISTERSMITH_DEMO_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// demo runs a command line and returns its exit code and what it printed.
func demo(args ...string) (code int, stdout, stderr string) {
	var out, log bytes.Buffer
	code = execute(append([]string{"demo"}, args...), &out, &log)
	return code, out.String(), log.String()
}

// summaryOf parses the last line of a run with --json.
func summaryOf(t *testing.T, stdout string) summary.Summary {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	for _, line := range lines {
		require.True(t, json.Valid([]byte(line)), "not JSON: %s", line)
	}
	var s summary.Summary
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &s))
	require.Equal(t, "summary", s.Type)
	return s
}

func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

var oneFile = map[string]string{"one.go": "// Package one is alone.\npackage one\n\nfunc F(a bool) int {\n\tif a {\n\t\treturn 1\n\t}\n\treturn 0\n}\n"}

// Every planned mechanism happens even on a single file, nothing is lost, and verify agrees.
func TestRunOnOneFile(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	code, stdout, stderr := demo("--input", project(t, oneFile), "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	s := summaryOf(t, stdout)
	require.Equal(t, summary.VerdictOK, s.Verdict)
	require.Equal(t, []string{"drill:poison-1", "drill:poison-2"}, s.Planted["poison"])
	require.Equal(t, 2, s.Tasks.Quarantined)
	require.Equal(t, s.Tasks.Accepted, s.Tasks.Done+s.Tasks.Quarantined+s.Tasks.Cancelled+s.Tasks.Expired)
	require.Len(t, s.Drills, 19)
	for mechanism, d := range s.Drills {
		require.Positive(t, d.Planned, mechanism)
		require.GreaterOrEqual(t, d.Seen, d.Planned, mechanism)
	}
	require.GreaterOrEqual(t, s.Restarts, 6, "each poison task crashes three agents")
	require.Positive(t, s.Breaker.Opened)
	require.Positive(t, s.Breaker.Rejected)
	require.Positive(t, s.Breaker.Closed)
	require.Zero(t, s.Tasks.Lost+s.Tasks.RecordedTwice+s.Breaker.SentWhileOpen+s.Model.RetriedByTwoLayers+s.Model.BeforeRetryAfter)
	require.Positive(t, s.Model.Requests)

	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
}

// Whatever the seed, every level ends well, and its books are right.
func TestEveryLevelWithSomeSeeds(t *testing.T) {
	t.Parallel()
	seeds := 2
	if soak, err := strconv.Atoi(os.Getenv("MISTERSMITH_SOAK")); err == nil && soak > 0 {
		seeds *= soak
	}
	for _, level := range []string{"off", "mild", "wild"} {
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s seed %d", level, seed+2), func(t *testing.T) {
				t.Parallel()
				out := t.TempDir()
				code, stdout, stderr := demo("--input", "goroot:encoding/json", "--chaos", level, "--seed", fmt.Sprint(seed+2), "--out", out, "--json")
				require.Equal(t, summary.ExitOK, code, stdout+stderr)
				for mechanism, d := range summaryOf(t, stdout).Drills {
					require.GreaterOrEqual(t, d.Seen, d.Planned, mechanism)
				}
				code, stdout, stderr = demo("verify", out)
				require.Equal(t, summary.ExitOK, code, stdout+stderr)
			})
		}
	}
}

func TestNothingGoesWrongWithoutChaos(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := demo("--input", "goroot:encoding/json", "--chaos", "off", "--out", t.TempDir(), "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	s := summaryOf(t, stdout)
	require.Equal(t, s.Tasks.Accepted, s.Tasks.Done)
	stalled := strings.Count(stdout, `"kind":"hung","path":"root/llm"`) // on a machine that keeps an answer waiting for too long
	require.Equal(t, s.Tasks.Accepted+stalled, s.Attempts)
	if stalled == 0 {
		require.Zero(t, s.Breaker.Opened)
	}
	require.Zero(t, s.Restarts+s.Tasks.Quarantined)
	require.Empty(t, s.Planted)
	require.Empty(t, s.Drills)
}

// The same seed on the same input gives the same books and the same report, however the scheduler plays and however many agents there are.
func TestTwoRunsGiveTheSameResults(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	for dir, workers := range map[string]string{first: "4", second: "7"} {
		code, _, stderr := demo("--input", "goroot:encoding/json", "--seed", "11", "--chaos", "wild", "--workers", workers, "--out", dir)
		require.Equal(t, summary.ExitOK, code, stderr)
	}
	for _, name := range []string{books.ResultsFile, books.RunFile, reportFile} {
		a, err := os.ReadFile(filepath.Join(first, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(second, name))
		require.NoError(t, err)
		require.Equal(t, string(a), string(b), name)
	}
}

// verify finds whatever was done to the results, and names it.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	code, _, stderr := demo("--input", project(t, oneFile), "--chaos", "off", "--out", out)
	require.Equal(t, summary.ExitOK, code, stderr)
	path := filepath.Join(out, books.ResultsFile)
	right, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.SplitAfter(strings.TrimSuffix(string(right), "\n"), "\n")
	at := -1
	for i, line := range lines {
		if strings.Contains(line, `"metrics:one.go"`) {
			at = i
		}
	}
	require.NotEqual(t, -1, at)
	with := func(edit ...string) string {
		return strings.Join(append(append(append([]string{}, lines[:at]...), edit...), lines[at+1:]...), "")
	}
	for name, tampered := range map[string]string{
		"a removed line":   with(),
		"a doubled line":   with(lines[at], lines[at]),
		"a changed figure": with(strings.Replace(lines[at], `"functions":1`, `"functions":2`, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, string(right), tampered)
			require.NoError(t, os.WriteFile(path, []byte(tampered), 0o600))
			code, stdout, _ := demo("verify", out)
			require.Equal(t, summary.ExitBroken, code)
			require.Contains(t, stdout, "metrics:one.go")
		})
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"--nope"}, {"--chaos", "storm"}, {"--workers", "0"}, {"--workers", "999"}, {"--timeout", "-1s"}, {"--llm", "http://127.0.0.1:1"},
		{"--chaos", "storm", "--workers", "999", "--llm", "x", "--timeout", "-1s"},
		{"--resume"}, {"--store", "/nonexistent/place/store.db"}, {"--store", os.TempDir()}, {"--store", os.TempDir(), "--resume"},
		{"bogus"}, {"--input", "/nonexistent/place"}, {"--input", "goroot:no/such/package"}, {"--seed", "many"},
		{"verify"}, {"verify", "a", "b"}, {"verify", "/nonexistent/place"},
	} {
		code, stdout, stderr := demo(args...)
		require.Equal(t, summary.ExitUsage, code, args)
		require.Empty(t, stdout, args)
		n := strings.Count(strings.TrimSpace(stderr), "\n") + 1
		require.LessOrEqual(t, n, 3, "%v:\n%s", args, stderr)
		require.NotEmpty(t, strings.TrimSpace(stderr), args)
	}
}

func TestOutOfTime(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := demo(newBusyModel(t).asked("--input", "goroot:go/types", "--timeout", "100ms", "--out", t.TempDir(), "--json")...)
	require.Equal(t, summary.ExitTimeout, code, stderr)
	s := summaryOf(t, stdout)
	require.Equal(t, summary.VerdictTimeout, s.Verdict)
	require.Zero(t, s.Tasks.Lost)
}

func TestHelpFitsAScreen(t *testing.T) {
	code, stdout, _ := demo("--help")
	require.Equal(t, summary.ExitOK, code)
	lines := strings.Split(stdout, "\n")
	require.LessOrEqual(t, len(lines), 40)
	for _, flag := range []string{"--input", "--seed", "--chaos", "--workers", "--out", "--json", "--timeout", "--llm", "--model", "--store", "--resume"} {
		require.Contains(t, stdout, flag)
	}
}

// Any OpenAI-compatible endpoint will do; what it says can't be recomputed, but everything else is.
func TestForeignModel(t *testing.T) {
	t.Parallel()
	server, err := model.Listen(model.Config{})
	require.NoError(t, err)
	defer closeServer(server)
	out := t.TempDir()
	code, stdout, stderr := demo("--input", project(t, oneFile), "--llm", server.URL(), "--model", "theirs", "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Equal(t, summary.VerdictOK, summaryOf(t, stdout).Verdict)
	require.NotEmpty(t, server.Stats().Calls)
	for _, call := range server.Stats().Calls {
		require.Equal(t, task.SummarizeID("one.go"), call.Task, "the one summary was asked for there, the drills weren't")
	}
	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
}

// The first interrupt finishes what agents are working on and reports, the second leaves at once.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		level   string
		after   string // a line with that
		signals []os.Signal
	}{
		"once":                     {"mild", "", []os.Signal{os.Interrupt}},
		"twice":                    {"mild", "", []os.Signal{os.Interrupt, os.Interrupt}},
		"terminated":               {"mild", "", []os.Signal{syscall.SIGTERM}},
		"once, amidst drills":      {"wild", `"path":"root/drills/poison`, []os.Signal{os.Interrupt}},
		"when somebody hangs":      {"wild", `"kind":"hung","path":"root/drills/hang`, []os.Signal{os.Interrupt}},
		"when somebody was left":   {"wild", `"kind":"abandoned"`, []os.Signal{syscall.SIGTERM}},
		"twice, amidst drills":     {"wild", `"path":"root/drills/poison`, []os.Signal{syscall.SIGTERM, os.Interrupt}},
		"when the service crashes": {"wild", `"kind":"group restart","path":"root/drills`, []os.Signal{syscall.SIGTERM}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const input = "goroot:go/types"
			out, signals := t.TempDir(), c.signals
			cmd := exec.Command(os.Args[0], newBusyModel(t).asked("--input", input, "--chaos", c.level, "--json", "--out", out)...)
			cmd.Env = append(os.Environ(), asProgram+"=1")
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var lines []string
			sent := false
			for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
				if lines = append(lines, scanner.Text()); !sent && strings.Contains(scanner.Text(), c.after) {
					sent = true
					for _, s := range signals {
						require.NoError(t, cmd.Process.Signal(s))
					}
				}
			}
			require.True(t, sent)
			err = cmd.Wait()
			require.Equal(t, summary.ExitInterrupted, cmd.ProcessState.ExitCode(), "%v\n%s", err, lines[len(lines)-1])
			if len(signals) == 1 {
				s := summaryOf(t, strings.Join(lines, "\n"))
				require.Equal(t, summary.VerdictInterrupted, s.Verdict)
				require.Zero(t, s.Tasks.Lost+s.Tasks.RecordedTwice)
				for _, line := range lines {
					var l taskLine
					require.NoError(t, json.Unmarshal([]byte(line), &l))
					if kind, _ := task.TypeOf(l.ID); l.Type == "task" && kind == task.TypeSummarize {
						require.Equal(t, string(books.Cancelled), l.Status, "what waits for the model is left")
					}
				}
				require.FileExists(t, filepath.Join(out, reportFile))
			}
		})
	}
}

// Elsewhere than on a terminal the log has no escape codes.
func TestPlainLog(t *testing.T) {
	t.Parallel()
	_, stdout, stderr := demo("--input", project(t, oneFile), "--out", t.TempDir())
	require.NotContains(t, stdout+stderr, "\x1b")
	require.Contains(t, stderr, "auditing")
}
