package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

const prompt = "Summarise.\n\nDocumentation:\n\nPackage boat rows boats. It is slow.\n\nOar is what moves boats over rivers.\n\nNil is odd."

// listen starts a server without pauses and a client of it; both end with the test.
func listen(t *testing.T, config Config) (*Server, Client) {
	t.Helper()
	config.Pause = -1
	s, err := Listen(config)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		assert.NoError(t, s.Close(context.Background()))
	})
	return s, Client{BaseURL: s.URL(), Model: "extractive", HTTP: &http.Client{Transport: transport}}
}

// always is a plan that fails the attempts up to the second in one way.
func always(fault chaos.Fault) func(string, int) chaos.Fault {
	return func(_ string, attempt int) chaos.Fault {
		if attempt <= chaos.LastAttempt {
			return fault
		}
		return chaos.None
	}
}

func TestAnAnswerIsStreamed(t *testing.T) {
	s, c := listen(t, Config{})
	var pieces []string
	answer, err := c.Chat(t.Context(), Question{Task: "summarize:a b/ü.go", Attempt: 1, Prompt: prompt}, func(p string) { pieces = append(pieces, p) })
	require.NoError(t, err)
	assert.Equal(t, "Package boat rows boats. Oar is what moves boats over rivers.", answer.Text)
	assert.Zero(t, answer.Tokens, "nobody asked")
	assert.Equal(t, answer.Text, strings.Join(pieces, ""))
	assert.Len(t, pieces, 3)
	assert.Equal(t, Stats{
		Total: 1, ByOutcome: map[Outcome]int{Answered: 1},
		Calls: []Call{{Task: "summarize:a b/ü.go", Attempt: 1, Requests: 1}}, Drills: []Drill{}, Periods: map[string]int{"": 1},
	}, s.Stats())
}

func TestEachFaultIsItsOwnErrorAndStrikesOnce(t *testing.T) {
	tests := []struct {
		fault   chaos.Fault
		outcome Outcome
		check   func(t *testing.T, err error)
	}{
		{chaos.Error, Failed, func(t *testing.T, err error) {
			var status *StatusError
			require.ErrorAs(t, err, &status)
			assert.Equal(t, 500, status.Code)
			assert.Contains(t, status.Message, "as planned")
		}},
		{chaos.Overload, Overloaded, func(t *testing.T, err error) {
			var overloaded *OverloadedError
			require.ErrorAs(t, err, &overloaded)
			assert.Equal(t, 1500*time.Millisecond, overloaded.RetryAfter())
		}},
		{chaos.Cut, Cut, func(t *testing.T, err error) {
			var cut *CutError
			require.ErrorAs(t, err, &cut)
			assert.Positive(t, cut.Received)
		}},
		{chaos.Garbage, Garbled, func(t *testing.T, err error) {
			var format *FormatError
			require.ErrorAs(t, err, &format)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.fault.String(), func(t *testing.T) {
			s, c := listen(t, Config{Faults: always(tt.fault), RetryAfter: 1500 * time.Millisecond})
			for attempt := 1; attempt <= chaos.LastAttempt; attempt++ {
				answer, err := c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: attempt, Prompt: prompt}, nil)
				require.ErrorIs(t, err, ErrModel)
				assert.Empty(t, answer)
				tt.check(t, err)
				var waits interface{ RetryAfter() time.Duration }
				assert.Equal(t, tt.fault == chaos.Overload, errors.As(err, &waits), "only an overload says when to come back")

				answer, err = c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: attempt, Prompt: prompt}, nil)
				require.NoError(t, err, "the same attempt again")
				assert.Equal(t, Answer(prompt), answer.Text)
			}
			_, err := c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: 3, Prompt: prompt}, nil)
			require.NoError(t, err)
			assert.Equal(t, map[Outcome]int{tt.outcome: 2, Answered: 3}, s.Stats().ByOutcome)
		})
	}
}

