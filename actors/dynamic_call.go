package actors

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/mistersmith/mistersmith/internal/supervise"
)

// dynamicCall is a call on its way to the state machine of a supervisor, which gets it through its control queue.
type dynamicCall struct {
	event     supervise.Call
	reply     chan supervise.Answer // with room for one; nil if nobody waits
	about     *node                 // of a terminate call that nobody waits for
	withdrawn atomic.Bool
}

// withdrawal says that nobody waits for a call any more.
type withdrawal struct{ call *dynamicCall }

// ask puts a call to the present incarnation of a supervisor and waits for the answer.
func (t *Tree) ask(ctx context.Context, n *node, c supervise.Call) (supervise.Answer, error) {
	path := n.path
	if c.ID != "" {
		path += "/" + c.ID
	}
	in := n.current()
	if in == nil {
		return supervise.Answer{}, n.errorf(ErrStopped)
	}
	s, ok := in.bodyNow().(*supervisor)
	if !ok { // it isn't there yet
		return supervise.Answer{}, n.errorf(ErrStopped)
	}
	if s.waiting.Add(1) > int64(n.spec().life.Queue) {
		s.waiting.Add(-1)
		return supervise.Answer{}, fmt.Errorf("%s: %w", path, ErrBusy)
	}
	call := &dynamicCall{event: c, reply: make(chan supervise.Answer, 1)}
	if !in.post(call) {
		return supervise.Answer{}, n.errorf(ErrStopped)
	}
	select {
	case a := <-call.reply:
		return a, wrapCall(path, a.Err)
	case <-in.over():
	case <-ctx.Done():
		call.withdrawn.Store(true)
		in.post(&withdrawal{call})
		return supervise.Answer{}, fmt.Errorf("%s: %w", path, context.Cause(ctx))
	}
	select {
	case a := <-call.reply: // it answered before it ended
		return a, wrapCall(path, a.Err)
	default:
		return supervise.Answer{}, n.errorf(ErrStopped)
	}
}

func wrapCall(path string, err error) error {
	var start *StartError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &start): // it names the path
		return err
	case errors.Is(err, supervise.ErrStopped):
		err = ErrStopped
	}
	return fmt.Errorf("%s: %w", path, err)
}

// terminateLater is a terminate call that nobody waits for. As long as one about a node isn't carried out, another is the same.
func (t *Tree) terminateLater(n *node) {
	switch {
	case n == t.root || n == t.top:
		t.shutdown(nil)
	case n.parent != nil && n.parent != t.top:
		in := n.parent.current()
		if in == nil || n.terminating.Swap(in) == in {
			return
		}
		in.post(&dynamicCall{event: supervise.Call{Op: supervise.OpTerminate, ID: n.spec().id}, about: n})
	}
}

// call hands a call to the state machine, unless it was withdrawn by now.
func (s *supervisor) call(c *dynamicCall) {
	c.event.To = c
	if c.withdrawn.Load() {
		s.answer(c, supervise.Answer{Err: supervise.ErrWithdrawn})
		return
	}
	s.step(c.event)
}

func (s *supervisor) answer(to any, a supervise.Answer) {
	c := to.(*dynamicCall)
	if c.about != nil {
		c.about.terminating.CompareAndSwap(s.in, nil)
		return
	}
	s.waiting.Add(-1)
	c.reply <- a
}
