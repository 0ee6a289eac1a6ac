package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/breaker"
)

// model is the state machine as a sequential program without pointers, atomics or timers.
type model struct {
	cfg       breaker.Config
	now       time.Duration
	state     breaker.State
	gen       uint64
	failures  uint32
	successes uint32
	until     time.Duration
	leases    map[int]time.Duration // probes in flight, by permit
}

func (m *model) enter(s breaker.State) {
	m.state, m.gen, m.failures, m.successes, m.leases = s, m.gen+1, 0, 0, map[int]time.Duration{}
	if s == breaker.Open {
		m.until = m.now + m.cfg.ResetTimeout
	}
}

func (m *model) advance(d time.Duration) {
	for end := m.now + d; m.now <= end; m.now++ {
		if m.state == breaker.Open && m.now >= m.until {
			m.enter(breaker.HalfOpen)
		}
		for _, lease := range m.leases {
			if m.now >= lease {
				m.enter(breaker.Open)
				break
			}
		}
	}
	m.now--
}

func (m *model) acquire(id int) bool {
	switch m.state {
	case breaker.Closed, breaker.Disabled:
		return true
	case breaker.HalfOpen:
		if len(m.leases) < int(m.cfg.HalfOpenMaxCalls) {
			m.leases[id] = m.now + m.cfg.HalfOpenLease
			return true
		}
	}
	return false
}

func (m *model) done(id int, gen uint64, v breaker.Verdict) {
	if gen != m.gen {
		return
	}
	if m.state == breaker.HalfOpen {
		if _, inFlight := m.leases[id]; !inFlight {
			return
		}
		delete(m.leases, id)
	}
	switch {
	case v == breaker.Ignore, m.state == breaker.Disabled:
	case m.state == breaker.Closed && v == breaker.Success:
		m.failures = 0
	case m.state == breaker.Closed:
		if m.failures++; m.failures == m.cfg.FailureThreshold {
			m.enter(breaker.Open)
		}
	case v == breaker.Success:
		if m.successes++; m.successes == m.cfg.SuccessThreshold {
			m.enter(breaker.Closed)
		}
	default:
		m.enter(breaker.Open)
	}
}

// hand is one of the hands.
func (m *model) hand(name string) {
	switch name {
	case "reset":
		m.enter(breaker.Closed)
	case "force open":
		if m.state != breaker.ForcedOpen {
			m.enter(breaker.ForcedOpen)
		}
	case "disable":
		if m.state != breaker.Disabled {
			m.enter(breaker.Disabled)
		}
	}
}

// op is one step of a run: a wait, an acquire, a done of the permit at index Permit, or a hand.
type op struct {
	Kind    string
	Wait    time.Duration
	Permit  int
	Verdict breaker.Verdict
}

