package test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/routing"
)

// script is what happens in the attempts of a task. It follows from the task's number alone, so everybody can tell how the task must end.
type script struct {
	fate  routing.State // done, failed or quarantined, if nobody cancels it and it has no deadline
	steps []step        // of attempts that are charged to the task; the one after them is done
	parts []order       // subtasks of each attempt
	slow  time.Duration // of each attempt
	later bool          // once it says "not now"
}

// step is how an attempt ends.
type step uint8

const (
	stepError step = iota
	stepPermanent
	stepPanic
	stepGoexit
	stepDeaf   // doesn't return until long after its time is over
	stepListen // returns only when its context ends
)

// order is a task's input.
type order struct {
	Number uint64
	Depth  int // of subtasks above it
}

// shares of the fates, in a thousand, and times.
type scriptRates struct {
	failing, poisoned, retried, parted, slow, later int
	pause                                           time.Duration // at most, of a slow one
	hang                                            bool          // strikes may be hangs
}

// script returns what happens to an order. Subtasks end well: their parents say themselves how they end.
func (o order) script(rates scriptRates) script {
	r := rand.New(rand.NewPCG(o.Number, uint64(o.Depth)))
	in := func(perMille int) bool { return r.IntN(1000) < perMille }
	strike := func() step {
		if rates.hang {
			return pick(r, stepPanic, stepGoexit, stepDeaf, stepListen)
		}
		return pick(r, stepPanic, stepGoexit)
	}
	s := script{fate: routing.StateDone, later: in(rates.later)}
	switch {
	case o.Depth == 0 && in(rates.failing):
		s.fate = routing.StateFailed
		if r.IntN(2) == 0 {
			s.steps = []step{stepPermanent}
		} else {
			s.steps = []step{stepError, stepError, stepError}
		}
	case o.Depth == 0 && in(rates.poisoned):
		s.fate = routing.StateQuarantined
		s.steps = []step{strike(), strike(), strike()}
	case in(rates.retried):
		for range 1 + r.IntN(2) {
			s.steps = append(s.steps, stepError)
		}
		for range r.IntN(3) {
			s.steps = append(s.steps, strike())
		}
		r.Shuffle(len(s.steps), func(i, j int) { s.steps[i], s.steps[j] = s.steps[j], s.steps[i] })
	}
	if o.Depth < 3 && in(rates.parted) {
		for range 1 + r.IntN(3) {
			s.parts = append(s.parts, order{r.Uint64(), o.Depth + 1})
		}
	}
	if in(rates.slow) {
		s.slow = time.Duration(r.Int64N(int64(rates.pause)))
	}
	return s
}

// sum is what a task that is done results in.
func (o order) sum(rates scriptRates) uint64 {
	sum := o.Number
	for _, part := range o.script(rates).parts {
		sum += part.sum(rates)
	}
	return sum
}

// performer runs scripts.
type performer struct {
	rates scriptRates
	hang  time.Duration // how long who is deaf doesn't return
	kind  routing.Type[order, uint64]
	hub   func() *routing.Hub

	mu  sync.Mutex
	put map[string]bool // off by a "not now"
}

type notNow struct{ after time.Duration }

func (notNow) Error() string               { return "not now" }
func (n notNow) RetryAfter() time.Duration { return n.after }

var errPart = errors.New("a part is wrong")

// handle plays the next step of the task's script: which one that is the ledger knows, by what was charged.
func (p *performer) handle(ctx context.Context, o order) (uint64, error) {
	s := o.script(p.rates)
	info, _ := routing.FromContext(ctx)
	if s.slow > 0 {
		time.Sleep(s.slow)
	}
	if s.later && p.putOff(info.ID) {
		return 0, notNow{time.Millisecond}
	}
	sum, err := p.doParts(ctx, o, s)
	if err != nil {
		return 0, err
	}
	if len(s.steps) > 0 {
		now, ok := p.hub().Inspect(info.ID)
		if !ok || now.State.Settled() {
			return 0, context.Cause(ctx)
		}
		if charged := now.Errors + now.Strikes; charged < len(s.steps) {
			return 0, p.play(ctx, s.steps[charged])
		}
	}
	return sum, nil
}

func (p *performer) putOff(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.put[id] {
		return false
	}
	if p.put == nil {
		p.put = map[string]bool{}
	}
	p.put[id] = true
	return true
}

func (p *performer) doParts(ctx context.Context, o order, s script) (sum uint64, err error) {
	handles := make([]*routing.Handle[uint64], len(s.parts))
	for i, part := range s.parts {
		if handles[i], err = p.kind.Submit(ctx, p.hub(), part, routing.Wait()); err != nil {
			return 0, err
		}
	}
	sum = o.Number
	for i, part := range s.parts {
		got, err := handles[i].Await(ctx)
		if err != nil {
			return 0, err
		}
		if got != part.sum(p.rates) {
			return 0, routing.Permanent(errPart)
		}
		sum += got
	}
	return sum, nil
}

func (p *performer) play(ctx context.Context, s step) error {
	switch s {
	case stepPermanent:
		return routing.Permanent(errBoom)
	case stepPanic:
		panic(errBoom)
	case stepGoexit:
		goexit()
	case stepDeaf:
		time.Sleep(p.hang)
	case stepListen:
		<-ctx.Done()
		return ctx.Err()
	}
	return errBoom
}
