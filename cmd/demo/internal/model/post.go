package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxReply bounds the body of a reply, in bytes.
const MaxReply = maxAnswer

// Reply is a response as the service gave it.
type Reply struct {
	StatusCode int
	RequestID  string          // by the service; empty if it gave none
	Body       json.RawMessage // JSON: what came, or an error object around it if that was something else
}

// Post sends a request as it is, once, to an endpoint such as /v1/chat/completions, and returns the reply. Of q all but the prompt counts.
//
// With an error for its status, a *StatusError or *OverloadedError, the reply is returned as well. The other errors are those of Chat.
func (c Client) Post(ctx context.Context, q Question, path string, body []byte) (Reply, error) {
	reply, err := c.post(ctx, q, path, body)
	if err != nil && ctx.Err() != nil {
		return Reply{}, fmt.Errorf("model: request for %s given up: %w", q.Task, context.Cause(ctx))
	}
	return reply, err
}

func (c Client) post(ctx context.Context, q Question, path string, body []byte) (Reply, error) {
	address, err := endpointOf(c.BaseURL, path)
	if err != nil {
		return Reply{}, &FormatError{err}
	}
	resp, err := c.send(ctx, q, address, "application/json", body)
	if err != nil {
		return Reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	reply := Reply{StatusCode: resp.StatusCode, RequestID: resp.Header.Get(HeaderTask), Body: bytes.TrimSpace(data)}
	valid := json.Valid(reply.Body) && utf8.Valid(reply.Body) && len(data) <= maxAnswer
	if resp.StatusCode != http.StatusOK {
		if !valid {
			if reply.Body, err = json.Marshal(chatError{apiError{Message: refusal(resp, data[:min(len(data), maxErrorBody)]), Type: "not_json"}}); err != nil {
				return Reply{}, &FormatError{err}
			}
		}
		resp.Body = io.NopCloser(bytes.NewReader(reply.Body))
		return reply, statusError(resp, time.Now())
	}
	switch {
	case err != nil:
		return Reply{}, &CutError{Received: len(data), Err: err}
	case len(data) > maxAnswer:
		return Reply{}, &FormatError{ErrTooLong}
	case !valid:
		return Reply{}, &FormatError{errNotJSON}
	}
	return reply, nil
}

var errNotJSON = errors.New("the reply is not JSON in UTF-8")

// chatError is an error and nothing else.
type chatError struct {
	Error apiError `json:"error"`
}

// endpointOf is the address of an endpoint. The base is that of Endpoint.
func endpointOf(base, path string) (string, error) {
	chat, err := Endpoint(base)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(chat)
	if err != nil {
		return "", err
	}
	u.Path = strings.TrimSuffix(u.Path, "/chat/completions") + strings.TrimPrefix(path, "/v1")
	return u.String(), nil
}

// AnswerTo is what the embedded server answers to the body of a request, and false for one that it refuses.
func AnswerTo(body []byte) (string, bool) {
	if len(body) > maxRequest {
		return "", false
	}
	var asked chatRequest
	if err := json.Unmarshal(body, &asked); err != nil || len(asked.Messages) == 0 {
		return "", false
	}
	return Answer(question(asked.Messages)), true
}

// TextOf is what the model says in the body of a reply.
func TextOf(body []byte) (string, error) {
	answer, err := readWhole(bytes.NewReader(body), func(string) {})
	return answer.Text, err
}