// The server's own count of what must not happen: early requests, and requests that are sent again.
func TestTheServerCountsWhatIsEarlyAndWhatComesTwice(t *testing.T) {
	overload := func(id string, _ int) chaos.Fault {
		return map[string]chaos.Fault{"overloaded": chaos.Overload}[strings.TrimRight(id, "0123456789")]
	}
	type counts struct{ repeated, replayed, early int }
	tests := []struct {
		name  string
		after time.Duration // the overload of task overloaded1, whose Retry-After is 3 s
		asks  Question
		want  counts
	}{
		{"another task that knows nothing", 0, Question{Task: "a", Attempt: 1, Call: 2}, counts{}},
		{"another task, having heard of it", 0, Question{Task: "a", Attempt: 1, Call: 2, Heard: 1}, counts{early: 1}},
		{"a moment too early", 3*time.Second - 1, Question{Task: "a", Attempt: 1, Call: 2, Heard: 1}, counts{early: 1}},
		{"just in time", 3 * time.Second, Question{Task: "a", Attempt: 1, Call: 2, Heard: 1}, counts{}},
		{"one that claims to have heard more than was said", time.Second, Question{Task: "a", Attempt: 1, Call: 2, Heard: 99}, counts{early: 1}},
		{"the task itself, whatever it says", time.Second, Question{Task: "overloaded1", Attempt: 2, Call: 2}, counts{early: 1}},
		{"the task itself, in time", 3 * time.Second, Question{Task: "overloaded1", Attempt: 2, Call: 2}, counts{}},
		{"the same attempt again", 3 * time.Second, Question{Task: "overloaded1", Attempt: 1, Call: 2}, counts{repeated: 1}},
		{"the same request again", 3 * time.Second, Question{Task: "overloaded1", Attempt: 1, Call: 1}, counts{repeated: 1, replayed: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l ledger
				outcome, notice := l.strike(Question{Task: "overloaded1", Attempt: 1, Call: 1, Period: "llm 0"}, overload, 3*time.Second)
				require.Equal(t, Overloaded, outcome)
				require.Equal(t, 1, notice)
				time.Sleep(tt.after)
				tt.asks.Period = "llm 1"
				l.strike(tt.asks, func(string, int) chaos.Fault { return chaos.None }, 3*time.Second)
				s := l.stats()
				assert.Equal(t, tt.want, counts{s.Repeated, s.Replayed, s.Early})
				assert.Equal(t, map[string]int{"llm 0": 1, "llm 1": 1}, s.Periods)
			})
		})
	}
}

func TestAQuestionTravelsInHeaders(t *testing.T) {
	for _, q := range []Question{
		{Task: "summarize:a b/ü\n.go", Attempt: 2, Call: 7, Heard: 3, Period: "root/llm 4"},
		{Task: "x", Attempt: 1},
	} {
		header := http.Header{}
		q.describe(header)
		assert.Equal(t, q, questionOf(header))
	}
	for _, bad := range []string{"", "-1", "many", "99999999999999999999"} {
		header := http.Header{HeaderAttempt: {bad}, HeaderCall: {bad}}
		assert.Equal(t, Question{Attempt: chaos.LastAttempt + 1}, questionOf(header), bad)
	}
}

func TestFaultsDoNotDependOnTheOrderOfRequests(t *testing.T) {
	plan := chaos.Plan{Seed: 9, Level: chaos.Mild}
	run := func(workers int) Stats {
		s, c := listen(t, Config{Faults: plan.ModelFault, RetryAfter: time.Hour}) // what comes after an overload is early, however slow it is
		var wait sync.WaitGroup
		ids := make(chan string)
		for range workers {
			wait.Go(func() {
				for id := range ids {
					for attempt := 1; attempt <= 3; attempt++ {
						_, err := c.Chat(t.Context(), Question{Task: id, Attempt: attempt, Prompt: prompt}, nil)
						assert.Equal(t, plan.ModelFault(id, attempt) == chaos.None, err == nil, "%s attempt %d: %v", id, attempt, err)
					}
				}
			})
		}
		for i := range 60 {
			ids <- task.SummarizeID(fmt.Sprintf("f%d.go", i))
		}
		close(ids)
		wait.Wait()
		return s.Stats()
	}
	one := run(1)
	assert.Equal(t, one, run(8))
	assert.Len(t, one.ByOutcome, 5, "all faults occur: %v", one.ByOutcome)
}

func TestTheFirstCallsOfABreakerDrillFail(t *testing.T) {
	s, c := listen(t, Config{DrillFailures: 3})
	for n := range 6 {
		_, err := c.Chat(t.Context(), Question{Task: task.Breaker.ID(n + 1), Attempt: 1, Prompt: prompt}, nil)
		assert.Equal(t, n < 3, err != nil, "call %d", n)
	}
	_, err := c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: 1, Prompt: prompt}, nil)
	require.NoError(t, err)
	assert.Equal(t, []Drill{{Key: "drill:breaker", Requests: 6, Failed: 3}}, s.Stats().Drills)
	assert.Equal(t, map[Outcome]int{DrillFailed: 3, Answered: 4}, s.Stats().ByOutcome)
}

