package breaker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Every operation is taken apart into the steps that are atomic: one load, one count, or what is done under the lock.
// A scheduler runs all orders of the steps of a few goroutines, each on a fresh breaker, and asks whether some order of the
// whole operations, one after the other on a plain sequential machine, gives the same answers and the same end. The order
// must be possible: an operation that was over before another began comes first.

// operation is what a goroutine does next: "acquire", "done" with the permit it acquired last, or something by hand.
type operation struct {
	kind    string
	verdict Verdict
}

// sequential is the state machine as a program without pointers, atomics and locks.
type sequential struct {
	cfg                 Config
	state               State
	gen                 uint64
	failures, successes uint32
	probes              uint32
}

func (s *sequential) enter(state State) {
	*s = sequential{cfg: s.cfg, state: state, gen: s.gen + 1}
}

// ticket is what acquire gave: the generation that admitted the call, and whether it did.
type ticket struct {
	gen      uint64
	admitted bool
}

func (s *sequential) do(o operation, held ticket) ticket {
	switch o.kind {
	case "acquire":
		switch {
		case s.state == Closed, s.state == Disabled:
			return ticket{s.gen, true}
		case s.state == HalfOpen && s.probes < s.cfg.HalfOpenMaxCalls:
			s.probes++
			return ticket{s.gen, true}
		}
		return ticket{}
	case "done":
		if held.admitted && held.gen == s.gen {
			s.judge(o.verdict)
		}
	case "elapse":
		if s.state == Open {
			s.enter(HalfOpen)
		}
	case "reset":
		s.enter(Closed)
	case "force open":
		if s.state != ForcedOpen {
			s.enter(ForcedOpen)
		}
	}
	return held
}

func (s *sequential) judge(v Verdict) {
	if s.state == HalfOpen {
		s.probes--
	}
	switch {
	case v == Ignore, s.state == Disabled:
	case s.state == Closed && v == Success:
		s.failures = 0
	case s.state == Closed:
		if s.failures++; s.failures == s.cfg.FailureThreshold {
			s.enter(Open)
		}
	case v == Success:
		if s.successes++; s.successes == s.cfg.SuccessThreshold {
			s.enter(Closed)
		}
	default:
		s.enter(Open)
	}
}

func (s *sequential) String() string {
	return fmt.Sprint(s.state, s.gen, s.failures, s.successes, s.probes)
}

// thread is a goroutine of the schedule: a program, and how far it has come.
type thread struct {
	program []operation
	at      int
	rest    func() // what is left of the present operation, nil if nothing is
	permit  Permit
	held    ticket
	history []performed
}

// performed is an operation that is over: when, and with which answer.
type performed struct {
	operation
	began, ended int
	answer       ticket
}

func (t *thread) finished() bool { return t.at == len(t.program) }

// step runs one atomic step of the thread at the given time of the schedule.
func (t *thread) step(b *Breaker, now int) {
	op := t.program[t.at]
	if t.rest == nil {
		t.history = append(t.history, performed{operation: op, began: now})
		t.rest = t.begin(b, op)
	} else {
		t.rest()
		t.rest = nil
	}
	if t.rest == nil {
		t.at++
		last := &t.history[len(t.history)-1]
		last.ended, last.answer = now, t.held
	}
}

// begin runs the first atomic step of an operation and returns the second, if there is one: exactly as Acquire, settle
// and the methods by hand are made up.
func (t *thread) begin(b *Breaker, op operation) (rest func()) {
	switch op.kind {
	case "acquire":
		p := b.current.Load()
		if p.plain {
			t.permit, t.held = Permit{period: p}, ticket{p.gen, true}
			return nil
		}
		return func() {
			permit, err := b.acquire(p)
			if t.permit, t.held = permit, (ticket{}); err == nil {
				t.held = ticket{permit.period.gen, true}
			}
		}
	case "done":
		p := t.permit.period
		switch {
		case p == nil:
		case p.state == HalfOpen:
			b.settleProbe(t.permit, op.verdict, false, nil)
		case p.state == Closed:
			if follows := p.tally(&b.cfg, op.verdict, false, 0); follows != stays {
				return func() { b.open(p, follows, op.verdict, nil) }
			}
		}
	case "elapse":
		time.Sleep(b.cfg.ResetTimeout)
		synctest.Wait()
	case "reset":
		b.Reset()
	case "force open":
		b.ForceOpen()
	}
	return nil
}

// ready is whose turn it may be.
func ready(threads []*thread) (turns []int) {
	for i, t := range threads {
		if !t.finished() {
			turns = append(turns, i)
		}
	}
	return turns
}

// odometer counts through all choices of a run, without knowing how many there are before.
type odometer struct {
	choices, of []int
	at          int
}

func (o *odometer) choose(n int) int {
	if o.at == len(o.choices) {
		o.choices, o.of = append(o.choices, 0), append(o.of, 0)
	}
	o.of[o.at] = n
	o.at++
	return o.choices[o.at-1]
}

// next turns to the next run, and says whether there is one.
func (o *odometer) next() bool {
	o.choices, o.of, o.at = o.choices[:o.at], o.of[:o.at], 0
	for last := len(o.choices) - 1; last >= 0; last-- {
		if o.choices[last]++; o.choices[last] < o.of[last] {
			o.choices, o.of = o.choices[:last+1], o.of[:last+1]
			return true
		}
	}
	return false
}

