package test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// A guarded call waits for a breaker node that isn't up no longer than it may last itself, and says what it has waited for. That is nobody's fault: neither
// the task's, nor its agent's, nor the dependency's.
func TestAGuardedCallDoesNotWaitForItsNodeForEver(t *testing.T) {
	guard := func(ctx context.Context, fn func()) (int, error) {
		return actors.Guard(ctx, "llm", func(context.Context) (int, error) { fn(); return 1, nil })
	}
	stream := func(ctx context.Context, fn func()) (int, error) {
		return actors.GuardStream(ctx, "llm", func(_ context.Context, beat func()) (int, error) { fn(); beat(); return 1, nil })
	}
	brief := func(call func(context.Context, func()) (int, error)) func(context.Context, func()) (int, error) {
		return func(ctx context.Context, fn func()) (int, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return call(ctx, fn)
		}
	}
	timeout := func(d time.Duration) actors.Child {
		return actors.Breaker{ID: "llm", Config: breaker.Config{OperationTimeout: d}}
	}
	terminate := func(t *testing.T, tree *actors.Tree) {
		require.NoError(t, tree.TerminateChild(t.Context(), "root/llm"))
	}
	backOff := func(t *testing.T, tree *actors.Tree) {
		require.NoError(t, tree.Fail("root/llm", errBoom))
		synctest.Wait()
	}
	tests := map[string]struct {
		node   actors.Child
		down   func(t *testing.T, tree *actors.Tree)
		call   func(ctx context.Context, fn func()) (int, error)
		waits  time.Duration
		status actors.Status
		why    error
	}{
		"by default":                        {actors.Breaker{ID: "llm"}, backOff, guard, 10 * time.Second, actors.StatusBackingOff, nil},
		"with an operation timeout":         {timeout(3 * time.Second), backOff, guard, 3 * time.Second, actors.StatusBackingOff, nil},
		"without one":                       {timeout(breaker.NoTimeout), backOff, guard, 10 * time.Second, actors.StatusBackingOff, nil},
		"a stream":                          {timeout(3 * time.Second), backOff, stream, 3 * time.Second, actors.StatusBackingOff, nil},
		"a stream that is only reported":    {actors.Breaker{ID: "llm", Stream: actors.Liveness{OnHung: actors.HungReport}}, backOff, stream, 10 * time.Second, actors.StatusBackingOff, nil},
		"through an External that retries":  {actors.External{ID: "llm", Config: breaker.ExternalConfig{Retry: breaker.Retry{Attempts: 3}}}, backOff, guard, 10 * time.Second, actors.StatusBackingOff, nil},
		"with a context that ends":          {actors.Breaker{ID: "llm"}, backOff, brief(guard), time.Second, actors.StatusBackingOff, context.DeadlineExceeded},
		"a stream with a context that ends": {actors.Breaker{ID: "llm"}, backOff, brief(stream), time.Second, actors.StatusBackingOff, context.DeadlineExceeded},
		"if nobody is about to start it":    {actors.Breaker{ID: "llm"}, terminate, guard, 0, actors.StatusStopped, breaker.ErrStopped},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				var made atomic.Int64
				answers := make(chan error, 10)
				var waited time.Duration
				events := silences()
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.RestartPolicy{MaxRestarts: 10, Window: time.Minute, Backoff: strategies.Fixed(time.Hour)}),
					Children: []actors.Child{tt.node, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						if info, _ := routing.FromContext(ctx); info.Attempt > 1 {
							return n, nil
						}
						began := time.Now()
						_, err := tt.call(ctx, func() { made.Add(1) })
						waited = time.Since(began)
						answers <- err
						return n, err
					}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 2 * time.Second}})}}, actors.WithSubscription(events))
				tt.down(t, tree)
				h, err := job.Submit(t.Context(), tree, 7)
				require.NoError(t, err)
				err = <-answers
				require.Equal(t, tt.waits, waited)
				var late *actors.NotTakenError
				require.ErrorAs(t, err, &late)
				require.Equal(t, actors.NotTakenError{Path: "root/llm", Status: tt.status, Waited: waited, Err: late.Err}, *late)
				require.ErrorIs(t, late.Err, tt.why)
				require.ErrorIs(t, err, actors.ErrNotUp)
				require.ErrorIs(t, err, breaker.ErrStopped)
				require.ErrorContains(t, err, "guard root/llm: the node is "+tt.status.String())

				_, err = h.Await(within(t, time.Hour))
				require.NoError(t, err)
				info, _ := tree.Hub().Inspect(h.ID())
				require.Len(t, info.Attempts, 2)
				require.Zero(t, info.Errors+info.Strikes, "uncharged")
				requireRunning(t, tree, "root/w", 1)
				time.Sleep(time.Hour)
				if tt.status == actors.StatusStopped {
					_, err := tree.RestartChild(t.Context(), "root/llm")
					require.NoError(t, err)
				}
				synctest.Wait()
				require.Equal(t, actors.StatusRunning, node(t, tree, "root/llm").Status)
				require.Zero(t, made.Load(), "it isn't made later")
				b, _ := tree.Breaker("root/llm")
				require.Equal(t, breaker.Totals{}, b.Snapshot().Totals)
				stop(t, tree)
				require.Empty(t, drain(events), "nobody was suspected")
			})
		})
	}
}

// A call that waits for a node which comes back in time is made, and may take all of its own.
func TestAGuardedCallWaitsForItsNodesRestart(t *testing.T) {
	for _, takes := range []time.Duration{8 * time.Second, 12 * time.Second} {
		inVirtualTime(t, func(t *testing.T) {
			tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.RestartPolicy{MaxRestarts: 10, Window: time.Minute, Backoff: strategies.Fixed(9 * time.Second)}),
				Children: []actors.Child{actors.Breaker{ID: "llm"}, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
					return actors.Guard(ctx, "llm", func(ctx context.Context) (int, error) {
						select {
						case <-time.After(takes):
							return n, nil
						case <-ctx.Done():
							return 0, ctx.Err()
						}
					})
				})}})
			require.NoError(t, tree.Fail("root/llm", errBoom))
			synctest.Wait()
			var err error
			held := took(func() { _, err = job.Do(within(t, time.Hour), tree, 1, routing.MaxAttempts(1)) })
			if takes > breaker.DefaultOperationTimeout {
				require.ErrorIs(t, err, breaker.ErrTimeout)
				require.Equal(t, 19*time.Second, held)
			} else {
				require.NoError(t, err)
				require.Equal(t, 17*time.Second, held)
			}
			var late *actors.NotTakenError
			require.False(t, errors.As(err, &late))
			synctest.Wait() // the call has returned, too
			stop(t, tree)
		})
	}
}