func TestWithoutStreamTheAnswerIsOneObject(t *testing.T) {
	for fault, want := range map[chaos.Fault]bool{chaos.None: true, chaos.Cut: false, chaos.Garbage: false} {
		s, c := listen(t, Config{Faults: always(fault)})
		req, err := http.NewRequest(http.MethodPost, s.URL()+"/v1/chat/completions",
			strings.NewReader(`{"model":"m","messages":[{"role":"system","content":"x"},{"role":"user","content":"One is enough."}]}`))
		require.NoError(t, err)
		req.Header.Set(HeaderAttempt, "1")
		resp, err := c.HTTP.Do(req)
		require.NoError(t, err)
		answer, err := readWhole(resp.Body, func(string) {})
		resp.Body.Close()
		assert.Equal(t, want, err == nil, "%v: %v", fault, err)
		if want {
			assert.Equal(t, "One is enough.", answer.Text)
			assert.Equal(t, Tokens{Input: 3, Output: 3}, answer.Tokens)
		}
	}
}

func TestABadRequestIsRefusedAndCounted(t *testing.T) {
	s, c := listen(t, Config{})
	for _, body := range []string{"", "{", `{"messages":[]}`, `[]`} {
		resp, err := c.HTTP.Post(s.URL()+"/v1/chat/completions", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		said, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.JSONEq(t, `{"error":{"message":"the request is not a JSON object with messages","type":"invalid_request_error"}}`, string(said), "an error and nothing else")
		resp.Body.Close()
	}
	resp, err := c.HTTP.Post(s.URL()+"/v1/chat/completions", "application/json", strings.NewReader(strings.Repeat(" ", maxRequest+1)))
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	said, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.JSONEq(t, `{"error":{"message":"the request has more than 67108864 bytes","type":"invalid_request_error"}}`, string(said))
	assert.Equal(t, map[Outcome]int{BadRequest: 5}, s.Stats().ByOutcome)

	_, err = Listen(Config{DrillFailures: -1, RetryAfter: -1, ChunkWords: -1})
	assert.EqualError(t, err, "model server: DrillFailures is -1, must be 0 or more\nRetryAfter is -1ns, must be 0 or more\nChunkWords is -1, must be 0 or more")
}

func TestCloseLetsRequestsEnd(t *testing.T) {
	s, err := Listen(Config{Pause: -1})
	require.NoError(t, err)
	idle, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://")) // never sends a request
	require.NoError(t, err)
	defer idle.Close()

	c := Client{BaseURL: s.URL(), HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	first, closed := make(chan struct{}), make(chan error, 1)
	answer, err := c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: 1, Prompt: prompt}, func(string) {
		select {
		case <-first:
		default:
			close(first)
			go func() { closed <- s.Close(context.Background()) }()
		}
	})
	require.NoError(t, err)
	assert.Equal(t, Answer(prompt), answer.Text)
	require.NoError(t, <-closed)
	require.NoError(t, s.Close(context.Background()), "a second time")

	_, err = c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: 2, Prompt: prompt}, nil)
	var cut *CutError
	require.ErrorAs(t, err, &cut)
}

func TestCloseLeavesNoGoroutineBehind(t *testing.T) {
	s, err := Listen(Config{Faults: always(chaos.Cut), Pause: -1})
	require.NoError(t, err)
	transport := &http.Transport{}
	c := Client{BaseURL: s.URL(), HTTP: &http.Client{Transport: transport}}
	for attempt := range 4 {
		c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: attempt, Prompt: prompt}, nil)
	}
	require.NoError(t, s.Close(context.Background()))
	transport.CloseIdleConnections()
	require.Eventually(t, func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !bytes.Contains(stacks, []byte("net/http."))
	}, time.Minute, time.Millisecond)
}

func TestCloseCutsOffWhatDoesNotEnd(t *testing.T) {
	s, err := Listen(Config{Pause: time.Hour})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	c := Client{BaseURL: s.URL(), HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	_, err = c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: 1, Prompt: prompt}, func(string) {
		cancel()
		require.ErrorIs(t, s.Close(ctx), context.Canceled)
	})
	require.ErrorIs(t, err, ErrModel)
	assert.Equal(t, map[Outcome]int{Abandoned: 1}, s.Stats().ByOutcome)
}

// A stalled answer is sent but for its end; then there is nothing until the client has had enough.
func TestAStalledAnswerFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{config: Config{Faults: always(chaos.Stall)}.withDefaults(), fresh: map[net.Conn]struct{}{}}
		body := `{"stream":true,"messages":[{"role":"user","content":"One two three four five six seven eight nine ten."}]}`
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		request := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body)).WithContext(ctx)
		Question{Task: "drill:stall-1", Attempt: 1}.describe(request.Header)
		response, start := httptest.NewRecorder(), time.Now()
		s.serveChat(response, request)
		assert.Equal(t, time.Hour, time.Since(start))
		var heard strings.Builder
		_, err := readStream(response.Body, func(piece string) { heard.WriteString(piece) })
		var cut *CutError
		require.ErrorAs(t, err, &cut)
		assert.Equal(t, "One two three four five six seven eight", heard.String())
		assert.Equal(t, map[Outcome]int{Stalled: 1}, s.Stats().ByOutcome)
	})
}

