package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
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

// What a file is called is no reason to fail, and no name writes outside of its place.
func TestRunOnFilesWithOddNames(t *testing.T) {
	t.Parallel()
	files, out := map[string]string{}, t.TempDir()
	for _, name := range []string{"a\tb.go", "a\nb.go", "a\u00a0b.go", "a\u202eb.go", `"a\tb.go"`, "a|`b.go", "\x1b[2J.go"} {
		files[name] = oneFile["one.go"]
	}
	dir := project(t, files)
	code, stdout, stderr := demo("--input", dir, "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	for _, name := range []string{reportFile, htmlFile} {
		for _, bad := range []string{"\t", "a\nb", "\u202e", "\x1b"} {
			require.NotContains(t, read(t, out, name), bad, name)
		}
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "\x1b[2J.go")))
	code, stdout, _ = demo("verify", out)
	require.Equal(t, summary.ExitBroken, code)
	require.Contains(t, stdout, "the file is gone since the run")
	require.NotContains(t, stdout, "\x1b")
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

// verify finds whatever was done to the files of a run, and says where.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	code, _, stderr := demo("--input", source.Embedded, "--out", out)
	require.Equal(t, summary.ExitOK, code, stderr)
	code, stdout, stderr := demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	require.Contains(t, stdout, "; 19 of 19 mechanisms seen\n")

	type edit struct{ file, old, new string } // old is a pattern, or empty: the file is removed
	const results, run, sum, page = books.ResultsFile, books.RunFile, summaryFile, reportFile
	metrics := regexp.MustCompile(`(?m)^{"id":"metrics:label.go".*\n`)
	for name, c := range map[string]struct {
		edits []edit
		found string
	}{
		"a removed line":                  {[]edit{{results, "METRICS", ""}}, "metrics:label.go: missing"},
		"a doubled line":                  {[]edit{{results, "METRICS", "METRICSMETRICS"}}, "metrics:label.go: twice"},
		"a changed figure":                {[]edit{{results, `"total":49`, `"total":48`}}, "metrics:label.go: figure"},
		"a drill's changed outcome":       {[]edit{{results, `"drill.poison","status":"quarantined"`, `"drill.poison","status":"failed"`}}, "drill:poison-1: status"},
		"a drill's changed result":        {[]edit{{results, `\{"sum":30}`, `{"sum":29}`}}, "drill:trunk-1: figure"},
		"a drill that was never there":    {[]edit{{results, `"drill:hang-2"`, `"drill:hang-3"`}}, "drill:hang-2: missing"},
		"another seed":                    {[]edit{{run, `"seed": 1,`, `"seed": 2,`}}, "seed 2 at level mild has in store"},
		"another seed everywhere":         {[]edit{{run, `"seed": 1,`, `"seed": 2,`}, {sum, `"seed":1,`, `"seed":2,`}, {page, "Seed 1", "Seed 2"}}, "seed 2 at level mild has in store"},
		"another seed of the counts":      {[]edit{{sum, `"seed":1,`, `"seed":2,`}}, "summary.json: plan: the seed is 2, must be 1"},
		"another level":                   {[]edit{{run, `"chaos": "mild"`, `"chaos": "wild"`}}, "planted is not what seed 1 at level wild plants"},
		"another plan":                    {[]edit{{run, `"attempt": 1`, `"attempt": 2`}}, "seed 1 at level mild has in store"},
		"a changed report":                {[]edit{{page, "label.go", "lable.go"}}, "report.md: figure"},
		"a mechanism seen too seldom":     {[]edit{{sum, `"escalations":{"planned":2,"seen":\d+}`, `"escalations":{"planned":2,"seen":1}`}}, "escalations was seen 1 times, planned are 2"},
		"a mechanism that wasn't planned": {[]edit{{sum, `"escalations":{"planned":2,"seen":\d+}`, `"escalations":{"planned":1,"seen":1}`}}, "escalations is planned 1 times, must be 2"},
		"a mechanism left out":            {[]edit{{sum, `"escalations":{"planned":2,"seen":\d+},`, ``}}, "escalations is missing"},
		"a mechanism too many":            {[]edit{{sum, `"escalations":{`, `"levitations":{"planned":0,"seen":1},"escalations":{`}}, "levitations is none of the plan"},
		"another drill planted":           {[]edit{{sum, `"hang":\["drill:hang-1",`, `"hang":["drill:hang-3",`}}, "summary.json: plan: planted"},
		"a task more":                     {[]edit{{sum, `"quarantined":2`, `"quarantined":3`}}, "summary.json: figure: 3 tasks are quarantined, by the results 2"},
		"a lost task":                     {[]edit{{sum, `"lost":0`, `"lost":1`}}, "the verdict is ok, by the counts it must be invariant broken"},
		"a failed run":                    {[]edit{{sum, `"verdict":"ok"`, `"verdict":"tasks failed"`}, {sum, `"exit_code":0`, `"exit_code":3`}}, "the run ended as: tasks failed"},
		"another exit code":               {[]edit{{sum, `"exit_code":0`, `"exit_code":4`}}, "the exit code is 4, must be 0"},
		"a kept task":                     {[]edit{{sum, `"accepted":`, `"kept":3,"accepted":1`}}, "3 tasks are not settled, though nobody has cut the run short"},
		"another end":                     {[]edit{{sum, `"verdict":"ok"`, `"verdict":"interrupted"`}}, "the exit code is 0, must be 130"},
		"a problem":                       {[]edit{{sum, `"exit_code":0`, `"exit_code":0,"problems":["rain"]`}}, "the verdict is ok, but there are problems: rain"},
		"a count that nobody knows":       {[]edit{{sum, `"exit_code":0`, `"exit_code":0,"luck":7`}}, "unknown field"},
		"no counts":                       {[]edit{{sum, "", ""}}, "summary.json: figure"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(out)))
			for _, e := range c.edits {
				path := filepath.Join(dir, e.file)
				if e.old == "" {
					require.NoError(t, os.Remove(path))
					continue
				}
				right, err := os.ReadFile(path)
				require.NoError(t, err)
				line := metrics.FindString(string(right))
				with := strings.NewReplacer("METRICS", line)
				at := regexp.MustCompile(strings.ReplaceAll(e.old, "METRICS", regexp.QuoteMeta(line))).FindStringIndex(string(right))
				require.NotNil(t, at, "%s has no %s", e.file, e.old)
				tampered := string(right[:at[0]]) + with.Replace(e.new) + string(right[at[1]:])
				require.NoError(t, os.WriteFile(path, []byte(tampered), 0o600))
			}
			code, stdout, _ := demo("verify", dir)
			require.Equal(t, summary.ExitBroken, code)
			require.Contains(t, stdout, c.found)
		})
	}
}

