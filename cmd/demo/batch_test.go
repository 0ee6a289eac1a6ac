package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/routing/boltstore"
)

// writeBatch writes lines to a file of work.
func writeBatch(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "work.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

// requests makes n lines of OpenAI's form.
func requests(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"custom_id":"request-%d","method":"POST","url":"/v1/chat/completions","body":{"model":"some","messages":[{"role":"user","content":"Tell of <%d> & the others."}]}}`, i, i))
	}
	return lines
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	return string(data)
}

// resultLine is a line of OpenAI's output, as a user of it would read it.
type resultLine struct {
	ID       string `json:"id"`
	CustomID string `json:"custom_id"`
	Response *struct {
		StatusCode int    `json:"status_code"`
		RequestID  string `json:"request_id"`
		Body       struct {
			Model   string
			Choices []struct {
				Message struct{ Role, Content string }
			}
			Error *struct{ Message string }
		}
	}
	Error *struct{ Code, Message string }
}

func results(t *testing.T, text string) (all []resultLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var r resultLine
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		all = append(all, r)
	}
	return all
}

const goSource = `"// Package one is alone.\npackage one\n\nfunc F(a bool) int {\n\tif a {\n\t\treturn 1\n\t}\n\treturn 0\n}\n"`

func TestBatchOfTasks(t *testing.T) {
	t.Parallel()
	input, out := writeBatch(t,
		`{"id":"z","type":"chat","input":"A lease is one attempt."}`,
		`{"id":"b","type":"summarize","input":{"path":"one.go","text":`+goSource+`}}`,
		`{"id":"a","type":"summarize","input":"A text that is no Go."}`,
		`{"id":"c","type":"metrics","input":{"path":"one.go","text":`+goSource+`}}`,
		`{"id":"d","type":"review","input":{"path":"one.go","text":`+goSource+`}}`), t.TempDir()
	code, stdout, stderr := demo("--input", input, "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	s := summaryOf(t, stdout)
	require.Equal(t, summary.VerdictOK, s.Verdict)
	require.Equal(t, 5, s.Tasks.Done)
	require.Equal(t, s.Attempts-1, s.Model.Requests, "but for the figures each attempt asks once")
	require.Empty(t, s.Planted["poison"], "nothing goes wrong in a batch unless it is wanted")
	require.ElementsMatch(t, []string{"a", "b", "c", "d", "z"}, settledLines(stdout))
	require.NoFileExists(t, filepath.Join(out, batch.ErrorsFile))

	lines := strings.Split(strings.TrimSpace(read(t, out, batch.OutputFile)), "\n")
	require.Len(t, lines, 5)
	require.JSONEq(t, `{"id":"z","type":"chat","status":"done","result":{"text":"A lease is one attempt."},"error":null}`, lines[0])
	require.JSONEq(t, `{"id":"b","type":"summarize","status":"done","result":{"path":"one.go","text":"Package one is alone."},"error":null}`, lines[1])
	require.JSONEq(t, `{"id":"a","type":"summarize","status":"done","result":{"path":"a","text":"A text that is no Go."},"error":null}`, lines[2])
	require.Contains(t, lines[3], `"complexity":{"total":2,"max":2}`)
	require.Contains(t, lines[4], `"grade":"C"`)

	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	require.Contains(t, stdout, "5 done, 0 failed; 5 computed again")
}

// What the model refuses is in the file of errors, with what it said; that is no reason to ask again.
func TestBatchOfRequests(t *testing.T) {
	t.Parallel()
	lines := requests(3)
	lines[1] = `{"custom_id":"bad","method":"POST","url":"/v1/chat/completions","body":{"model":"some","messages":[]}}`
	input, out := writeBatch(t, lines...), t.TempDir()
	code, stdout, stderr := demo("--input", input, "--out", out, "--json")
	require.Equal(t, summary.ExitTasks, code, stderr)
	s := summaryOf(t, stdout)
	require.Equal(t, summary.VerdictTasks, s.Verdict)
	require.Equal(t, []string{"requests that the model refused: 1"}, s.Problems)
	require.Equal(t, 2, s.Tasks.Done)
	require.Equal(t, 1, s.Tasks.Failed)
	require.Equal(t, 3, s.Attempts)
	require.Contains(t, stdout, `{"type":"task","id":"bad","status":"failed"}`)

	ok := results(t, read(t, out, batch.OutputFile))
	require.Len(t, ok, 2)
	for i, id := range []string{"request-0", "request-2"} {
		require.Equal(t, id, ok[i].CustomID)
		require.Regexp(t, `^batch_req_[0-9a-f]{24}$`, ok[i].ID)
		require.Equal(t, 200, ok[i].Response.StatusCode)
		require.NotEmpty(t, ok[i].Response.RequestID)
		require.Equal(t, "some", ok[i].Response.Body.Model)
		require.Equal(t, "Tell of <"+strings.TrimPrefix(id, "request-")+"> & the others.", ok[i].Response.Body.Choices[0].Message.Content)
		require.Nil(t, ok[i].Error)
	}
	refused := results(t, read(t, out, batch.ErrorsFile))
	require.Len(t, refused, 1)
	require.Equal(t, "bad", refused[0].CustomID)
	require.Equal(t, 400, refused[0].Response.StatusCode)
	require.NotNil(t, refused[0].Response.Body.Error)

	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	require.Contains(t, stdout, "2 done, 1 failed; 3 computed again")
}

// An id may hold whatever JSON can say: it is the user's, and comes back as it was.
func TestBatchWithUnprintableIDs(t *testing.T) {
	t.Parallel()
	ids := []string{"a\tb", "a\nb", "\x00", "non\u00a0breaking", "family \U0001f469\u200d\U0001f467", `"a\tb"`, "\ue000", "\x1b[2J"}
	ids = append(ids, strings.Repeat("\x00", batch.MaxID))
	var lines []string
	for _, id := range ids {
		quoted, err := json.Marshal(id)
		require.NoError(t, err)
		lines = append(lines, fmt.Sprintf(`{"custom_id":%s,"method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Hello."}]}}`, quoted))
	}
	input, out := writeBatch(t, lines...), t.TempDir()
	code, stdout, stderr := demo("--input", input, "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	require.ElementsMatch(t, ids, settledLines(stdout))
	var got []string
	for _, r := range results(t, read(t, out, batch.OutputFile)) {
		got = append(got, r.CustomID)
	}
	require.Equal(t, ids, got)
	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	code, stdout, stderr = demo("--resume", "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	require.Zero(t, summaryOf(t, stdout).Model.Requests, "all is recorded")
}

// Agents crash and the model fails, and the output is what it is without.
func TestBatchUnderChaos(t *testing.T) {
	t.Parallel()
	input, calm, wild := writeBatch(t, requests(60)...), t.TempDir(), t.TempDir()
	code, _, stderr := demo("--input", input, "--out", calm)
	require.Equal(t, summary.ExitOK, code, stderr)
	code, stdout, stderr := demo("--input", input, "--out", wild, "--chaos", "mild", "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	s := summaryOf(t, stdout)
	require.Equal(t, 60, s.Tasks.Done)
	require.Positive(t, s.Restarts)
	require.Greater(t, s.Model.Requests, 60)
	require.Equal(t, read(t, calm, batch.OutputFile), read(t, wild, batch.OutputFile))
}

// A request goes out as it stands in the file, to the endpoint that it names, with the key, and again only if that helps.
func TestBatchAtAForeignModel(t *testing.T) {
	var got [3]atomic.Pointer[string]
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		said := r.URL.Path + " " + string(body)
		w.Header().Set("X-Request-Id", "theirs")
		switch asked.Add(1); {
		case strings.Contains(string(body), "first"):
			got[0].Store(&said)
			fmt.Fprint(w, `{"text": "<yes>"}`)
		case strings.Contains(string(body), "down"):
			got[1].Store(&said)
			w.WriteHeader(http.StatusInternalServerError)
		default:
			got[2].Store(&said)
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "no such thing")
		}
	}))
	defer server.Close()
	t.Setenv(keyVariable, "secret")
	input := writeBatch(t,
		`{"custom_id":"1","method":"POST","url":"/v1/embeddings","body":{"input" : "first",  "model":"own", "x":1.50}}`,
		`{"custom_id":"2","method":"POST","url":"/v1/chat/completions","body":{"down":1}}`,
		`{"custom_id":"3","method":"POST","url":"/v1/responses","body":{"model":"own"}}`)

	out := t.TempDir()
	code, stdout, stderr := demo("--input", input, "--out", out, "--llm", server.URL, "--json")
	require.Equal(t, summary.ExitTasks, code, stderr)
	require.NotContains(t, stdout+stderr, "secret")
	require.Equal(t, `/v1/embeddings {"input" : "first",  "model":"own", "x":1.50}`, *got[0].Load())
	require.Equal(t, `/v1/chat/completions {"down":1}`, *got[1].Load())
	require.Equal(t, `/v1/responses {"model":"own"}`, *got[2].Load())
	require.EqualValues(t, 1+requestAttempts+1, asked.Load())
	s := summaryOf(t, stdout)
	require.Equal(t, 1, s.Tasks.Done)
	require.Equal(t, 2, s.Tasks.Failed)
	require.Contains(t, read(t, out, batch.OutputFile), `"response":{"status_code":200,"request_id":"theirs","body":{"text":"\u003cyes\u003e"}},"error":null}`)
	faulty := results(t, read(t, out, batch.ErrorsFile))
	require.Len(t, faulty, 2)
	require.Nil(t, faulty[0].Response)
	require.Equal(t, batch.CodeFailed, faulty[0].Error.Code)
	require.Contains(t, faulty[0].Error.Message, "status 500")
	require.Equal(t, 404, faulty[1].Response.StatusCode)
	require.Equal(t, "no such thing", faulty[1].Response.Body.Error.Message)
	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
	require.Contains(t, stdout, "1 done, 2 failed; 0 computed again")

	code, _, stderr = demo("--input", input, "--out", t.TempDir(), "--llm", server.URL+"/v1", "--model", "other")
	require.Equal(t, summary.ExitTasks, code, stderr)
	require.Equal(t, `/v1/responses {"model":"other"}`, *got[2].Load())
}

// The embedded model takes whatever a line may have, and JSON may make six bytes of one.
func TestBatchOfLongLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("<", batch.MaxLine-200)
	input, out := writeBatch(t, `{"id":"a","type":"chat","input":"`+long+`"}`, `{"id":"b","type":"summarize","input":"`+long+`"}`), t.TempDir()
	code, _, stderr := demo("--input", input, "--out", out)
	require.Equal(t, summary.ExitOK, code, stderr)
	input, out = writeBatch(t, strings.Replace(requests(1)[0], "Tell", "Tell"+long, 1)), t.TempDir()
	code, _, stderr = demo("--input", input, "--out", out)
	require.Equal(t, summary.ExitOK, code, stderr)
	code, stdout, stderr := demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)
}

// What won't be otherwise the next time is asked for once.
func TestBatchAsksOnceWhereAskingAgainIsVain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		check  func(resultLine)
	}{
		"moved": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, func(r resultLine) {
			require.Equal(t, 302, r.Response.StatusCode)
			require.Equal(t, "the service is at /login", r.Response.Body.Error.Message)
		}},
		"long": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", model.MaxReply)+"{}") }, func(r resultLine) {
			require.Equal(t, batch.CodeFailed, r.Error.Code)
			require.Equal(t, "the model failed: bad answer: it has more than 4194304 bytes", r.Error.Message)
		}},
	} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			test.answer(w, r)
		}))
		defer server.Close()
		input, out := writeBatch(t, requests(1)...), t.TempDir()
		code, _, stderr := demo("--input", input, "--out", out, "--llm", server.URL)
		require.Equal(t, summary.ExitTasks, code, stderr)
		require.EqualValues(t, 1, asked.Load(), name)
		faulty := results(t, read(t, out, batch.ErrorsFile))
		require.Len(t, faulty, 1)
		test.check(faulty[0])
	}
}

// Bad input and bad use are told in three lines at most, and before anything is done.
func TestBatchUsageErrors(t *testing.T) {
	t.Parallel()
	good := writeBatch(t, requests(2)...)
	chat := writeBatch(t, `{"id":"a","type":"chat","input":"x"}`)
	bad := writeBatch(t, append(requests(2), "nope", requests(1)[0], `{"custom_id":"x","method":"PUT"}`)...)
	embeddings := writeBatch(t, `{"custom_id":"1","method":"POST","url":"/v1/embeddings","body":{}}`)
	empty := writeBatch(t)
	store := filepath.Join(t.TempDir(), "audit.db")
	code, _, stderr := demo("--input", project(t, oneFile), "--store", store, "--chaos", "off", "--out", t.TempDir())
	require.Equal(t, summary.ExitOK, code, stderr)
	done := t.TempDir()
	code, _, stderr = demo("--input", good, "--out", done)
	require.Equal(t, summary.ExitOK, code, stderr)

	for _, c := range []struct {
		want string
		args []string
	}{
		{"3 faulty lines", []string{"--input", bad}},
		{"line 3: is not JSON: invalid character", []string{"--input", bad}},
		{`line 4: the id "request-0" is that of line 1`, []string{"--input", bad}},
		{"it has no lines", []string{"--input", empty}},
		{"no such file", []string{"--input", filepath.Join(t.TempDir(), "none.jsonl")}},
		{"has no /v1/embeddings", []string{"--input", embeddings}},
		{"--llm and --model go together", []string{"--input", chat, "--llm", "http://127.0.0.1:1"}},
		{"--llm and --model go together", []string{"--input", good, "--model", "x"}},
		{"--resume needs --out or --store", []string{"--input", good, "--resume"}},
		{"there is no batch.db", []string{"--resume", "--out", t.TempDir()}},
		{"go on with it by --resume", []string{"--input", good, "--out", done}},
		{"is not what it was when the run began", []string{"--input", chat, "--out", done, "--resume"}},
		{"it is of a run with --chaos off", []string{"--out", done, "--resume", "--chaos", "mild"}},
		{"it is not of a batch", []string{"--input", good, "--store", store, "--resume"}},
		{"is of a batch", []string{"--input", "embedded", "--store", filepath.Join(done, batch.StoreFile), "--resume"}},
	} {
		code, stdout, stderr := demo(c.args...)
		require.Equal(t, summary.ExitUsage, code, "%v\n%s", c.args, stderr)
		require.Empty(t, stdout, c.args)
		require.Contains(t, stderr, c.want)
		require.LessOrEqual(t, strings.Count(strings.TrimSpace(stderr), "\n")+1, 3, stderr)
	}
}

// verify finds whatever was done to the output, and names it.
func TestVerifyFindsTamperedBatches(t *testing.T) {
	t.Parallel()
	lines := requests(3)
	lines[1] = `{"custom_id":"bad","method":"POST","url":"/v1/chat/completions","body":{"model":"some","messages":[]}}`
	input, out := writeBatch(t, lines...), t.TempDir()
	code, _, stderr := demo("--input", input, "--out", out)
	require.Equal(t, summary.ExitTasks, code, stderr)
	right, wrong := read(t, out, batch.OutputFile), read(t, out, batch.ErrorsFile)
	first, second, _ := strings.Cut(right, "\n")
	for name, c := range map[string]struct{ output, errors, want string }{
		"a removed line":      {first + "\n", wrong, "request-2: missing"},
		"a doubled line":      {right + second, wrong, "request-2: twice"},
		"another order":       {second + first + "\n", wrong, "request-0: order"},
		"a changed answer":    {strings.Replace(right, "others", "many", 1), wrong, "request-0: figure"},
		"a changed id":        {strings.Replace(right, `"custom_id":"request-0"`, `"custom_id":"request-9"`, 1), wrong, "request-9: unknown"},
		"a changed batch id":  {strings.Replace(right, `"batch_req_`, `"batch_req_0`, 1), wrong, "request-0: format"},
		"no error any more":   {right, "", "bad: missing"},
		"a changed status":    {right, strings.Replace(wrong, "400", "429", 1), "bad: status"},
		"an error as success": {right, strings.Replace(wrong, "400", "200", 1), "bad: status"},
		"success as an error": {first + "\n", wrong + second, "request-2: status"},
		"garbage":             {right + "{\n", wrong, "format: output.jsonl line 3: not a result"},
		"neither of both":     {strings.Replace(right, `"error":null`, `"error":{"code":"x","message":"y"}`, 1), wrong, "request-0: format"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, right+wrong, c.output+c.errors)
			require.NoError(t, os.WriteFile(filepath.Join(out, batch.OutputFile), []byte(c.output), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(out, batch.ErrorsFile), []byte(c.errors), 0o600))
			code, stdout, _ := demo("verify", out)
			require.Equal(t, summary.ExitBroken, code, stdout)
			require.Contains(t, stdout, c.want)
		})
	}
	require.NoError(t, os.WriteFile(input, []byte(lines[0]+"\n"), 0o600))
	code, stdout, _ := demo("verify", out)
	require.Equal(t, summary.ExitBroken, code)
	require.Contains(t, stdout, "changed since the run")
}

// killedAfter runs the demo as a process of its own and kills it once it has told of so many settled tasks. The code of one that was killed is -1.
func killedAfter(t *testing.T, n int, args ...string) (code int, told []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if told = append(told, settledLines(lines.Text())...); len(told) == n {
			require.NoError(t, cmd.Process.Kill())
			break
		}
	}
	_ = cmd.Wait() // its code says it
	return cmd.ProcessState.ExitCode(), told
}

// gate lets so many pass, and the rest when it is opened.
type gate struct {
	left   atomic.Int64
	opened chan struct{}
}

func newGate(n int) *gate {
	g := &gate{opened: make(chan struct{})}
	g.left.Store(int64(n))
	return g
}

func (g *gate) pass() {
	if g.left.Add(-1) < 0 {
		<-g.opened
	}
}

func (g *gate) open() { close(g.opened) }

// A batch is killed in the middle, several times, and resumed. Each request is answered once, what is recorded is never asked again, by the books of a model server that outlives
// all of it, and the output is that of a batch that ran through.
func TestBatchKilledAndResumed(t *testing.T) {
	t.Parallel()
	const n, workers = 200, 4
	var gate atomic.Pointer[gate] // as quick as the process and as slow as its killer may be, it can't get further than that
	gate.Store(newGate(n * workers))
	server, err := model.Listen(model.Config{Faults: func(string, int) chaos.Fault {
		gate.Load().pass()
		return chaos.None
	}})
	require.NoError(t, err)
	defer closeServer(server)
	input, out, reference := writeBatch(t, requests(n)...), t.TempDir(), t.TempDir()
	code, _, stderr := demo("--input", input, "--out", reference)
	require.Equal(t, summary.ExitOK, code, stderr)

	asked := func() map[string]int { // the last attempt at each task that the model was asked for: a request of a process that is gone may reach it late
		last := map[string]int{}
		for _, call := range server.Stats().Calls {
			last[call.Task] = max(last[call.Task], call.Attempt)
		}
		return last
	}
	recorded := map[string]int{} // the attempts that tasks were done in
	kills := 0
	for _, after := range []int{1, 40, 60} {
		args := []string{"--resume", "--out", out, "--json", "--workers", fmt.Sprint(workers)}
		if kills == 0 { // from then on the folder knows what it is about
			args = append(args, "--input", input, "--llm", server.URL())
		}
		gate.Store(newGate(after + 3*workers))
		code, told := killedAfter(t, after, args...)
		require.Equal(t, -1, code)
		gate.Load().open()
		kills++
		require.NoFileExists(t, filepath.Join(out, batch.OutputFile), "a reader sees the output whole or not at all")

		store, err := boltstore.Open(filepath.Join(out, batch.StoreFile), boltstore.Options{})
		require.NoError(t, err)
		contents, err := routing.ReadStore(store)
		require.NoError(t, err)
		require.NoError(t, store.Close())
		settled := map[string]bool{}
		for _, task := range contents.Tasks {
			if task.State.Settled() {
				settled[task.ID] = true
				if attempt, before := recorded[task.ID]; before {
					require.Equal(t, attempt, task.Attempt, task.ID)
				}
				recorded[task.ID] = task.Attempt
			}
		}
		for _, id := range told {
			require.True(t, settled[batchTaskID(id)], "%s was told to be settled and isn't recorded", id)
		}
	}
	require.GreaterOrEqual(t, len(recorded), 1+40+60)
	require.Less(t, len(recorded), n)

	code, stdout, stderr := program(t, never, "--resume", "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	s := summaryOf(t, stdout)
	require.Equal(t, n, s.Tasks.Done)
	require.Len(t, settledLines(stdout), n-len(recorded))
	require.Equal(t, read(t, reference, batch.OutputFile), read(t, out, batch.OutputFile))
	final := asked()
	require.Len(t, final, n)
	for id, attempt := range recorded {
		require.Equal(t, attempt, final[id], "%s was recorded and asked again", id)
	}
	require.LessOrEqual(t, server.Stats().Total, n+kills*workers, "only what was in hand when the process died is asked again")
	code, stdout, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, stdout+stderr)

	// Once more there is nothing left to do, but the files are there again.
	require.NoError(t, os.Remove(filepath.Join(out, batch.OutputFile)))
	code, stdout, stderr = demo("--resume", "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Empty(t, settledLines(stdout))
	require.Equal(t, final, asked())
	require.Equal(t, read(t, reference, batch.OutputFile), read(t, out, batch.OutputFile))
}

// The first interrupt finishes what agents are working on, and a resumed run does the rest.
func TestBatchInterruptedAndResumed(t *testing.T) {
	t.Parallel()
	const n = 300
	var answered atomic.Int64
	var free atomic.Bool
	server, err := model.Listen(model.Config{Faults: func(string, int) chaos.Fault { // it can't be through before it is interrupted
		if free.Load() || answered.Add(1) <= n/3 {
			return chaos.None
		}
		return chaos.Overload
	}})
	require.NoError(t, err)
	defer closeServer(server)
	input, out := writeBatch(t, requests(n)...), t.TempDir()
	cmd := exec.Command(os.Args[0], "--input", input, "--out", out, "--json", "--llm", server.URL())
	cmd.Env = append(os.Environ(), asProgram+"=1")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var text strings.Builder
	first := true
	for lines := bufio.NewScanner(stdout); lines.Scan(); first = false {
		text.WriteString(lines.Text() + "\n")
		if first {
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	_ = cmd.Wait() // its code says it
	require.Equal(t, summary.ExitInterrupted, cmd.ProcessState.ExitCode())
	s := summaryOf(t, text.String())
	require.Zero(t, s.Tasks.Lost+s.Tasks.Cancelled+s.Tasks.Failed)
	require.Positive(t, s.Tasks.Done)
	require.LessOrEqual(t, s.Tasks.Done, n/3)
	require.Len(t, results(t, read(t, out, batch.OutputFile)), s.Tasks.Done, "what is done by then is there")

	free.Store(true)
	code, printed, stderr := demo("--resume", "--out", out, "--json")
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Equal(t, n, summaryOf(t, printed).Tasks.Done)
	require.Len(t, settledLines(printed), n-s.Tasks.Done)
	code, printed, stderr = demo("verify", out)
	require.Equal(t, summary.ExitOK, code, printed+stderr)
}

func TestTreeOfABatch(t *testing.T) {
	code, stdout, stderr := demo("tree", "--ascii", "--input", writeBatch(t, requests(1)...))
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Contains(t, stdout, "asker-1 .. asker-4")
	require.NotContains(t, stdout, "measurer")
}
