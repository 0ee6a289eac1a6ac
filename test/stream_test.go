package test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
)

// The pieces of an answer come in bursts: a network brings several at once. That says nothing about how long a silence may be.
func TestAStalledStreamIsFoundHoweverItsPiecesCameBunched(t *testing.T) {
	for name, gaps := range map[string][]time.Duration{
		"evenly":             {20 * time.Millisecond},
		"in pairs":           {10 * time.Microsecond, 40 * time.Millisecond},
		"in bunches of five": {time.Microsecond, time.Microsecond, 10 * time.Microsecond, time.Microsecond, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				var silentSince time.Time
				call := func(ctx context.Context) (int, error) {
					return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
						for i := range 100 {
							time.Sleep(gaps[i%len(gaps)])
							beat()
						}
						silentSince = time.Now()
						<-ctx.Done()
						return 0, context.Cause(ctx)
					})
				}
				failed := make(chan error, 1)
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Breaker{ID: "llm"},
					actors.Agent("asker", longType, func(ctx context.Context, _ int) (int, error) {
						_, err := call(ctx)
						failed <- err
						return 1, nil
					}),
				}})
				_, err := longType.Do(context.Background(), tree, 1)
				require.NoError(t, err)
				var stall *breaker.StalledError
				require.ErrorAs(t, <-failed, &stall)
				require.Equal(t, 100, stall.Chunks)
				require.GreaterOrEqual(t, stall.Phi, actors.DefaultStreamPhi)
				require.Less(t, time.Since(silentSince), 5*time.Second)
			})
		})
	}
}

// answerWithPause beats 200 times, evenly but for a pause in the middle.
func answerWithPause(ctx context.Context, beat func(), pause time.Duration) (int, error) {
	for i := range 200 {
		gap := 20 * time.Millisecond
		if i == 100 {
			gap = max(gap, pause)
		}
		select {
		case <-time.After(gap):
			beat()
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return 1, nil
}

// Of an answer that pauses longer than any before it, nobody knows whether it hangs. Each attempt of its task waits four times as long, and what that finds out holds for all.
func TestAStreamHasMoreTimeEachTime(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Agent("asker", longType, func(ctx context.Context, seconds int) (int, error) {
				return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
					return answerWithPause(ctx, beat, time.Duration(seconds)*time.Second)
				})
			}),
		}})
		attempts := func(seconds int) (n int) {
			t.Helper()
			h, err := longType.Submit(t.Context(), tree, seconds)
			require.NoError(t, err)
			_, err = h.Await(within(t, time.Hour))
			require.NoError(t, err)
			info, _ := tree.Hub().Inspect(h.ID())
			for _, a := range info.Attempts[:len(info.Attempts)-1] {
				var stall *breaker.StalledError
				require.ErrorAs(t, a.Err, &stall)
			}
			return len(info.Attempts)
		}
		require.Equal(t, 1, attempts(0))
		require.Equal(t, 3, attempts(15))
		require.Equal(t, 1, attempts(15))
		stop(t, tree)
	})
}

// As long as an External tries again by itself, each of its attempts is a further chance.
func TestAStreamHasMoreTimeEachTimeItsExternalTries(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		calls := 0
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.External{ID: "llm", Config: breaker.ExternalConfig{Retry: breaker.Retry{Attempts: 3}}},
			actors.Agent("asker", longType, func(ctx context.Context, seconds int) (int, error) {
				return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
					calls++
					return answerWithPause(ctx, beat, time.Duration(seconds)*time.Second)
				})
			}),
		}})
		attempts := func(seconds int) int {
			calls = 0
			_, err := longType.Do(within(t, time.Hour), tree, seconds, routing.MaxAttempts(1))
			require.NoError(t, err)
			return calls
		}
		require.Equal(t, 1, attempts(0))
		require.Equal(t, 3, attempts(15))
		require.Equal(t, 1, attempts(15))
		stop(t, tree)
	})
}

// An attempt that wasn't charged, because the service said when to come back, says nothing about how long its answers pause.
func TestAStreamThatStallsIsFoundHoweverOftenItWasPutOff(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := silences()
		stalls := false
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Agent("asker", longType, func(ctx context.Context, putOff int) (int, error) {
				if info, _ := routing.FromContext(ctx); info.Attempt <= putOff {
					return 0, notNow{after: time.Second}
				}
				pause := time.Duration(0)
				if stalls {
					stalls, pause = false, time.Hour
				}
				return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
					return answerWithPause(ctx, beat, pause)
				})
			}),
		}}, actors.WithSubscription(events))
		_, err := longType.Do(within(t, time.Hour), tree, 0)
		require.NoError(t, err)
		stalls = true
		_, err = longType.Do(within(t, time.Hour), tree, 6)
		require.NoError(t, err)
		stop(t, tree)
		hung := slices.DeleteFunc(drain(events), func(e actors.Event) bool { return e.Kind != actors.Hung })
		require.Len(t, hung, 1)
		require.Less(t, hung[0].Delay, 5*time.Second)
	})
}

