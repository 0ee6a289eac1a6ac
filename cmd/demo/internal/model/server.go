package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// Defaults of Config.
const (
	DefaultDrillFailures = 8
	DefaultRetryAfter    = 200 * time.Millisecond
	DefaultPause         = 2 * time.Millisecond
	DefaultChunkWords    = 4
)

// What stands in every answer, for it has to.
const (
	answerID    = "chatcmpl-demo"
	chunkObject = "chat.completion.chunk"
)

// Bounds of what the server takes in.
const (
	maxRequest    = 64 << 20 // bytes of a request: more than JSON makes of any file or line that the demo reads
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
)

// Config says how a Server behaves. The zero value never fails a task's request, only the breaker drill's.
type Config struct {
	// Faults decides how the request of a task's attempt fails, nil never. It must be pure, and is called from many goroutines.
	// A fault strikes once: asked again for the same task and attempt, the server answers.
	Faults func(id string, attempt int) chaos.Fault
	// DrillFailures is how many requests of a breaker drill fail with 500 before the rest succeed: counted for each
	// drill key, so that all the calls of one burst share the count. 0 means DefaultDrillFailures.
	DrillFailures int
	// RetryAfter goes with a 429, in whole seconds, rounded up, and to the millisecond for those who know HeaderRetryAfterMS. 0 means DefaultRetryAfter.
	RetryAfter time.Duration
	// Pause is the time between the chunks of a streamed answer. 0 means DefaultPause, less means none.
	Pause time.Duration
	// ChunkWords is how many words a chunk has. 0 means DefaultChunkWords.
	ChunkWords int
}

func (c Config) withDefaults() Config {
	if c.Faults == nil {
		c.Faults = func(string, int) chaos.Fault { return chaos.None }
	}
	if c.DrillFailures == 0 {
		c.DrillFailures = DefaultDrillFailures
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = DefaultRetryAfter
	}
	if c.Pause == 0 {
		c.Pause = DefaultPause
	}
	if c.ChunkWords == 0 {
		c.ChunkWords = DefaultChunkWords
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.DrillFailures < 0 {
		faults = append(faults, fmt.Errorf("DrillFailures is %d, must be 0 or more", c.DrillFailures))
	}
	if c.RetryAfter < 0 {
		faults = append(faults, fmt.Errorf("RetryAfter is %v, must be 0 or more", c.RetryAfter))
	}
	if c.ChunkWords < 0 {
		faults = append(faults, fmt.Errorf("ChunkWords is %d, must be 0 or more", c.ChunkWords))
	}
	return errors.Join(faults...)
}

// Server is a chat-completions server on the loopback interface. Its methods may be called from any goroutine.
type Server struct {
	config Config
	http   *http.Server
	url    string
	books  ledger
	served chan struct{} // closed when the accepting goroutine has ended
	quit   context.CancelFunc

	mu      sync.Mutex
	closing bool
	fresh   map[net.Conn]struct{} // connections that have not sent a request yet
	asked   sync.WaitGroup        // requests in work; no Add once closing is set
}

// Listen starts a server on a free port of 127.0.0.1. Close it.
func Listen(config Config) (*Server, error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("model server: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("model server: %w", err)
	}
	ctx, quit := context.WithCancel(context.Background())
	s := &Server{
		config: config.withDefaults(),
		url:    "http://" + listener.Addr().String(),
		served: make(chan struct{}),
		quit:   quit,
		fresh:  map[net.Conn]struct{}{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.serveChat)
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.follow,
	}
	go func() {
		defer close(s.served)
		s.http.Serve(listener)
	}()
	return s, nil
}

// URL is the server's base address, without the version.
func (s *Server) URL() string { return s.url }

// Stats is what reached the server so far.
func (s *Server) Stats() Stats { return s.books.stats() }

// Close takes no new requests and lets those in work end; when ctx ends first, it cuts them off and says so. On return no
// request is in work and every connection is closed. Further calls are harmless.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for conn := range s.fresh {
		conn.Close() // Shutdown would wait seconds for a request that may never come
	}
	s.mu.Unlock()

	err := s.http.Shutdown(ctx)
	s.quit()
	if err != nil {
		s.http.Close()
		err = fmt.Errorf("model server: requests were cut off: %w", err)
	}
	s.asked.Wait()
	<-s.served
	return err
}

