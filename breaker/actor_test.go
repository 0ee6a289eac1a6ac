package breaker_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

// rig is a breaker actor in an actor system of its own, in a bubble.
type rig struct {
	t       *testing.T
	system  *actor.ActorSystem
	breaker *breaker.Breaker
	runner  *breaker.Runner
	pid     *actor.PID
	inbox   *inbox
}

// crash makes the actor panic, so that its parent restarts it in place.
type crash struct{}

func withRig(t *testing.T, cfg breaker.Config, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		quiet := actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) })
		r := &rig{t: t, system: actor.NewActorSystem(quiet), breaker: newBreaker(t, cfg)}
		r.runner = breaker.NewRunner(r.breaker)
		r.inbox = newInbox(r.system)
		r.spawn()
		test(r)
		r.stop()
		time.Sleep(time.Hour) // protoactor's dead letter throttle, and functions that are deaf for a while
		assert.Equal(t, breaker.Load{}, r.runner.Load(), "nothing is left running")
	})
}

func (r *rig) spawn() {
	crashes := func(next actor.ReceiverFunc) actor.ReceiverFunc {
		return func(c actor.ReceiverContext, env *actor.MessageEnvelope) {
			if _, ok := env.Message.(crash); ok {
				panic("crash")
			}
			next(c, env)
		}
	}
	props := actor.PropsFromProducer(breaker.NewActor(r.runner), actor.WithReceiverMiddleware(crashes))
	r.pid = r.system.Root.Spawn(props)
}

func (r *rig) stop() {
	r.system.Root.Stop(r.pid)
	synctest.Wait()
}

// send asks for a call and returns at once.
func (r *rig) send(id uint64, fn func(context.Context) (any, error)) {
	r.request(&breaker.Call{ID: id, Fn: fn})
}

func (r *rig) request(call *breaker.Call) {
	r.system.Root.RequestWithCustomSender(r.pid, call, r.inbox.pid)
}

// result waits for what is under way and returns the one answer to the call.
func (r *rig) result(id uint64) *breaker.Result {
	r.t.Helper()
	synctest.Wait()
	got := r.inbox.results(id)
	require.Len(r.t, got, 1, "answers to call %d", id)
	return got[0]
}

func (r *rig) unanswered(id uint64) {
	r.t.Helper()
	synctest.Wait()
	assert.Empty(r.t, r.inbox.results(id))
}

// inbox is a process that keeps the results it gets.
type inbox struct {
	pid *actor.PID
	mu  sync.Mutex
	got map[uint64][]*breaker.Result
}

func newInbox(system *actor.ActorSystem) *inbox {
	i := &inbox{got: make(map[uint64][]*breaker.Result)}
	i.pid, _ = system.ProcessRegistry.Add(i, "inbox")
	return i
}

func (i *inbox) SendUserMessage(_ *actor.PID, msg any) {
	if res, ok := actor.UnwrapEnvelopeMessage(msg).(*breaker.Result); ok {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.got[res.ID] = append(i.got[res.ID], res)
	}
}
func (i *inbox) SendSystemMessage(*actor.PID, any) {}
func (i *inbox) Stop(*actor.PID)                   {}

func (i *inbox) results(id uint64) []*breaker.Result {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.got[id]
}

func answer(v any) func(context.Context) (any, error) {
	return func(context.Context) (any, error) { return v, nil }
}

func failing(context.Context) (any, error) { return nil, errDown }

// obedient returns when its context ends, deaf when it likes.
func obedient(ctx context.Context) (any, error) { <-ctx.Done(); return "late", ctx.Err() }
func deaf(context.Context) (any, error)         { time.Sleep(time.Minute); return "late", nil }

func TestActorAnswersWithValueOrError(t *testing.T) {
	withRig(t, breaker.Config{}, func(r *rig) {
		r.send(1, answer("hello"))
		r.send(2, failing)
		assert.Equal(t, &breaker.Result{ID: 1, Value: "hello"}, r.result(1))
		assert.Equal(t, &breaker.Result{ID: 2, Err: errDown}, r.result(2))
	})
}

func TestActorRefusesWhileOpen(t *testing.T) {
	withRig(t, breaker.Config{FailureThreshold: 1}, func(r *rig) {
		r.send(1, failing)
		assert.ErrorIs(t, r.result(1).Err, errDown)
		r.send(2, func(context.Context) (any, error) { t.Error("ran while open"); return nil, nil })
		assert.ErrorIs(t, r.result(2).Err, breaker.ErrOpen)
		time.Sleep(reset)
		r.send(3, answer(1))
		assert.NoError(t, r.result(3).Err)
	})
}