func TestTheCallersContextIsNotTheModelsFault(t *testing.T) {
	s, c := listen(t, Config{})
	s.config.Pause = time.Hour
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := c.Chat(ctx, Question{Task: "summarize:a.go", Attempt: 1, Prompt: prompt}, func(string) { cancel(why) })
	require.ErrorIs(t, err, why)
	assert.NotErrorIs(t, err, ErrModel)
}

func TestChunksKeepTheirPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{config: Config{Pause: 50 * time.Millisecond}.withDefaults(), fresh: map[net.Conn]struct{}{}}
		body := `{"stream":true,"messages":[{"role":"user","content":"One two three four five six seven eight nine ten."}]}`
		start := time.Now()
		s.serveChat(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body)))
		assert.Equal(t, 100*time.Millisecond, time.Since(start), "three chunks")
	})
}

func TestOtherServicesAreUnderstood(t *testing.T) {
	const json, sse = "application/json", "text/event-stream; charset=utf-8"
	delta := func(s string) string {
		return `data: {"choices":[{"index":0,"delta":{"content":"` + s + `"}}]}` + "\n\n"
	}
	tests := []struct {
		name, kind, body string
		want             string
		err              any // a pointer to the error's type, nil for none
	}{
		{"whole object", json, `{"choices":[{"message":{"content":"hi"}}]}`, "hi", nil},
		{"stream", sse, delta("a") + ": keep-alive\n\n" + delta("b") + "data: [DONE]\n\n", "ab", nil},
		{"CRLF, no space, other fields", sse, "event: x\r\nid: 1\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\ndata:[DONE]\r\n\r\n", "a", nil},
		{"an event of several lines", sse, "data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n", "a", nil},
		{"no [DONE], but a finish reason", sse, delta("a") + `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}` + "\n\n", "a", nil},
		{"other choices are passed over", sse, delta("a") + `data: {"choices":[{"index":1,"delta":{"content":"b"}}]}` + "\n\ndata: [DONE]\n\n", "a", nil},
		{"usage chunk without choices", sse, delta("a") + `data: {"choices":[],"usage":{}}` + "\n\ndata: [DONE]\n\n", "a", nil},
		{"ends early", sse, delta("a"), "", new(*CutError)},
		{"ends inside an event", sse, delta("a") + `data: {"cho`, "", new(*CutError)},
		{"nothing", sse, "", "", new(*CutError)},
		{"error in the stream", sse, delta("a") + `data: {"error":{"message":"boom"}}` + "\n\n", "", new(*StatusError)},
		{"error object", json, `{"error":{"message":"boom"}}`, "", new(*StatusError)},
		{"empty answer", sse, "data: [DONE]\n\n", "", new(*FormatError)},
		{"no choices", json, `{}`, "", new(*FormatError)},
		{"not JSON", json, `<html>`, "", new(*FormatError)},
		{"not JSON in the stream", sse, "data: nope\n\n", "", new(*FormatError)},
		{"a line without end", sse, "data: " + strings.Repeat("x", maxEvent+10), "", new(*FormatError)},
		{"an event without end", sse, strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 300), "", new(*FormatError)},
		{"a stream without end", sse, strings.Repeat(delta(strings.Repeat("x", 100_000)), 50), "", new(*FormatError)},
		{"an object without end", json, strings.Repeat(" ", maxAnswer+1), "", new(*FormatError)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "/v1/chat/completions", r.URL.Path)
				assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
				w.Header().Set("Content-Type", tt.kind)
				w.Write([]byte(tt.body))
			}))
			defer service.Close()
			got, err := Client{BaseURL: service.URL + "/v1/", Key: "secret", HTTP: service.Client()}.Chat(t.Context(), Question{Task: "x", Attempt: 1, Prompt: "p"}, nil)
			assert.Equal(t, tt.want, got.Text)
			if tt.err == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorAs(t, err, tt.err)
			require.ErrorIs(t, err, ErrModel)
		})
	}
}

