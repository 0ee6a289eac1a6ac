package breaker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// TransportConfig describes a Transport.
type TransportConfig struct {
	Base http.RoundTripper // makes the requests. Default http.DefaultTransport

	// Breaker guards all requests, or Breakers has one for each Key. Exactly one of the two must be given.
	Breaker  *Breaker
	Breakers *Registry
	Key      func(*http.Request) string // default the host and port of the URL

	Bulkhead *Bulkhead // optional; a place is held until the body is closed or read to its end
	Limiter  *Limiter  // optional; held by the Retry-After of a 429 or 503

	// Classify is the verdict on the head of a response. Default ClassifyResponse. What breaks before or after it is judged
	// by the breaker's own classifier.
	Classify func(*http.Response) Verdict
}

// Transport is an http.RoundTripper that guards any HTTP client:
//
//	client := &http.Client{Transport: transport}
//
// A response with a status of 500 and above, a 429, a connection that is refused or cut, and a timeout are failures; other
// statuses are answers, and so successes, once their body has come to its end: a connection that is cut in the middle of
// the body is a failure, too, and so is a body that stands still. A body that is closed early counts as it stood. A 429 or
// 503 with Retry-After opens the breaker for that time. A request that its caller cancelled says nothing.
//
// The breaker's OperationTimeout bounds the wait for the response's head, and then each wait for more of its body, so that
// a long stream may go on as long as it makes progress; http.Client.Timeout bounds the whole.
//
// Refusals are the errors of [Breaker.Acquire], [Bulkhead.Acquire], [Limiter.Wait] and [Registry.Get], in the *url.Error of
// the client; a timeout is a *TimeoutError there. Responses come back as they are, failures too. Nothing is retried here.
// Close the body, as always: an abandoned one holds its place in the bulkhead, and a half-open slot until its lease is over.
type Transport struct {
	cfg TransportConfig
}

// NewTransport makes a transport. The error names every fault of the configuration.
func NewTransport(cfg TransportConfig) (*Transport, error) {
	if (cfg.Breaker == nil) == (cfg.Breakers == nil) {
		return nil, errors.New("transport: invalid config: exactly one of Breaker and Breakers must be given")
	}
	if cfg.Base == nil {
		cfg.Base = http.DefaultTransport
	}
	if cfg.Key == nil {
		cfg.Key = func(req *http.Request) string { return req.URL.Host }
	}
	if cfg.Classify == nil {
		cfg.Classify = ClassifyResponse
	}
	return &Transport{cfg}, nil
}

// Transport is an http.RoundTripper through all guards of the external service, in their order, except retry: requests
// have bodies, and only their sender knows what may be sent twice.
func (e *External) Transport(base http.RoundTripper) *Transport {
	t, _ := NewTransport(TransportConfig{Base: base, Breaker: e.breaker, Bulkhead: e.front.bulkhead, Limiter: e.front.limiter})
	return t
}

// RoundTrip makes a request if the guards admit it.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x, err := t.admit(req)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	returned := false
	defer func() {
		if !returned {
			x.end(Failure, errPanicked)
		}
	}()
	x.watch()
	resp, err := t.cfg.Base.RoundTrip(req.WithContext(x.ctx))
	x.rest()
	if err != nil {
		err = x.broken(err)
		returned = true
		return nil, err
	}
	x.head(t, resp)
	returned = true
	return resp, nil
}

func (t *Transport) admit(req *http.Request) (*exchange, error) {
	b := t.cfg.Breaker
	if b == nil {
		var err error
		if b, err = t.cfg.Breakers.Get(t.cfg.Key(req)); err != nil {
			return nil, err
		}
	}
	ctx := req.Context()
	leave, err := front{t.cfg.Bulkhead, t.cfg.Limiter}.pass(ctx, b)
	if err != nil {
		return nil, err
	}
	permit, err := b.Acquire()
	if err != nil {
		leave()
		return nil, err
	}
	x := &exchange{breaker: b, permit: permit, caller: ctx, leave: leave}
	x.ctx, x.cancel = context.WithCancelCause(context.WithValue(ctx, admissionKey{}, permit.admission()))
	return x, nil
}