// follow keeps track of the connections that have not sent anything yet.
func (s *Server) follow(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state != http.StateNew {
		delete(s.fresh, conn)
		return
	}
	if s.closing {
		conn.Close()
		return
	}
	s.fresh[conn] = struct{}{}
}

// enter admits a request, unless the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.asked.Add(1)
	return true
}

func (s *Server) serveChat(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		fail(w, http.StatusServiceUnavailable, "the server is closing")
		return
	}
	defer s.asked.Done()

	q := questionOf(r.Header)
	var asked chatRequest
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&asked)
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		s.books.count(q, BadRequest)
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request has more than %d bytes", maxRequest))
		return
	}
	if err != nil || len(asked.Messages) == 0 {
		s.books.count(q, BadRequest)
		fail(w, http.StatusBadRequest, "the request is not a JSON object with messages")
		return
	}
	prompt := question(asked.Messages)
	answer := Answer(prompt)

	switch outcome, notice := s.outcome(q); outcome {
	case Failed, DrillFailed:
		fail(w, http.StatusInternalServerError, "the model has failed, as planned")
	case Overloaded:
		w.Header().Set("Retry-After", strconv.Itoa(int((s.config.RetryAfter+time.Second-1)/time.Second)))
		w.Header().Set(HeaderRetryAfterMS, strconv.FormatInt(s.config.RetryAfter.Milliseconds(), 10))
		w.Header().Set(HeaderNotice, strconv.Itoa(notice))
		fail(w, http.StatusTooManyRequests, "too many requests, as planned")
	case Cut:
		s.cut(w, asked, answer)
	case Garbled:
		s.garble(w, asked)
	case Stalled:
		s.stall(r.Context(), w, asked, answer)
	case Answered:
		if err := s.answer(r.Context(), w, asked, answer, usageOf(prompt, answer)); err != nil {
			s.books.abandoned()
		}
	}
}

// outcome decides what becomes of a request and enters it in the books. An overload has a number.
func (s *Server) outcome(q Question) (outcome Outcome, notice int) {
	if d, _, _ := task.DrillOf(q.Task); d == task.Breaker {
		return s.books.drill(q, task.DrillKey(q.Task), s.config.DrillFailures), 0
	}
	return s.books.strike(q, s.config.Faults, s.config.RetryAfter)
}

// answer sends a whole answer, chunk by chunk if it was asked to.
func (s *Server) answer(ctx context.Context, w http.ResponseWriter, asked chatRequest, answer string, count *usage) error {
	if !asked.Stream {
		stop := "stop"
		return writeJSON(w, http.StatusOK, chatResponse{
			ID: answerID, Object: "chat.completion", Model: asked.Model,
			Choices: []choice{{Message: &message{Role: "assistant", Content: answer}, FinishReason: &stop}}, Usage: count,
		})
	}
	startStream(w)
	for i, piece := range chunks(answer, s.config.ChunkWords) {
		if i > 0 {
			if err := pause(ctx, s.config.Pause); err != nil {
				return err
			}
		}
		if err := s.chunk(w, asked, piece, ""); err != nil {
			return err
		}
	}
	if err := s.chunk(w, asked, "", "stop"); err != nil {
		return err
	}
	if asked.StreamOptions != nil && asked.StreamOptions.IncludeUsage {
		if err := s.send(w, chatResponse{ID: answerID, Object: chunkObject, Model: asked.Model, Choices: []choice{}, Usage: count}); err != nil {
			return err
		}
	}
	return event(w, "[DONE]")
}