func TestActorNeverRunsACallInItsMailbox(t *testing.T) {
	withRig(t, breaker.Config{}, func(r *rig) {
		for id := range uint64(100) {
			r.send(id, deaf)
		}
		r.send(100, answer("at once"))
		assert.Equal(t, "at once", r.result(100).Value)
		assert.Equal(t, breaker.Load{InFlight: 100}, r.runner.Load())
		time.Sleep(time.Minute)
	})
}

func TestActorAnswersADeafCallAtItsDeadline(t *testing.T) {
	withRig(t, breaker.Config{}, func(r *rig) {
		r.send(1, deaf)
		r.request(&breaker.Call{ID: 2, Fn: deaf, Deadline: time.Now().Add(3 * time.Second)})
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		r.request(&breaker.Call{ID: 3, Fn: deaf, Context: ctx})

		time.Sleep(3 * time.Second)
		assert.ErrorIs(t, r.result(2).Err, breaker.ErrTimeout)
		time.Sleep(time.Second)
		assert.Equal(t, context.DeadlineExceeded, r.result(3).Err, "the caller's own deadline is not the breaker's timeout")
		r.unanswered(1)
		time.Sleep(6 * time.Second)
		assert.ErrorIs(t, r.result(1).Err, breaker.ErrTimeout)
		assert.ErrorIs(t, r.result(1).Err, context.DeadlineExceeded)

		assert.Equal(t, breaker.Load{Orphans: 3}, r.runner.Load())
		assert.EqualValues(t, 3, r.breaker.Snapshot().Totals.Failed)
		time.Sleep(time.Hour)
		assert.Nil(t, r.result(1).Value, "the late result is dropped")
		assert.Zero(t, r.breaker.Snapshot().Totals.Succeeded)
	})
}

func TestActorAnswersAnObedientCallAtItsDeadline(t *testing.T) {
	withRig(t, breaker.Config{}, func(r *rig) {
		r.send(1, obedient)
		time.Sleep(opTimeout)
		res := r.result(1)
		assert.ErrorIs(t, res.Err, breaker.ErrTimeout)
		assert.Nil(t, res.Value)
		assert.Equal(t, breaker.Load{}, r.runner.Load())
	})
}

func TestActorCallPastItsDeadlineDoesNotRun(t *testing.T) {
	withRig(t, breaker.Config{}, func(r *rig) {
		r.request(&breaker.Call{ID: 1, Fn: func(context.Context) (any, error) { panic("ran") }, Deadline: time.Now()})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.request(&breaker.Call{ID: 2, Fn: func(context.Context) (any, error) { panic("ran") }, Context: ctx})
		r.request(&breaker.Call{ID: 3})
		assert.ErrorIs(t, r.result(1).Err, breaker.ErrTimeout)
		assert.ErrorIs(t, r.result(2).Err, context.Canceled)
		assert.ErrorContains(t, r.result(3).Err, "without Fn")
		assert.Equal(t, breaker.Totals{}, r.breaker.Snapshot().Totals, "no permit, no verdict")
	})
}

func TestActorCallWhoseCallerGivesUp(t *testing.T) {
	withRig(t, breaker.Config{}, func(r *rig) {
		halfOpen(t, r.breaker)
		ctx, cancel := context.WithCancel(context.Background())
		r.request(&breaker.Call{ID: 1, Fn: deaf, Context: ctx})
		synctest.Wait()
		assert.EqualValues(t, 1, r.breaker.Snapshot().InFlight)
		cancel()
		assert.ErrorIs(t, r.result(1).Err, context.Canceled)
		assert.Equal(t, breaker.HalfOpen, r.breaker.State())
		assert.Zero(t, r.breaker.Snapshot().InFlight)
		assert.Equal(t, breaker.Load{Orphans: 1}, r.runner.Load())
	})
}

func TestActorSurvivesAPanicInACall(t *testing.T) {
	withRig(t, breaker.Config{FailureThreshold: 3}, func(r *rig) {
		r.send(1, func(context.Context) (any, error) { explode(); return nil, nil })
		r.send(2, func(context.Context) (any, error) { panic(errDown) })
		r.send(3, func(context.Context) (any, error) { runtime.Goexit(); return nil, nil })

		var panicked *breaker.PanicError
		require.ErrorAs(t, r.result(1).Err, &panicked)
		assert.Equal(t, "call", panicked.Where)
		assert.Equal(t, "deep", panicked.Value)
		assert.Contains(t, string(panicked.Stack), "breaker_test.explode")
		assert.ErrorIs(t, r.result(2).Err, errDown)
		require.ErrorAs(t, r.result(3).Err, &panicked)
		assert.Equal(t, "runtime.Goexit", panicked.Value)
		assert.Equal(t, breaker.Open, r.breaker.State(), "three failures")
		assert.Equal(t, breaker.Load{}, r.runner.Load())
	})
}

