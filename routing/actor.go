package routing

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Actor returns a producer of the actor that drives the hub: it leases waiting tasks to idle spokes and watches the clock. Give it to one
// actor at a time. The actor holds nothing: while it is missing, tasks that no spoke pulls by itself wait, and deadlines are
// noticed late; the next incarnation picks up where it stopped.
func (h *Hub) Actor() actor.Producer {
	return func() actor.Actor { return &driver{hub: h} }
}

// driver is the actor around a hub. Its fields belong to its mailbox's goroutine.
type driver struct {
	hub     *Hub
	session uint64
	timer   *time.Timer
}

// wakeUp tells the driver that there is something to do, or that it is time.
type wakeUp struct{}

func (d *driver) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		d.session = d.hub.attach(d.waker(ctx))
		d.run(ctx)
	case wakeUp:
		d.run(ctx)
	case *actor.Stopping, *actor.Restarting:
		d.hub.detach(d.session)
		if d.timer != nil {
			d.timer.Stop()
		}
	}
}

func (d *driver) waker(ctx actor.Context) func() {
	root, self := ctx.ActorSystem().Root, ctx.Self()
	return func() { root.Send(self, wakeUp{}) }
}

func (d *driver) run(ctx actor.Context) {
	next, ok := d.hub.pump()
	if d.timer != nil {
		d.timer.Stop()
	}
	if ok {
		d.timer = time.AfterFunc(time.Until(next), d.waker(ctx))
	}
}