// cut sends the first half of an answer and breaks the connection.
func (s *Server) cut(w http.ResponseWriter, asked chatRequest, answer string) {
	pieces := chunks(answer, s.config.ChunkWords)
	if asked.Stream {
		startStream(w)
		for _, piece := range pieces[:(len(pieces)+1)/2] {
			s.chunk(w, asked, piece, "") // whether it arrives makes no difference now
		}
	} else {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)+1))
		fmt.Fprint(w, answer[:len(answer)/2])
		http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler) // net/http's way to close a connection in the middle of a response
}

// garble sends what cannot be read, in an otherwise orderly response.
func (s *Server) garble(w http.ResponseWriter, asked chatRequest) {
	const garbage = `{"id":"chatcmpl-demo","choices":[{"index":0,"delta":{"cont`
	if asked.Stream {
		startStream(w)
		event(w, garbage)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, garbage)
}

// stall sends an answer without its end, and nothing more until the client has had enough.
func (s *Server) stall(ctx context.Context, w http.ResponseWriter, asked chatRequest, answer string) {
	if asked.Stream {
		startStream(w)
		pieces := chunks(answer, s.config.ChunkWords)
		for _, piece := range pieces[:max(len(pieces)-1, 1)] {
			if s.chunk(w, asked, piece, "") != nil || pause(ctx, s.config.Pause) != nil {
				return
			}
		}
	}
	<-ctx.Done()
}

func (s *Server) chunk(w http.ResponseWriter, asked chatRequest, piece, finish string) error {
	c := choice{Delta: &message{Content: piece}}
	if finish != "" {
		c.FinishReason = &finish
	}
	return s.send(w, chatResponse{ID: answerID, Object: chunkObject, Model: asked.Model, Choices: []choice{c}})
}

// send sends one chunk of a stream.
func (s *Server) send(w http.ResponseWriter, chunk chatResponse) error {
	data, err := json.Marshal(chunk)
	if err != nil {
		return err
	}
	return event(w, string(data))
}

// questionOf reads the headers. A request without an attempt is one that no plan disturbs.
func questionOf(header http.Header) Question {
	text := func(name string) string {
		if plain, err := url.PathUnescape(header.Get(name)); err == nil {
			return plain
		}
		return header.Get(name)
	}
	number := func(name string) int {
		n, err := strconv.Atoi(header.Get(name))
		if err != nil {
			return 0
		}
		return max(n, 0)
	}
	q := Question{Task: text(HeaderTask), Attempt: number(HeaderAttempt), Call: number(HeaderCall), Heard: number(HeaderHeard), Period: text(HeaderPeriod)}
	if q.Attempt == 0 {
		q.Attempt = chaos.LastAttempt + 1
	}
	return q
}

// question is what the user said, without the system's part.
func question(messages []message) string {
	var texts []string
	for _, m := range messages {
		if m.Role != "system" {
			texts = append(texts, m.Content)
		}
	}
	return strings.Join(texts, "\n\n")
}

// chunks cuts an answer into pieces of n words each, which put together are the answer again.
func chunks(answer string, n int) []string {
	var (
		pieces []string
		words  int
		start  int
	)
	for i, r := range answer {
		if r == ' ' {
			if words++; words%n == 0 {
				pieces = append(pieces, answer[start:i])
				start = i
			}
		}
	}
	return append(pieces, answer[start:])
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func startStream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
}

// event sends one server-sent event at once.
func event(w http.ResponseWriter, data string) error {
	if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

func fail(w http.ResponseWriter, code int, text string) {
	kind := "server_error"
	if code < http.StatusInternalServerError && code != http.StatusTooManyRequests {
		kind = "invalid_request_error"
	}
	writeJSON(w, code, chatError{apiError{Message: text, Type: kind}})
}

func writeJSON(w http.ResponseWriter, code int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	return json.NewEncoder(w).Encode(body)
}
