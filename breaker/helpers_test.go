package breaker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

var errDown = errors.New("connection refused")

// defaults as the package promises them, spelt out so that a changed default shows.
const (
	threshold = 5
	reset     = 30 * time.Second
	slots     = 3
	toClose   = 2
	opTimeout = 10 * time.Second
)

func newBreaker(t testing.TB, cfg breaker.Config) *breaker.Breaker {
	t.Helper()
	b, err := breaker.New(cfg)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func succeed(b *breaker.Breaker) error {
	_, err := breaker.Do(context.Background(), b, func(context.Context) (int, error) { return 1, nil })
	return err
}

func fail(b *breaker.Breaker) error {
	_, err := breaker.Do(context.Background(), b, func(context.Context) (int, error) { return 0, errDown })
	return err
}

// trip opens a closed breaker.
func trip(t testing.TB, b *breaker.Breaker) {
	t.Helper()
	for range b.Config().FailureThreshold {
		require.ErrorIs(t, fail(b), errDown)
	}
	require.Equal(t, breaker.Open, b.State())
}

// halfOpen brings a closed breaker to half-open. Only in a bubble.
func halfOpen(t testing.TB, b *breaker.Breaker) {
	t.Helper()
	trip(t, b)
	time.Sleep(b.Config().ResetTimeout)
	require.Equal(t, breaker.HalfOpen, b.State())
}

func acquire(t testing.TB, b *breaker.Breaker) breaker.Permit {
	t.Helper()
	p, err := b.Acquire()
	require.NoError(t, err)
	return p
}

func refusedWith(t testing.TB, b *breaker.Breaker, sentinel error) *breaker.OpenError {
	t.Helper()
	_, err := b.Acquire()
	require.ErrorIs(t, err, sentinel)
	var open *breaker.OpenError
	require.ErrorAs(t, err, &open)
	return open
}

// log collects transitions.
type log struct {
	mu     sync.Mutex
	events []breaker.Transition
}

func (l *log) add(t breaker.Transition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, t)
}

func (l *log) all() []breaker.Transition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]breaker.Transition(nil), l.events...)
}

// requireDense checks that transitions come in order, none missing, each starting where the last ended.
func requireDense(t testing.TB, events []breaker.Transition) {
	t.Helper()
	from := breaker.Closed
	for i, e := range events {
		require.Equal(t, uint64(i+1), e.Gen)
		require.Equal(t, from, e.From)
		require.NotEqual(t, e.From, e.To)
		from = e.To
	}
}
