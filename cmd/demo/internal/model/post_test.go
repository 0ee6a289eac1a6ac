package model_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
)

// serve answers every request in one way, and returns where.
func serve(t *testing.T, answer http.HandlerFunc) string {
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

func TestPostSendsWhatItIsGiven(t *testing.T) {
	var path, body, key, task string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		path, body, key, task = r.URL.Path, string(data), r.Header.Get("Authorization"), r.Header.Get(model.HeaderTask)
		w.Header().Set("X-Request-Id", "r1")
		fmt.Fprint(w, " {\"a\": 1}\n")
	})
	for base, want := range map[string]string{
		url: "/v1/embeddings", url + "/v1/": "/v1/embeddings", url + "/openai/v2": "/openai/v2/embeddings", url + "/v1/chat/completions": "/v1/embeddings",
	} {
		reply, err := model.Client{BaseURL: base, Key: "k"}.Post(t.Context(), model.Question{Task: "t", Attempt: 1}, "/v1/embeddings", []byte(`{ "x":1.0 }`))
		require.NoError(t, err)
		require.Equal(t, model.Reply{StatusCode: 200, RequestID: "r1", Body: []byte(`{"a": 1}`)}, reply)
		require.Equal(t, []string{want, `{ "x":1.0 }`, "Bearer k", "t"}, []string{path, body, key, task})
	}
}

func TestPostSaysWhatWentWrong(t *testing.T) {
	post := func(answer http.HandlerFunc) (model.Reply, error) {
		return model.Client{BaseURL: serve(t, answer)}.Post(t.Context(), model.Question{Task: "t"}, "/v1/chat/completions", []byte("{}"))
	}
	var status *model.StatusError
	var overloaded *model.OverloadedError
	var format *model.FormatError
	var cut *model.CutError

	reply, err := post(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":{"message":"no"}}`)
	})
	require.ErrorAs(t, err, &status)
	require.Equal(t, "no", status.Message)
	require.Equal(t, 400, reply.StatusCode)
	require.JSONEq(t, `{"error":{"message":"no"}}`, string(reply.Body))

	reply, err = post(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<p>no</p>")
	})
	require.ErrorAs(t, err, &status)
	require.JSONEq(t, `{"error":{"message":"<p>no</p>","type":"not_json"}}`, string(reply.Body))

	_, err = post(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	require.ErrorAs(t, err, &overloaded)
	require.Equal(t, 3*time.Second, overloaded.RetryAfter())

	reply, err = post(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "{\"error\":{\"message\":\"caf\xe9\"}}")
	})
	require.ErrorAs(t, err, &status)
	require.True(t, utf8.Valid(reply.Body))

	_, err = post(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"cut`) })
	require.ErrorAs(t, err, &format)
	_, err = post(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{\"text\":\"caf\xe9\"}") })
	require.ErrorAs(t, err, &format, "whoever writes it down would have to alter it")
	_, err = post(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `"`+strings.Repeat("x", model.MaxReply)+`"`)
	})
	require.ErrorAs(t, err, &format)
	_, err = post(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, `{}`)
	})
	require.ErrorAs(t, err, &cut)
	require.ErrorIs(t, err, model.ErrModel)

	over := errors.New("over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	_, err = model.Client{BaseURL: "http://127.0.0.1:1"}.Post(ctx, model.Question{}, "/v1/chat/completions", nil)
	require.ErrorIs(t, err, over)
	require.NotErrorIs(t, err, model.ErrModel)
}

// A redirect that takes the question along is followed; any other is the service's answer, for what comes of it is none.
func TestRedirectsAreFollowedOnlyWithTheQuestion(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != "/elsewhere":
				http.Redirect(w, r, "/elsewhere", code)
			case r.Method != http.MethodPost:
				fmt.Fprint(w, `{"choices":[{"message":{"content":"a page"}}]}`)
			default:
				body, err := io.ReadAll(r.Body)
				if err != nil || len(body) == 0 || r.Header.Get("Authorization") != "Bearer k" {
					w.WriteHeader(http.StatusUnauthorized)
				}
				fmt.Fprint(w, `{"choices":[{"message":{"content":"an answer"}}]}`)
			}
		})
		client := model.Client{BaseURL: url, Key: "k"}
		reply, err := client.Post(t.Context(), model.Question{Task: "t"}, "/v1/chat/completions", []byte(`{"a":1}`))
		answer, chatErr := client.Chat(t.Context(), model.Question{Task: "t", Prompt: "?"}, nil)
		if code >= 307 {
			require.NoError(t, errors.Join(err, chatErr))
			require.Contains(t, string(reply.Body), "an answer")
			require.Equal(t, "an answer", answer.Text)
			continue
		}
		for _, err := range []error{err, chatErr} {
			var status *model.StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, model.StatusError{Code: code, Message: "the service is at /elsewhere"}, *status)
		}
		require.Equal(t, code, reply.StatusCode)
		require.JSONEq(t, `{"error":{"message":"the service is at /elsewhere","type":"not_json"}}`, string(reply.Body))
	}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/round", http.StatusTemporaryRedirect)
	})
	_, err := model.Client{BaseURL: url}.Post(t.Context(), model.Question{Task: "t"}, "/v1/chat/completions", []byte("{}"))
	var status *model.StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, http.StatusTemporaryRedirect, status.Code)
}

// What the embedded server says to a body can be computed without it.
func TestAnswerToIsWhatTheServerAnswers(t *testing.T) {
	server, err := model.Listen(model.Config{Faults: func(string, int) chaos.Fault { return chaos.None }})
	require.NoError(t, err)
	defer server.Close(t.Context())
	pad := strings.Repeat(" ", 1<<20)
	for _, body := range []string{
		`{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"One thing. Another."}]}`,
		`{"messages":[{"role":"user","content":""}]}`, `{"messages":[]}`, `{}`, `{"messages":[{"role":"user","content":[1]}]}`,
		`{"messages":[{"role":"user","content":"x` + pad + `"}]}`, `{"messages":[{"role":"user","content":"late"}]` + pad + `}`,
	} {
		reply, err := model.Client{BaseURL: server.URL()}.Post(t.Context(), model.Question{Task: "t"}, "/v1/chat/completions", []byte(body))
		want, answered := model.AnswerTo([]byte(body))
		if !answered {
			var status *model.StatusError
			require.ErrorAs(t, err, &status, "%.80s", body)
			require.Equal(t, http.StatusBadRequest, reply.StatusCode)
			continue
		}
		require.NoError(t, err, "%.80s", body)
		got, err := model.TextOf(reply.Body)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