// possible looks for an order of the operations that the sequential machine agrees with.
func possible(machine sequential, threads []*thread, at []int, end string) bool {
	done := true
	for i, t := range threads {
		if at[i] == len(t.history) {
			continue
		}
		done = false
		op := t.history[at[i]]
		if overtakes(op, threads, at) {
			continue
		}
		var held ticket
		if at[i] > 0 {
			held = t.history[at[i]-1].answer
		}
		m := machine
		if m.do(op.operation, held) != op.answer {
			continue
		}
		at[i]++
		ok := possible(m, threads, at, end)
		at[i]--
		if ok {
			return true
		}
	}
	return done && machine.String() == end
}

// overtakes says whether something that is still to be placed was over before op began.
func overtakes(op performed, threads []*thread, at []int) bool {
	for i, t := range threads {
		if at[i] < len(t.history) && t.history[at[i]].ended < op.began {
			return true
		}
	}
	return false
}

// scenario is where the machine stands when the goroutines begin.
type scenario struct {
	name  string
	deep  bool // worth three whole calls, many thousand orders
	setUp func(*Breaker, *sequential)
}

func onBoth(ops ...operation) func(*Breaker, *sequential) {
	return func(b *Breaker, s *sequential) {
		t := &thread{program: ops}
		for now := 0; !t.finished(); now++ {
			t.step(b, now)
		}
		for i, p := range t.history {
			var held ticket
			if i > 0 {
				held = t.history[i-1].answer
			}
			s.do(p.operation, held)
		}
	}
}

var (
	acquire = operation{kind: "acquire"}
	elapse  = operation{kind: "elapse"}
)

func done(v Verdict) operation { return operation{"done", v} }

// runAll runs all orders and returns how many there were.
func runAll(t *testing.T, from scenario, programs [][]operation) (runs int) {
	cfg := Config{FailureThreshold: 2, SuccessThreshold: 2, HalfOpenMaxCalls: 2, HalfOpenLease: maxDuration, OperationTimeout: NoTimeout}
	var o odometer
	for again := true; again; again = o.next() {
		runs++
		b, err := New(cfg)
		require.NoError(t, err)
		start := sequential{cfg: b.cfg}
		from.setUp(b, &start)
		threads := make([]*thread, len(programs))
		for i, p := range programs {
			threads[i] = &thread{program: p}
		}
		var order strings.Builder
		for now := 0; ; now++ {
			turns := ready(threads)
			if len(turns) == 0 {
				break
			}
			i := turns[o.choose(len(turns))]
			order.WriteByte('0' + byte(i))
			threads[i].step(b, now)
		}
		s := b.Snapshot()
		end := fmt.Sprint(s.State, s.Gen, s.Failures%cfg.FailureThreshold, s.Successes, s.InFlight)
		b.Close()
		if !possible(start, threads, make([]int, len(threads)), end) {
			t.Fatalf("%s, %v, order %s: no sequential order explains the end %q and %+v", from.name, programs, order.String(), end, threads)
		}
	}
	return runs
}

var scenarios = []scenario{
	{"closed", false, func(*Breaker, *sequential) {}},
	{"closed after a failure", true, onBoth(acquire, done(Failure))},
	{"open", false, onBoth(acquire, done(Failure), acquire, done(Failure))},
	{"half-open", false, onBoth(acquire, done(Failure), acquire, done(Failure), elapse)},
	{"half-open after a success", true, onBoth(acquire, done(Failure), acquire, done(Failure), elapse, acquire, done(Success))},
	{"closed again", false, onBoth(acquire, done(Failure), acquire, done(Failure), elapse, acquire, done(Success), acquire, done(Success))},
}

func TestAllOrdersOfThreeCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verdicts := []Verdict{Success, Failure, Ignore}
		runs := 0
		for _, from := range scenarios {
			for i, v1 := range verdicts {
				for j, v2 := range verdicts[i:] { // goroutines are alike: each set of verdicts once
					runs += runAll(t, from, [][]operation{{acquire, done(v1)}, {acquire, done(v2)}, {acquire}})
					for _, v3 := range verdicts[i+j:] {
						if from.deep && (v1 != v2 || v2 != v3) {
							runs += runAll(t, from, [][]operation{{acquire, done(v1)}, {acquire, done(v2)}, {acquire, done(v3)}})
						}
					}
				}
			}
		}
		t.Logf("%d orders", runs)
		require.Greater(t, runs, 10_000)
	})
}

func TestAllOrdersOfCallsAndAHandOrTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		for _, from := range scenarios {
			for _, hand := range []operation{{kind: "reset"}, {kind: "force open"}, elapse} {
				for _, v1 := range []Verdict{Success, Failure} {
					for _, v2 := range []Verdict{Success, Failure, Ignore} {
						runs += runAll(t, from, [][]operation{{acquire, done(v1)}, {acquire, done(v2)}, {hand}})
						runs += runAll(t, from, [][]operation{{acquire, done(v1), acquire, done(v2)}, {hand, hand}})
					}
				}
			}
		}
		t.Logf("%d orders", runs)
		require.Greater(t, runs, 10_000)
	})
}

// A machine that is a little wrong has to be found out, or the two tests above can't fail.
func TestWrongMachineIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Config{FailureThreshold: 2})
		require.NoError(t, err)
		defer b.Close()
		t1 := &thread{program: []operation{acquire, done(Failure)}}
		for now := 0; !t1.finished(); now++ {
			t1.step(b, now)
		}
		start := sequential{cfg: b.cfg}
		require.True(t, possible(start, []*thread{t1}, []int{0}, "closed 0 1 0 0"))
		require.False(t, possible(start, []*thread{t1}, []int{0}, "closed 0 0 0 0"), "a lost count")
		require.False(t, possible(start, []*thread{t1}, []int{0}, "open 1 0 0 0"), "opened too early")
		t1.history[0].answer = ticket{}
		require.False(t, possible(start, []*thread{t1}, []int{0}, "closed 0 1 0 0"), "refused while closed")
	})
}