func TestAgreesWithTheModel(t *testing.T) {
	genOp := rapid.Custom(func(t *rapid.T) op {
		return op{
			Kind:    rapid.SampledFrom([]string{"wait", "wait", "acquire", "acquire", "acquire", "done", "done", "done", "reset", "force open", "disable"}).Draw(t, "kind"),
			Wait:    time.Duration(rapid.IntRange(1, 12).Draw(t, "wait")),
			Permit:  rapid.IntRange(0, 9).Draw(t, "permit"),
			Verdict: rapid.SampledFrom([]breaker.Verdict{breaker.Success, breaker.Failure, breaker.Failure, breaker.Ignore}).Draw(t, "verdict"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		cfg := breaker.Config{
			FailureThreshold: uint32(rapid.IntRange(1, 3).Draw(rt, "failures")),
			ResetTimeout:     time.Duration(rapid.IntRange(1, 9).Draw(rt, "reset")),
			HalfOpenMaxCalls: uint32(rapid.IntRange(1, 3).Draw(rt, "slots")),
			SuccessThreshold: uint32(rapid.IntRange(1, 3).Draw(rt, "successes")),
			HalfOpenLease:    time.Duration(rapid.IntRange(1, 9).Draw(rt, "lease")),
		}
		ops := rapid.SliceOfN(genOp, 1, 60).Draw(rt, "ops")
		var difference error
		synctest.Test(t, func(t *testing.T) { difference = replay(t, cfg, ops) })
		if difference != nil {
			rt.Fatal(difference)
		}
	})
}

// replay drives breaker and model side by side and reports the first difference.
func replay(t *testing.T, cfg breaker.Config, ops []op) error {
	b := newBreaker(t, cfg)
	m := &model{cfg: cfg, leases: map[int]time.Duration{}}
	type held struct {
		id     int
		gen    uint64
		permit breaker.Permit
	}
	var permits []held
	for i, o := range ops {
		switch o.Kind {
		case "wait":
			time.Sleep(o.Wait)
			synctest.Wait()
			m.advance(o.Wait)
		case "acquire":
			p, err := b.Acquire()
			if admitted := m.acquire(i); admitted != (err == nil) {
				return fmt.Errorf("op %d: model admits: %v, breaker: %v", i, admitted, err)
			}
			if err == nil {
				permits = append(permits, held{i, m.gen, p})
			}
		case "done":
			if len(permits) == 0 {
				continue
			}
			at := o.Permit % len(permits)
			h := permits[at]
			permits = append(permits[:at], permits[at+1:]...)
			h.permit.Done(o.Verdict)
			m.done(h.id, h.gen, o.Verdict)
		default:
			hands[o.Kind](b)
			m.hand(o.Kind)
		}
		s := b.Snapshot()
		got := fmt.Sprint(s.State, s.Gen, s.Failures%cfg.FailureThreshold, s.Successes, s.InFlight)
		want := fmt.Sprint(m.state, m.gen, m.failures, m.successes, len(m.leases))
		if got != want {
			return fmt.Errorf("op %d %+v: breaker is (state gen failures successes probes) %s, model %s", i, o, got, want)
		}
	}
	return nil
}

func TestManyCallersAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			var heard log
			b := newBreaker(t, breaker.Config{
				FailureThreshold: 3, ResetTimeout: 5 * time.Millisecond, OperationTimeout: 8 * time.Millisecond, OnTransition: heard.add,
			})
			var admitted, refused, timedOut, probes atomic.Int64
			var callers sync.WaitGroup
			for c := range uint64(16) {
				callers.Go(func() {
					random := rand.New(rand.NewPCG(seed, c))
					for range 200 {
						_, err := breaker.Do(context.Background(), b, func(context.Context) (int, error) {
							admitted.Add(1)
							probe := b.State() == breaker.HalfOpen
							if probe {
								probes.Add(1)
							}
							time.Sleep(time.Duration(random.IntN(9)) * time.Millisecond)
							if random.IntN(3) == 0 {
								return 0, errDown
							}
							return 1, nil
						})
						switch {
						case errors.Is(err, breaker.ErrOpen), errors.Is(err, breaker.ErrHalfOpenLimit):
							refused.Add(1)
							time.Sleep(time.Millisecond)
						case errors.Is(err, breaker.ErrTimeout):
							timedOut.Add(1)
						}
					}
				})
			}
			callers.Wait()
			synctest.Wait()
			requireDense(t, heard.all())
			totals := b.Snapshot().Totals
			assert.EqualValues(t, 16*200, admitted.Load()+refused.Load())
			assert.EqualValues(t, refused.Load(), totals.Rejected)
			assert.EqualValues(t, timedOut.Load(), totals.TimedOut)
			assert.EqualValues(t, admitted.Load(), totals.Succeeded+totals.Failed+totals.Ignored, "one verdict a call")
			require.Positive(t, probes.Load(), "the run went through half-open")
			require.Positive(t, totals.Closed+totals.Opened)
		})
	}
}