// exchange is a request from its admission to the end of its response's body.
type exchange struct {
	breaker *Breaker
	permit  Permit
	caller  context.Context
	leave   func() // the bulkhead
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer // runs while we wait for the other side; nil without a timeout
	settled atomic.Bool
}

func (x *exchange) watch() {
	switch {
	case !x.breaker.timed:
	case x.timer == nil:
		x.timer = time.AfterFunc(x.breaker.cfg.OperationTimeout, x.expire)
	default:
		x.timer.Reset(x.breaker.cfg.OperationTimeout)
	}
}

func (x *exchange) rest() {
	if x.timer != nil {
		x.timer.Stop()
	}
}

// expire is the operation timeout, on a timer's goroutine.
func (x *exchange) expire() {
	if x.settle(Failure, x.breaker.errTimeout) {
		x.breaker.counters.timedOut.Add(1)
	}
	x.cancel(x.breaker.errTimeout)
}

func (x *exchange) settle(v Verdict, cause error) bool {
	if x.settled.Swap(true) {
		return false
	}
	x.permit.settle(v, cause)
	return true
}

// end settles what is not settled yet, and gives everything back.
func (x *exchange) end(v Verdict, cause error) {
	x.rest()
	x.settle(v, cause)
	x.cancel(nil)
	x.leave()
}

// broken ends an exchange whose request or body failed, and returns what its caller is told.
func (x *exchange) broken(err error) error {
	if context.Cause(x.ctx) == error(x.breaker.errTimeout) {
		err = x.breaker.errTimeout
	}
	x.end(x.breaker.verdict(err, x.caller.Err() == context.Canceled), err)
	return err
}

// head judges a response by its head, as far as that goes.
func (x *exchange) head(t *Transport, resp *http.Response) {
	v := t.cfg.Classify(resp)
	after := RetryAfter(resp)
	if t.cfg.Limiter != nil && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		t.cfg.Limiter.Hold(after)
	}
	stream, upgraded := resp.Body.(io.ReadWriteCloser)
	switch {
	case v != Success:
		x.settle(v, &StatusError{Code: resp.StatusCode, After: after})
	case upgraded:
		x.settle(Success, nil)
	}
	switch {
	case upgraded:
		resp.Body = &upgradedBody{body{exchange: x, from: stream}, stream}
	case resp.Body == nil || resp.Body == http.NoBody:
		x.end(v, nil)
	default:
		resp.Body = &body{exchange: x, from: resp.Body}
	}
}

// body is a response's body whose end is part of the verdict. Like any body it is read by one goroutine at a time, and may
// be closed by another.
type body struct {
	*exchange
	from  io.ReadCloser
	ended atomic.Bool
}

// Read reads on. A body that stands still for the operation timeout fails with a *TimeoutError.
func (b *body) Read(p []byte) (int, error) {
	b.watch()
	n, err := b.from.Read(p)
	b.rest()
	switch {
	case err == nil:
		b.permit.renew()
	case b.ended.Swap(true):
	case err == io.EOF:
		b.end(Success, nil)
	default:
		err = b.broken(err) // as it is, unless it was our timeout
	}
	return n, err
}

// Close ends the exchange, if the end of the body has not.
func (b *body) Close() error {
	err := b.from.Close()
	if !b.ended.Swap(true) {
		gaveUp := b.caller.Err()
		b.end(b.breaker.verdict(gaveUp, gaveUp == context.Canceled), gaveUp)
	}
	return err
}

// upgradedBody is the connection after "101 Switching Protocols": quiet times are no failures there.
type upgradedBody struct {
	body
	io.Writer
}

// Read reads on, for as long as it takes.
func (b *upgradedBody) Read(p []byte) (int, error) { return b.from.Read(p) }
