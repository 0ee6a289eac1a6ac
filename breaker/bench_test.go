package breaker_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/mistersmith/mistersmith/breaker"
)

func ok(context.Context) (int, error)   { return 1, nil }
func down(context.Context) (int, error) { return 0, errDown }

func untimed(t testing.TB) *breaker.Breaker {
	return newBreaker(t, breaker.Config{OperationTimeout: breaker.NoTimeout})
}

func TestNothingIsAllocatedOnTheWayThrough(t *testing.T) {
	ctx := context.Background()
	closed, open := untimed(t), untimed(t)
	trip(t, open)
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = breaker.Do(ctx, closed, ok) }), "closed, success")
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = breaker.Do(ctx, open, ok) }), "open")
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		_, _ = breaker.Do(ctx, closed, down)
		_, _ = breaker.Do(ctx, closed, ok)
	}), "closed, failure")
}

func BenchmarkBareCall(b *testing.B) {
	ctx, fn := context.Background(), ok
	for b.Loop() {
		_, _ = fn(ctx)
	}
}

func BenchmarkClosedSuccess(b *testing.B) {
	ctx, br := context.Background(), untimed(b)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = breaker.Do(ctx, br, ok)
	}
}

func BenchmarkClosedSuccessTwoStep(b *testing.B) {
	br := untimed(b)
	b.ReportAllocs()
	for b.Loop() {
		p, _ := br.Acquire()
		p.Done(breaker.Success)
	}
}

func BenchmarkClosedSuccessParallel(b *testing.B) {
	ctx, br := context.Background(), untimed(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = breaker.Do(ctx, br, ok)
		}
	})
}

// BenchmarkClosedFailure fails four calls of five, so that the breaker stays closed.
func BenchmarkClosedFailure(b *testing.B) {
	ctx, br := context.Background(), untimed(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n++; n%5 == 0 {
			_, _ = breaker.Do(ctx, br, ok)
		} else {
			_, _ = breaker.Do(ctx, br, down)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	ctx := context.Background()
	br := newBreaker(b, breaker.Config{OperationTimeout: breaker.NoTimeout, ResetTimeout: maxReset})
	trip(b, br)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = breaker.Do(ctx, br, ok)
	}
}

const maxReset = 720 * 3600 * 1e9

func BenchmarkClosedSuccessTimed(b *testing.B) {
	ctx, br := context.Background(), newBreaker(b, breaker.Config{})
	b.ReportAllocs()
	for b.Loop() {
		_, _ = breaker.Do(ctx, br, ok)
	}
}

func BenchmarkTimeWindow(b *testing.B) {
	ctx := context.Background()
	br := newBreaker(b, breaker.Config{OperationTimeout: breaker.NoTimeout, Window: &breaker.Window{Span: 10 * time.Second}})
	b.ReportAllocs()
	for b.Loop() {
		_, _ = breaker.Do(ctx, br, ok)
	}
}

// BenchmarkClosedSuccessWaiting has a function that looks at the end of its context.
func BenchmarkClosedSuccessWaiting(b *testing.B) {
	ctx, br := context.Background(), newBreaker(b, breaker.Config{})
	waiting := func(ctx context.Context) (int, error) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		default:
			return 1, nil
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = breaker.Do(ctx, br, waiting)
	}
}

func BenchmarkDetached(b *testing.B) {
	ctx, br := context.Background(), newBreaker(b, breaker.Config{})
	b.ReportAllocs()
	for b.Loop() {
		_, _ = breaker.DoDetached(ctx, br, ok)
	}
}
