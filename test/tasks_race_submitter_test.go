package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mistersmith/mistersmith/routing"
)

// raceSubmitter submits tasks and waits for them, through all lives of the process. Its fields belong to its goroutine.
type raceSubmitter struct {
	race    *tasksRace
	number  int
	r       *rand.Rand
	left    int         // tasks that are still to be submitted
	begun   int         // that were
	pending []*raceTask // of which it doesn't know the end
	ended   []*raceTask // of which it was told the end in this life
	planned int         // that were to go into quarantine, and did
}

// raceTask is what a submitter knows of a task.
type raceTask struct {
	id       string // only with a file
	order    order
	options  []routing.SubmitOption
	fate     routing.State
	deadline bool
	failFast bool
	cancel   bool // somebody tried to cancel it
	sure     bool // and was told that it is
	input    *raceTask
	handle   *routing.Handle[uint64] // nil if nobody knows whether it was accepted
	state    routing.State           // at its end
}

// work submits what is left, and waits until all is settled. It is false if the process dies before.
func (u *raceSubmitter) work(l *raceTime) (finished bool) {
	if u.begun > 0 && !u.goOn(l) {
		return false
	}
	hub := l.tree.Hub()
	for u.left > 0 {
		p := u.next()
		u.left--
		u.begun++
		if !u.submit(l, p) {
			return false
		}
		if p.handle != nil && u.r.IntN(50) == 0 {
			p.cancel = true
			p.sure = p.handle.Cancel(errBoom)
		}
		if u.begun%200 == 0 && !u.finish(l, len(u.pending)/2) {
			return false
		}
		for u.begun%10 == 0 && l.lags() && hub.StoreErr() == nil && !l.stopped() {
			time.Sleep(100 * time.Microsecond)
		}
	}
	return u.finish(l, len(u.pending))
}

// next makes up a task.
func (u *raceSubmitter) next() *raceTask {
	r := u.r
	p := &raceTask{order: order{Number: r.Uint64()}, options: []routing.SubmitOption{routing.Wait()}}
	p.fate = p.order.script(u.race.rates).fate
	option := func(o routing.SubmitOption) { p.options = append(p.options, o) }
	if u.race.durable {
		p.id = fmt.Sprintf("s%d-%d", u.number, u.begun)
		option(routing.ID(p.id))
	}
	if p.order.hangs() {
		p.fate = routing.StateQuarantined
		option(routing.Timeout(raceHang))
	}
	if r.IntN(4) == 0 {
		option(routing.Key(fmt.Sprint("k", r.IntN(50))))
	}
	if r.IntN(50) == 0 {
		p.deadline = true
		option(routing.Deadline(time.Now().Add(time.Duration(1+r.IntN(3000)) * time.Microsecond)))
	}
	if r.IntN(20) == 0 {
		p.failFast = true
		option(routing.FailFast())
	}
	if n := len(u.pending); n > 0 && r.IntN(30) == 0 {
		if p.input = u.pending[n-1-r.IntN(min(n, 20))]; p.id != "" {
			option(routing.After(routing.TaskID(p.input.id)))
		} else {
			option(routing.After(p.input.handle))
		}
	}
	return p
}

// submit submits a task. It is false if the process has died: then the task may have been accepted or not.
func (u *raceSubmitter) submit(l *raceTime, p *raceTask) (alive bool) {
	handle, err := orders.Submit(l.t.Context(), l.tree, p.order, p.options...)
	var shut *routing.CircuitOpenError
	switch {
	case err == nil:
		p.handle = handle
		u.pending = append(u.pending, p)
	case dead(err):
		u.pending = append(u.pending, p)
		return false
	case p.deadline && errors.Is(err, routing.ErrExpired), p.failFast && errors.As(err, &shut):
	default:
		l.t.Errorf("submit %s: %v", p.id, err)
	}
	return true
}

// dead reports whether an error says that the process is dead, or about to be.
func dead(err error) bool {
	var failed *routing.StoreError
	return errors.As(err, &failed) || errors.Is(err, routing.ErrClosed) || errors.Is(err, routing.ErrKept)
}

// goOn finds again, in a new life, what was accepted, and submits again what may have been.
func (u *raceSubmitter) goOn(l *raceTime) (alive bool) {
	for _, p := range u.ended {
		again, err := orders.Find(l.tree, p.id)
		if err != nil {
			l.t.Errorf("%s was %v in the life before: %v", p.id, p.state, err)
			continue
		}
		got, err := again.Await(l.t.Context())
		if state := again.Status(); state != p.state || state == routing.StateDone && got != p.order.sum(u.race.rates) {
			l.t.Errorf("%s was %v in the life before, now it is %v (%v, %v)", p.id, p.state, state, got, err)
		}
	}
	u.ended = nil
	pending := u.pending
	u.pending = nil
	for i, p := range pending {
		if p.handle == nil {
			if !u.submit(l, p) {
				u.pending = append(u.pending, pending[i+1:]...)
				return false
			}
			continue
		}
		again, err := orders.Find(l.tree, p.id)
		if err != nil {
			l.t.Errorf("%s was accepted in an earlier life: %v", p.id, err)
			continue
		}
		p.handle = again
		u.pending = append(u.pending, p)
	}
	return true
}

// finish waits for the first k that are pending.
func (u *raceSubmitter) finish(l *raceTime, k int) (alive bool) {
	for range k {
		p := u.pending[0]
		got, err := p.handle.Await(l.t.Context())
		if errors.Is(err, routing.ErrKept) {
			return false
		}
		u.pending = u.pending[1:]
		p.state = p.handle.Status()
		if !p.allows(u.race.rates, got, err) {
			l.t.Errorf("%s is %v (%v, %v), was to be %v: %+v", p.handle.ID(), p.state, got, err, p.fate, p.order.script(u.race.rates))
		}
		if p.state == routing.StateQuarantined {
			u.planned++
		}
		if p.id != "" {
			u.ended = append(u.ended, p)
			l.tell(p.id, p.state)
		}
		p.handle, p.input = nil, nil
	}
	return true
}

// allows reports whether the task may have ended as it has.
func (p *raceTask) allows(rates scriptRates, got uint64, err error) bool {
	starved := p.input != nil && p.input.state != routing.StateDone
	switch p.state {
	case routing.StateDone:
		return p.fate == p.state && !starved && !p.sure && err == nil && got == p.order.sum(rates)
	case routing.StateCancelled:
		return p.cancel
	case routing.StateExpired:
		return p.deadline && !p.sure
	case routing.StateFailed:
		return (p.fate == p.state || starved) && !p.sure
	case routing.StateQuarantined:
		return p.fate == p.state && !starved && !p.sure
	}
	return false
}