// The time between two pieces that had a wait in it isn't learned: neither whole, nor what is left of it after the wait.
func TestAStreamLearnsNothingOfPausesWithAWait(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Breaker{ID: "llm"}, actors.Breaker{ID: "tool"},
			actors.Agent("asker", longType, func(ctx context.Context, _ int) (int, error) {
				return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
					for range 50 {
						select {
						case <-time.After(20 * time.Second):
						case <-ctx.Done():
							return 0, ctx.Err()
						}
						if _, err := actors.Guard(ctx, "tool", func(context.Context) (int, error) { return 1, nil }); err != nil {
							return 0, err
						}
						beat()
					}
					return 1, nil
				})
			}),
		}})
		_, err := longType.Do(within(t, time.Hour), tree, 1, routing.MaxAttempts(1))
		require.NoError(t, err)
		stop(t, tree)
	})
}

// What an answer waits for in its midst has a limit of its own, or somebody else who judges it. That isn't silence of the service, and not how long its answers pause.
func TestAStreamIsNotJudgedWhileItWaitsForSomethingElse(t *testing.T) {
	const wait = 30 * time.Second
	sleep := func(ctx context.Context) (int, error) {
		select {
		case <-time.After(wait):
			return 1, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	for name, wait := range map[string]func(ctx context.Context) (int, error){
		"for a guarded call": func(ctx context.Context) (int, error) { return actors.Guard(ctx, "tool", sleep) },
		"for another stream": func(ctx context.Context) (int, error) {
			return actors.GuardStream(ctx, "slow", func(ctx context.Context, _ func()) (int, error) { return sleep(ctx) })
		},
		"within another stream": func(ctx context.Context) (int, error) {
			return actors.GuardStream(ctx, "slow", func(ctx context.Context, _ func()) (int, error) { return actors.Guard(ctx, "tool", sleep) })
		},
		"for another task": func(ctx context.Context) (int, error) {
			tree, _ := actors.TreeFromContext(ctx)
			return job.Do(ctx, tree, 1)
		},
		"for what it says so of": func(ctx context.Context) (int, error) {
			defer routing.Waiting(ctx)()
			return sleep(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Breaker{ID: "llm", Stream: actors.Liveness{Max: 10 * time.Second}},
					actors.Breaker{ID: "slow", Stream: actors.Liveness{Max: time.Minute}},
					actors.Breaker{ID: "tool", Config: breaker.Config{OperationTimeout: time.Minute}},
					actors.Agent("other", job, func(ctx context.Context, _ int) (int, error) { return sleep(ctx) }),
					actors.Agent("asker", longType, func(ctx context.Context, _ int) (int, error) {
						return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
							if _, err := answerWithPause(ctx, beat, 0); err != nil {
								return 0, err
							}
							if _, err := wait(ctx); err != nil {
								return 0, err
							}
							beat()
							if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
								<-ctx.Done()
							}
							return 1, ctx.Err()
						})
					}),
				}})
				h, err := longType.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				_, err = h.Await(within(t, time.Hour))
				require.NoError(t, err)
				info, _ := tree.Hub().Inspect(h.ID())
				require.Len(t, info.Attempts, 2)
				var stall *breaker.StalledError
				require.ErrorAs(t, info.Attempts[0].Err, &stall)
				require.Equal(t, 201, stall.Chunks)
				require.Less(t, stall.Silence, 5*time.Second)
				stop(t, tree)
			})
		})
	}
}

// What becomes of a stream is told at its breaker's node, with the task.
func TestAStreamsSilenceIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		on      actors.OnHung
		silence time.Duration
		told    []actors.EventKind
	}{
		"it gets on":              {actors.HungFail, 7 * time.Second, []actors.EventKind{actors.Suspected, actors.Recovered}},
		"it stalls":               {actors.HungFail, 20 * time.Second, []actors.EventKind{actors.Suspected, actors.Hung}},
		"it stalls, and gets on":  {actors.HungReport, 20 * time.Second, []actors.EventKind{actors.Suspected, actors.Hung, actors.Recovered}},
		"nobody wants to hear it": {actors.HungIgnore, 20 * time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				events := silences()
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Breaker{ID: "llm", Stream: actors.Liveness{OnHung: tt.on, Max: 10 * time.Second}},
					actors.Agent("asker", longType, func(ctx context.Context, _ int) (int, error) {
						_, err := actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
							for _, pause := range []time.Duration{time.Second, tt.silence, time.Second} {
								select {
								case <-time.After(pause):
									beat()
								case <-ctx.Done():
									return 0, ctx.Err()
								}
							}
							return 1, nil
						})
						var stall *breaker.StalledError
						if err != nil && !errors.As(err, &stall) {
							return 0, err
						}
						return 1, nil
					}),
				}}, actors.WithSubscription(events))
				h, err := longType.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				_, err = h.Await(within(t, time.Hour))
				require.NoError(t, err)
				stop(t, tree)
				told := drain(events)
				require.Equal(t, tt.told, kindsOf(told))
				for _, e := range told {
					require.Equal(t, "root/llm", e.Path)
					require.Equal(t, h.ID(), e.Message)
				}
			})
		})
	}
}
