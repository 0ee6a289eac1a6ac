package model

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheEmbeddedModelCountsWords(t *testing.T) {
	_, c := listen(t, Config{})
	c.Tokens = &TokenCount{}
	answer, err := c.Chat(t.Context(), Question{Task: "summarize:a.go", Attempt: 3, Prompt: "One two. Three four five."}, nil)
	require.NoError(t, err)
	require.Equal(t, Completion{Text: "One two.", Tokens: Tokens{Input: 5, Output: 2}}, answer)
	require.True(t, c.Tokens.asks())
}

func TestTokensAreFoundUnderAllTheirNames(t *testing.T) {
	for body, want := range map[string]Tokens{
		`{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`: {3, 4},
		`{"usage":{"input_tokens":3,"output_tokens":4}}`:                       {3, 4},
		`{"usage":{"prompt_tokens":9,"total_tokens":9}}`:                       {9, 0},
		`{"usage":{"prompt_tokens":-9}}`:                                       {},
		`{"usage":null}`:                                                       {},
		`{}`:                                                                   {},
		`{"usage":{"prompt_tokens":"many"}}`:                                   {},
		`nonsense`:                                                             {},
	} {
		assert.Equal(t, want, TokensOf([]byte(body)), body)
	}
}

// A service that doesn't know the option is asked once more without it, and never again with it.
func TestWhoRefusesToCountIsAskedWithout(t *testing.T) {
	for name, c := range map[string]struct {
		code    int
		message string
		asked   []bool // whether each request of two questions asked for the count
	}{
		"knows it not":            {422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}}`, []bool{true, false, false}},
		"says so":                 {400, `{"error":{"message":"unknown parameter: stream_options"}}`, []bool{true, false, false}},
		"refuses something else":  {400, `{"error":{"message":"unknown model"}}`, []bool{true, true}},
		"fails, and speaks of it": {500, `{"error":{"message":"stream_options crashed me"}}`, []bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []bool
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var request chatRequest
				assert.NoError(t, json.NewDecoder(r.Body).Decode(&request))
				asked = append(asked, request.StreamOptions != nil)
				if request.StreamOptions != nil {
					w.WriteHeader(c.code)
					_, err := w.Write([]byte(c.message))
					assert.NoError(t, err)
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, err := w.Write([]byte(strings.Join([]string{
					`data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":2,"completion_tokens":1}}`,
					`data: {"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":2}}`, "",
				}, "\n\n")))
				assert.NoError(t, err)
			}))
			defer service.Close()
			client := Client{BaseURL: service.URL, HTTP: service.Client(), Tokens: &TokenCount{}}
			for attempt := range 2 {
				answer, err := client.Chat(t.Context(), Question{Task: "x", Attempt: attempt + 1, Prompt: "p"}, nil)
				if len(c.asked) == 3 {
					require.NoError(t, err)
					require.Equal(t, Completion{"ab", Tokens{2, 2}}, answer, "told unasked, it is heard as well")
				} else {
					require.Error(t, err)
				}
			}
			require.Equal(t, c.asked, asked)
		})
	}
}