func TestOnlyARetryAfterMakesAnOverload(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		code       int
		header     string
		ms         string
		want       time.Duration
		overloaded bool
	}{
		{429, "3", "", 3 * time.Second, true},
		{503, "0", "", 0, true},
		{429, "999999", "", time.Hour, true},
		{429, now.Add(time.Minute).Format(http.TimeFormat), "", time.Minute, true},
		{429, now.Add(-time.Minute).Format(http.TimeFormat), "", 0, true},
		{429, "1", "250", 250 * time.Millisecond, true},
		{429, "", "250", 250 * time.Millisecond, true},
		{429, "3", "soon", 3 * time.Second, true},
		{429, "", "99999999999999999999", 0, false},
		{503, "", "4000000000", time.Hour, true},
		{429, "", "", 0, false},
		{429, "-1", "", 0, false},
		{429, "soon", "-1", 0, false},
		{500, "3", "3", 0, false},
	}
	for _, tt := range tests {
		resp := httptest.NewRecorder()
		resp.Header().Set("Retry-After", tt.header)
		resp.Header().Set(HeaderRetryAfterMS, tt.ms)
		resp.WriteHeader(tt.code)
		var overloaded *OverloadedError
		err := statusError(resp.Result(), now)
		assert.Equal(t, tt.overloaded, errors.As(err, &overloaded), "%d %q", tt.code, tt.header)
		if tt.overloaded {
			assert.Equal(t, tt.want, overloaded.RetryAfter())
		}
	}
}

func TestTheEndpointIsFoundFromAnyBase(t *testing.T) {
	tests := []struct{ base, want string }{
		{"http://h:1", "http://h:1/v1/chat/completions"},
		{"http://h:1/", "http://h:1/v1/chat/completions"},
		{"https://h/v1", "https://h/v1/chat/completions"},
		{"https://h/openai/v1/", "https://h/openai/v1/chat/completions"},
		{"https://h/v1beta2", "https://h/v1beta2/chat/completions"},
		{"https://h/x/chat/completions", "https://h/x/chat/completions"},
		{"h:1", ""}, {"ftp://h", ""}, {"", ""}, {"http://", ""},
	}
	for _, tt := range tests {
		got, err := Endpoint(tt.base)
		assert.Equal(t, tt.want, got, tt.base)
		assert.Equal(t, tt.want == "", err != nil, tt.base)
	}
}

func TestAnswerPicksSentences(t *testing.T) {
	tests := []struct{ name, prompt, want string }{
		{"nothing", "", "There is nothing to summarise."},
		{"no documentation", "Sum up.\n\nDocumentation:\n\n", "There is nothing to summarise."},
		{"without the line, all is documentation", "Rivers flow. They do.", "Rivers flow."},
		{"in their order, the frequent ones", "x\nDocumentation:\n\nBoats are here. More.\n\nUnrelated words stand around.\n\nBoats carry boats.",
			"Boats are here. Boats carry boats."},
		{"twice is once", "Documentation:\nSame here.\n\nSame here.", "Same here."},
		{"abbreviations end no sentence", "Use it, e.g. for J. Doe etc. or others. Not this.", "Use it, e.g. for J. Doe etc. or others."},
		{"long sentences are cut", strings.Repeat("word ", 100), strings.TrimSpace(strings.Repeat("word ", 63)) + "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, Answer(tt.prompt))
			assert.Equal(t, Answer(tt.prompt), Answer(tt.prompt))
		})
	}
}

func FuzzStream(f *testing.F) {
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n")
	f.Add("data: {\n\n")
	f.Add(":\r\ndata\r\n\r\n")
	f.Fuzz(func(t *testing.T, stream string) {
		var pieces strings.Builder
		answer, err := readStream(strings.NewReader(stream), func(p string) { pieces.WriteString(p) })
		if err == nil {
			require.Equal(t, pieces.String(), answer.Text)
			require.NotEmpty(t, answer.Text)
		} else {
			require.ErrorIs(t, err, ErrModel)
			require.Empty(t, answer)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(prompt)
	f.Fuzz(func(t *testing.T, prompt string) {
		answer := Answer(prompt)
		require.NotEmpty(t, answer)
		require.LessOrEqual(t, len(answer), answerBytes)
		require.Equal(t, answer, strings.Join(chunks(answer, 3), ""))
	})
}

func Example() {
	server, err := Listen(Config{})
	if err != nil {
		panic(err)
	}
	defer server.Close(context.Background())
	client := Client{BaseURL: server.URL(), Model: "extractive"}
	answer, err := client.Chat(context.Background(), Question{Task: "summarize:boat.go", Attempt: 1, Prompt: prompt}, nil)
	fmt.Println(answer.Text, err)
	// Output: Package boat rows boats. Oar is what moves boats over rivers. <nil>
}
