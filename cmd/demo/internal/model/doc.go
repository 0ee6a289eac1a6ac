// Package model is the demo's language model: a client of the OpenAI chat-completions format, and a server that
// speaks it on the loopback interface.
//
// The server is real (net/http, a TCP port) and its answers are honest, if modest: it picks sentences from the
// documentation it is given, see [Answer], so the same question always has the same answer. What makes it useful is
// that it fails on purpose. Which request fails, and how, is decided by a function of the task and the attempt that the
// client names in two headers, never by the order in which requests arrive:
//
//	server, err := model.Listen(model.Config{Faults: plan.ModelFault})
//	client := model.Client{BaseURL: server.URL(), Model: "extractive"}
//	answer, err := client.Chat(ctx, model.Question{Task: "summarize:server.go", Attempt: attempt, Prompt: prompt}, nil)
//
// The client works with any OpenAI-compatible endpoint. It tries once: to try again is the business of whoever leases
// the task. Its errors say what happened, and only an overload says when to come back.
package model

// Headers by which the client tells the server what a request is for and what let it go. Other servers ignore them.
const (
	HeaderTask    = "X-Request-Id"
	HeaderAttempt = "X-Attempt"
	HeaderCall    = "X-Call"
	HeaderHeard   = "X-Heard"
	HeaderPeriod  = "X-Breaker-Period"
)

// HeaderRetryAfterMS is a Retry-After to the millisecond, as OpenAI's servers send it and its clients heed it.
const HeaderRetryAfterMS = "Retry-After-Ms"

// HeaderNotice is the number of an overload, counted from 1, in the server's answer.
const HeaderNotice = "X-Overload"

// Question is what a client asks, and on what grounds. Without the fields from Call on the server just knows less.
type Question struct {
	Task    string // the task that it belongs to
	Attempt int    // of the task, from 1
	Prompt  string

	Call   int    // its number among all requests of the sender, from 1: a request sent again by some layer below has the same
	Heard  int    // the latest overload, by its number, whose Retry-After the sender was keeping to when it let the question go
	Period string // of the circuit breaker that let it through
}

// chatRequest is the part of a chat-completions request that both sides use.
type chatRequest struct {
	Model    string    `json:"model"`
	Messages []message `json:"messages"`
	Stream   bool      `json:"stream"`

	StreamOptions *streamOptions `json:"stream_options,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type message struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content,omitempty"`
}

// chatResponse is a whole answer, or one chunk of a streamed one.
type chatResponse struct {
	ID      string    `json:"id"`
	Object  string    `json:"object"`
	Model   string    `json:"model"`
	Choices []choice  `json:"choices"`
	Usage   *usage    `json:"usage,omitempty"`
	Error   *apiError `json:"error,omitempty"`
}

type choice struct {
	Index        int      `json:"index"`
	Message      *message `json:"message,omitempty"`
	Delta        *message `json:"delta,omitempty"`
	FinishReason *string  `json:"finish_reason"`
}

type apiError struct {
	Message string `json:"message"`
	Type    string `json:"type"`
}
