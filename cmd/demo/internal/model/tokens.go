package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
)

// Completion is what a model answers.
type Completion struct {
	Text   string
	Tokens Tokens
}

// Tokens are how many a call took, as the service counts them; zero if it doesn't say.
type Tokens struct{ Input, Output int }

// TokenCount is whether a service knows how to be asked for its count with a streamed answer, by stream_options. Its zero value supposes so.
type TokenCount struct{ refused atomic.Bool }

// asks reports whether the service is to be asked.
func (c *TokenCount) asks() bool { return c != nil && !c.refused.Load() }

// refuses reports whether that was what a service refused a request for.
func (c *TokenCount) refuses(err error) bool {
	var status *StatusError
	if !errors.As(err, &status) || status.Code != http.StatusBadRequest && status.Code != http.StatusUnprocessableEntity || !strings.Contains(status.Message, "stream_options") {
		return false
	}
	c.refused.Store(true)
	return true
}

// usage is the count under its names in chat completions, and in responses.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
	Input      int `json:"input_tokens,omitempty"`
	Output     int `json:"output_tokens,omitempty"`
}

func (u *usage) tokens() Tokens {
	if u == nil {
		return Tokens{}
	}
	return Tokens{Input: max(cmp.Or(u.Prompt, u.Input), 0), Output: max(cmp.Or(u.Completion, u.Output), 0)}
}

// TokensOf is the count in the body of a reply.
func TokensOf(body []byte) Tokens {
	var reply struct {
		Usage *usage `json:"usage"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return Tokens{}
	}
	return reply.Usage.tokens()
}

// usageOf counts as the embedded model does, whose tokens are words.
func usageOf(question, answer string) *usage {
	asked, answered := len(strings.Fields(question)), len(strings.Fields(answer))
	return &usage{Prompt: asked, Completion: answered, Total: asked + answered}
}
