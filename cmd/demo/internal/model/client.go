package model

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Bounds of what a client reads.
const (
	maxEvent      = 256 << 10 // one event of a stream
	maxAnswer     = 4 << 20   // a whole answer, with all its framing
	maxErrorBody  = 16 << 10  // the body of an error
	maxMessage    = 200       // what is kept of it
	maxRetryAfter = time.Hour
)

// Client asks one model of one service. Its fields must not change while it is used; its methods may be called from any goroutine.
type Client struct {
	BaseURL string       // such as http://127.0.0.1:8080 or https://api.openai.com/v1, with or without the version
	Model   string       // name of the model
	Key     string       // sent as a bearer token unless empty
	HTTP    *http.Client // nil means http.DefaultClient; time limits come from the context
	Tokens  *TokenCount  // asks for the count of tokens with a streamed answer, unless it is nil
}

var (
	versioned = regexp.MustCompile(`/v[0-9]+[a-z0-9]*$`)
	errEnded  = errors.New("the stream ended before the answer")
	errEmpty  = errors.New("the answer is empty")
)

// Endpoint is the address that chat completions are posted to. The base may lack the version, and may also be the whole address.
func Endpoint(base string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("model address %q: want http(s)://host[:port][/path]", base)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	switch {
	case strings.HasSuffix(u.Path, "/chat/completions"):
	case versioned.MatchString(u.Path):
		u.Path += "/chat/completions"
	default:
		u.Path += "/v1/chat/completions"
	}
	return u.String(), nil
}

// Chat asks the model once and returns its answer (twice if the first request is refused for asking for the tokens, too). onChunk, unless nil, sees the pieces as they come, on the caller's goroutine.
//
// The error is a *StatusError, *OverloadedError, *CutError or *FormatError, all of which wrap ErrModel; or, when ctx ends
// first, it wraps the cause of that instead.
func (c Client) Chat(ctx context.Context, q Question, onChunk func(string)) (Completion, error) {
	if onChunk == nil {
		onChunk = func(string) {}
	}
	count := c.Tokens.asks()
	answer, err := c.chat(ctx, q, count, onChunk)
	if count && c.Tokens.refuses(err) {
		answer, err = c.chat(ctx, q, false, onChunk)
	}
	if err != nil && ctx.Err() != nil {
		return Completion{}, fmt.Errorf("model: question for %s given up: %w", q.Task, context.Cause(ctx))
	}
	return answer, err
}