func TestOrphansAreBounded(t *testing.T) { // case 24
	withRig(t, breaker.Config{MaxInFlight: 4, FailureThreshold: 1000}, func(r *rig) {
		for id := range uint64(4) {
			r.send(id, deaf)
		}
		time.Sleep(opTimeout)
		synctest.Wait()
		require.Equal(t, breaker.Load{Orphans: 4}, r.runner.Load())
		r.send(10, answer(1))
		assert.Equal(t, breaker.ErrSaturated, r.result(10).Err)
		assert.EqualValues(t, 4, r.breaker.Snapshot().Totals.Failed, "being full is no verdict")
		time.Sleep(time.Minute)
		r.send(11, answer(1))
		assert.NoError(t, r.result(11).Err)
	})
}

func TestPlaceIsFreeBeforeTheAnswer(t *testing.T) {
	withRig(t, breaker.Config{MaxInFlight: 1}, func(r *rig) {
		for range 200 {
			_, err := breaker.Through(r.t.Context(), r.system, r.pid, func(context.Context) (int, error) { return 1, nil })
			require.NoError(t, err)
		}
	})
}

func TestStoppedActorAnswersWhatIsInFlight(t *testing.T) {
	withRig(t, breaker.Config{FailureThreshold: 1}, func(r *rig) {
		r.send(1, deaf)
		r.send(2, obedient)
		synctest.Wait()
		r.stop()
		assert.Equal(t, breaker.ErrStopped, r.result(1).Err)
		assert.Equal(t, breaker.ErrStopped, r.result(2).Err)
		assert.Equal(t, breaker.Load{Orphans: 1}, r.runner.Load(), "the obedient one has gone")
		time.Sleep(time.Hour)
		r.result(1)
		r.result(2)
		assert.Equal(t, breaker.Closed, r.breaker.State(), "our own stop is no verdict")
	})
}

func TestStateAndCallsSurviveARestart(t *testing.T) {
	withRig(t, breaker.Config{FailureThreshold: 1}, func(r *rig) {
		r.send(1, func(ctx context.Context) (any, error) { time.Sleep(time.Second); return "through the crash", ctx.Err() })
		r.send(2, failing)
		synctest.Wait()
		r.system.Root.Send(r.pid, crash{})
		r.send(3, answer(1))
		assert.ErrorIs(t, r.result(3).Err, breaker.ErrOpen, "open stays open")
		time.Sleep(time.Second)
		assert.Equal(t, "through the crash", r.result(1).Value)
	})
}

func TestNextIncarnationUsesTheSameRunner(t *testing.T) {
	withRig(t, breaker.Config{FailureThreshold: 1}, func(r *rig) {
		r.send(1, failing)
		synctest.Wait()
		r.stop()
		r.spawn()
		r.send(2, answer(1))
		assert.ErrorIs(t, r.result(2).Err, breaker.ErrOpen)
		time.Sleep(reset)
		r.send(3, answer(1))
		assert.NoError(t, r.result(3).Err)
	})
}

func TestEveryReceivedCallIsAnsweredOnce(t *testing.T) {
	withRig(t, breaker.Config{MaxInFlight: 20, HalfOpenMaxCalls: 5, ResetTimeout: 2 * time.Second}, func(r *rig) {
		kinds := []func(context.Context) (any, error){
			answer(1), failing, obedient, deaf, answer(2),
			func(context.Context) (any, error) { panic("x") },
			func(context.Context) (any, error) { runtime.Goexit(); return nil, nil },
			func(ctx context.Context) (any, error) { time.Sleep(opTimeout); return 1, nil }, // back in the very instant
		}
		const calls = 400
		for id := range uint64(calls) {
			ctx := context.Background()
			if id%5 == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(id%17)*time.Second)
				defer cancel()
			}
			r.request(&breaker.Call{ID: id, Fn: kinds[id%uint64(len(kinds))], Context: ctx})
			switch {
			case id%41 == 0:
				r.system.Root.Send(r.pid, crash{})
			case id%67 == 0:
				synctest.Wait() // received
				r.stop()
				r.spawn()
			}
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Hour)
		for id := range uint64(calls) {
			r.result(id)
		}
	})
}

func TestCallWithoutSenderIsMade(t *testing.T) {
	withRig(t, breaker.Config{}, func(r *rig) {
		var ran atomic.Bool
		r.system.Root.Send(r.pid, &breaker.Call{Fn: func(context.Context) (any, error) { ran.Store(true); return nil, nil }})
		synctest.Wait()
		assert.True(t, ran.Load())
	})
}

type key struct{}