// A run that went on doesn't owe what an earlier process had begun with, and verify says so.
func TestVerifyOfAResumedRun(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	code, _, stderr := demo("--input", project(t, oneFile), "--out", out)
	require.Equal(t, summary.ExitOK, code, stderr)
	path := filepath.Join(out, summaryFile)
	var s summary.Summary
	require.NoError(t, books.ReadJSON(path, &s))
	require.False(t, s.Resumed)
	s.Drills["cancelled"] = summary.Drill{}
	for resumed, want := range map[bool]int{false: summary.ExitBroken, true: summary.ExitOK} {
		s.Resumed = resumed
		var b bytes.Buffer
		require.NoError(t, s.WriteJSON(&b))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
		code, stdout, _ := demo("verify", out)
		require.Equal(t, want, code, stdout)
		require.Equal(t, resumed, strings.Contains(stdout, "18 of 19 mechanisms seen, an earlier process of the run had begun with the other 1"), stdout)
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

// An error of use says what to do, in the words of the command line.
func TestUsageErrorsSayWhatToDo(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.jsonl")
	for want, args := range map[string][]string{
		"demo: flag provided but not defined: --nope (--help says what there is)\n":                        {"--nope"},
		"demo: invalid value \"many\" for flag --seed: invalid syntax (--help says what there is)\n":       {"--seed", "many"},
		"demo: invalid value \"soon\" for flag --timeout: invalid duration (--help says what there is)\n":  {"--timeout", "soon"},
		"demo: invalid value \"1\" for flag --timeout: missing unit (--help says what there is)\n":         {"--timeout", "1"},
		"demo: invalid value \"1x\" for flag --timeout: unknown unit \"x\" (--help says what there is)\n":  {"--timeout", "1x"},
		"demo: flag needs an argument: --input (--help says what there is)\n":                              {"tree", "--input"},
		"demo: unexpected \"help\": the input is given with --input, and --help says what else there is\n": {"help"},
		fmt.Sprintf("demo: input %q: no such file or directory\n", none):                                   {"--input", none},
	} {
		code, _, stderr := demo(args...)
		require.Equal(t, summary.ExitUsage, code)
		require.Equal(t, want, stderr)
	}
	dir := t.TempDir()
	code, _, stderr := demo("verify", dir)
	require.Equal(t, summary.ExitUsage, code)
	require.Equal(t, "demo: "+dir+" is not the folder of a run: open "+filepath.Join(dir, books.RunFile)+": no such file or directory\n", stderr)
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
				code, found, _ := demo("verify", out)
				require.Equal(t, summary.ExitBroken, code)
				require.Contains(t, found, "summary.json: status: the run ended as: interrupted")
				require.NotContains(t, found, "summary.json: figure", "what it counted is true, and it owes no mechanisms")
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