func (c Client) chat(ctx context.Context, q Question, count bool, onChunk func(string)) (Completion, error) {
	endpoint, err := Endpoint(c.BaseURL)
	if err != nil {
		return Completion{}, &FormatError{err}
	}
	asked := chatRequest{Model: c.Model, Messages: []message{{Role: "user", Content: q.Prompt}}, Stream: true}
	if count {
		asked.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return Completion{}, &FormatError{err}
	}
	resp, err := c.send(ctx, q, endpoint, "text/event-stream, application/json", body)
	if err != nil {
		return Completion{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Completion{}, statusError(resp, time.Now())
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/event-stream" {
		return readStream(resp.Body, onChunk)
	}
	return readWhole(resp.Body, onChunk)
}

// send posts a body to an address, and returns the response whatever its status is.
func (c Client) send(ctx context.Context, q Question, address, accept string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, &FormatError{err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", accept)
	q.describe(req.Header)
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	client := *cmp.Or(c.HTTP, http.DefaultClient)
	client.CheckRedirect = keepPosting
	resp, err := client.Do(req)
	if err != nil {
		return nil, &CutError{Err: err}
	}
	return resp, nil
}

// maxRedirects is how often in a row a request may be sent elsewhere.
const maxRedirects = 10

// keepPosting follows a redirect only if the question goes along with it: of most, a GET without a body comes, whose answer answers nothing.
func keepPosting(next *http.Request, before []*http.Request) error {
	if next.Method != http.MethodPost || len(before) >= maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// describe sets the headers by which the server knows a question. Names are escaped: they may hold what a header may not.
func (q Question) describe(header http.Header) {
	header.Set(HeaderTask, url.PathEscape(q.Task))
	header.Set(HeaderAttempt, strconv.Itoa(q.Attempt))
	if q.Call > 0 {
		header.Set(HeaderCall, strconv.Itoa(q.Call))
	}
	if q.Heard > 0 {
		header.Set(HeaderHeard, strconv.Itoa(q.Heard))
	}
	if q.Period != "" {
		header.Set(HeaderPeriod, url.PathEscape(q.Period))
	}
}

// readStream puts an answer together from its chunks. It is whole when the stream says so with [DONE], or when it ends
// cleanly after a chunk with a finish reason.
func readStream(body io.Reader, onChunk func(string)) (Completion, error) {
	var answer strings.Builder
	var tokens Tokens
	events, finished := newEventReader(body, maxEvent, maxAnswer), false
	for {
		data, err := events.next()
		switch {
		case errors.Is(err, errLineTooLong), errors.Is(err, errStreamTooLong):
			return Completion{}, &FormatError{err}
		case err == io.EOF && finished, err == nil && data == "[DONE]":
			return nonEmpty(answer.String(), tokens)
		case err == io.EOF:
			return Completion{}, &CutError{Received: answer.Len(), Err: errEnded}
		case err != nil:
			return Completion{}, &CutError{Received: answer.Len(), Err: err}
		}
		var chunk chatResponse
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return Completion{}, &FormatError{err}
		}
		if chunk.Error != nil {
			return Completion{}, &StatusError{Code: http.StatusOK, Message: brief(chunk.Error.Message)}
		}
		if chunk.Usage != nil {
			tokens = chunk.Usage.tokens() // so far
		}
		for _, choice := range chunk.Choices {
			if choice.Index != 0 {
				continue
			}
			if choice.Delta != nil && choice.Delta.Content != "" {
				answer.WriteString(choice.Delta.Content)
				onChunk(choice.Delta.Content)
			}
			finished = finished || choice.FinishReason != nil && *choice.FinishReason != ""
		}
	}
}

// readWhole reads the answer of a service that does not stream.
func readWhole(body io.Reader, onChunk func(string)) (Completion, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	switch {
	case err != nil:
		return Completion{}, &CutError{Received: len(data), Err: err}
	case len(data) > maxAnswer:
		return Completion{}, &FormatError{ErrTooLong}
	}
	var whole chatResponse
	if err := json.Unmarshal(data, &whole); err != nil {
		return Completion{}, &FormatError{err}
	}
	switch {
	case whole.Error != nil:
		return Completion{}, &StatusError{Code: http.StatusOK, Message: brief(whole.Error.Message)}
	case len(whole.Choices) == 0 || whole.Choices[0].Message == nil:
		return Completion{}, &FormatError{errEmpty}
	}
	answer, err := nonEmpty(whole.Choices[0].Message.Content, whole.Usage.tokens())
	if err == nil {
		onChunk(answer.Text)
	}
	return answer, err
}

func nonEmpty(answer string, tokens Tokens) (Completion, error) {
	if strings.TrimSpace(answer) == "" {
		return Completion{}, &FormatError{errEmpty}
	}
	return Completion{answer, tokens}, nil
}

func statusError(resp *http.Response, now time.Time) error {
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		if after, ok := retryAfter(resp.Header, now); ok {
			notice, _ := strconv.Atoi(resp.Header.Get(HeaderNotice)) // 0 if it has none
			return &OverloadedError{Code: resp.StatusCode, After: after, Notice: notice}
		}
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what came is good enough for a message
	return &StatusError{Code: resp.StatusCode, Message: refusal(resp, body)}
}

// refusal is what a response without an answer says.
func refusal(resp *http.Response, body []byte) string {
	var wrapped chatResponse
	if json.Unmarshal(body, &wrapped) == nil && wrapped.Error != nil {
		return brief(wrapped.Error.Message)
	}
	if to := resp.Header.Get("Location"); to != "" {
		return brief("the service is at " + to)
	}
	return brief(string(body))
}

// retryAfter reads milliseconds, else seconds or an HTTP date, and holds the result within bounds.
func retryAfter(headers http.Header, now time.Time) (time.Duration, bool) {
	if ms, err := strconv.ParseUint(strings.TrimSpace(headers.Get(HeaderRetryAfterMS)), 10, 32); err == nil {
		return min(time.Duration(ms)*time.Millisecond, maxRetryAfter), true
	}
	header := strings.TrimSpace(headers.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter), true
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter), true
	}
	return 0, false
}

// brief puts a message on one line of bounded length.
func brief(text string) string {
	if text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " "); text == "" {
		return "without a message"
	}
	return clip(text, maxMessage)
}