func TestThrough(t *testing.T) {
	through := func(r *rig, ctx context.Context, fn func(context.Context) (string, error)) (string, error) {
		return breaker.Through(ctx, r.system, r.pid, fn)
	}
	t.Run("value, with the caller's context values", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			ctx := context.WithValue(r.t.Context(), key{}, "task 7")
			v, err := through(r, ctx, func(ctx context.Context) (string, error) { return ctx.Value(key{}).(string), nil })
			require.NoError(t, err)
			assert.Equal(t, "task 7", v)
		})
	})
	t.Run("error unchanged, verdict before the reply", func(t *testing.T) {
		withRig(t, breaker.Config{FailureThreshold: 1}, func(r *rig) {
			v, err := through(r, r.t.Context(), func(context.Context) (string, error) { return "half", errDown })
			assert.Equal(t, "half", v)
			assert.Equal(t, errDown, err)
			assert.Equal(t, breaker.Open, r.breaker.State())
			_, err = through(r, r.t.Context(), func(context.Context) (string, error) { return "", nil })
			var open *breaker.OpenError
			require.ErrorAs(t, err, &open)
			assert.Equal(t, reset, open.RetryAfter())
		})
	})
	t.Run("panic", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			_, err := through(r, r.t.Context(), func(context.Context) (string, error) { explode(); return "", nil })
			var panicked *breaker.PanicError
			require.ErrorAs(t, err, &panicked)
			assert.EqualValues(t, 1, r.breaker.Snapshot().Failures)
		})
	})
	t.Run("timeout of a deaf function", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			start := time.Now()
			_, err := through(r, context.Background(), func(context.Context) (string, error) { time.Sleep(time.Minute); return "", nil })
			assert.ErrorIs(t, err, breaker.ErrTimeout)
			assert.Equal(t, opTimeout, time.Since(start))
		})
	})
	t.Run("no longer than ctx, and cancels the function", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			var ended error
			start := time.Now()
			_, err := through(r, ctx, func(ctx context.Context) (string, error) { <-ctx.Done(); ended = ctx.Err(); return "", ended })
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NotErrorIs(t, err, breaker.ErrTimeout)
			assert.Equal(t, time.Second, time.Since(start))
			synctest.Wait()
			assert.Equal(t, context.DeadlineExceeded, ended)
			assert.EqualValues(t, 1, r.breaker.Snapshot().Failures)
		})
	})
	t.Run("ctx done before", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_, err := through(r, ctx, func(context.Context) (string, error) { panic("ran") })
			assert.Equal(t, context.Canceled, err)
		})
	})
	t.Run("no such actor", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			_, err := breaker.Through(r.t.Context(), r.system, actor.NewPID("nonhost", "nobody"), func(context.Context) (int, error) { return 0, nil })
			assert.Equal(t, breaker.ErrSaturated, err)
		})
	})
	t.Run("refused by the queue in front of the actor", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			full, _ := r.system.ProcessRegistry.Add(refusing{r.system}, "full")
			_, err := breaker.Through(r.t.Context(), r.system, full, func(context.Context) (int, error) { return 0, nil })
			require.ErrorIs(t, err, breaker.ErrSaturated)
			var hint interface{ RetryAfter() time.Duration }
			require.True(t, errors.As(err, &hint))
			assert.Positive(t, hint.RetryAfter())
		})
	})
	t.Run("actor stops while the call runs", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			time.AfterFunc(time.Second, func() { r.system.Root.Stop(r.pid) })
			_, err := through(r, context.Background(), func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() })
			assert.Equal(t, breaker.ErrStopped, err)
		})
	})
	t.Run("call lost in a stopped mailbox", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			busy := r.system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
				if _, ok := c.Message().(string); ok {
					time.Sleep(time.Second)
					c.Stop(c.Self())
				}
			}))
			r.system.Root.Send(busy, "work")
			synctest.Wait()
			_, err := breaker.Through(context.Background(), r.system, busy, func(context.Context) (int, error) { return 0, nil })
			assert.Equal(t, breaker.ErrStopped, err, "protoactor drops the message silently")
		})
	})
	t.Run("leaves nothing registered or watched", func(t *testing.T) {
		withRig(t, breaker.Config{}, func(r *rig) {
			before := registered(r.system)
			for range 50 {
				_, _ = through(r, r.t.Context(), func(context.Context) (string, error) { return "", errDown })
			}
			synctest.Wait()
			assert.Equal(t, before, registered(r.system))
		})
	})
}

func registered(system *actor.ActorSystem) (n int) {
	for _, bucket := range system.ProcessRegistry.LocalPIDs.LocalPIDs {
		n += bucket.Count()
	}
	return n
}

// refusing stands for a bounded queue that is full.
type refusing struct{ system *actor.ActorSystem }

func (p refusing) SendUserMessage(pid *actor.PID, msg any) {
	p.system.DeadLetter.SendUserMessage(pid, msg)
}
func (refusing) SendSystemMessage(*actor.PID, any) {}
func (refusing) Stop(*actor.PID)                   {}
