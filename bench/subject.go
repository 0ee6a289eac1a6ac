package main

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/thejerf/suture/v4"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// Contenders.
const (
	ours   = "mistersmith"
	proto  = "protoactor"
	sutur  = "suture"
	floor  = "goroutines"
	erlang = "OTP"
)

// Messages, the same for all contenders.
type (
	note     struct{}                     // counted
	question struct{}                     // answered with an answer to the sender
	answer   struct{}                     //
	ping     struct{ pong chan struct{} } // answered on the channel
	boom     struct{}                     // panics
)

var errBoom = errors.New("boom")

// subject is the actor that all actor systems run. started may be nil.
type subject struct{ started func() }

func (s *subject) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *question:
		ctx.Respond(theAnswer)
	case *ping:
		m.pong <- struct{}{}
	case *boom:
		panic(errBoom)
	case *actor.Started:
		if s.started != nil {
			s.started()
		}
	}
}

var (
	theNote     = &note{}
	theQuestion = &question{}
	theAnswer   = &answer{}
	theBoom     = &boom{}
)

// service is the same for suture, and for plain goroutines: a channel is its mailbox, and outlives its restarts.
type service struct {
	mailbox chan any
	started func()
}

func (s *service) Serve(ctx context.Context) error {
	if s.started != nil {
		s.started()
	}
	for {
		select {
		case m := <-s.mailbox:
			switch m := m.(type) {
			case *ping:
				m.pong <- struct{}{}
			case *boom:
				panic(errBoom)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// String spares suture from printing the service with %#v when it is added.
func (s *service) String() string { return "service" }

// countdown tells when something has happened so many times.
type countdown struct {
	left atomic.Int64
	zero chan struct{}
}

func newCountdown(n int) *countdown {
	c := &countdown{zero: make(chan struct{}, 1)}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) tick() {
	if c.left.Add(-1) == 0 {
		c.zero <- struct{}{}
	}
}

func (c *countdown) wait() { <-c.zero }

// ids are made beforehand: a name is the user's.
func ids(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = "c" + strconv.Itoa(i)
	}
	return s
}

// anyNumber of restarts within aWhile is a budget that is kept, and never spent.
const (
	anyNumber = 1 << 30
	aWhile    = time.Hour
)

func mustStart(root actors.Supervisor) *actors.Tree {
	tree, err := actors.Start(context.Background(), root)
	if err != nil {
		panic(err)
	}
	return tree
}

func mustStop(tree *actors.Tree) {
	if err := tree.Stop(context.Background()); err != nil {
		panic(err)
	}
}

func oneForOne() strategies.Strategy {
	return strategies.OneForOne(strategies.MaxRestarts(anyNumber, aWhile))
}

func oneForAll() strategies.Strategy {
	return strategies.OneForAll(strategies.MaxRestarts(anyNumber, aWhile))
}

// children are the specs of our supervised subjects.
func children(names []string, queue int, produce actor.Producer) []actors.Child {
	specs := make([]actors.Child, len(names))
	for i, id := range names {
		specs[i] = actors.Actor(id, produce).With(actors.Lifecycle{Queue: queue})
	}
	return specs
}

// pids are the logical PIDs of the children.
func pids(tree *actors.Tree, names []string) []*actor.PID {
	all := make([]*actor.PID, len(names))
	for i, id := range names {
		all[i] = tree.PID("root/" + id)
	}
	return all
}

func newSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
}

// family is a parent with children on plain protoactor.
type family struct {
	system   *actor.ActorSystem
	parent   *actor.PID
	children []*actor.PID
}

// raise spawns a parent that spawns children, one for each name. It returns when they have been spawned; protoactor doesn't wait until they
// are up.
func raise(strategy actor.SupervisorStrategy, names []string, produce actor.Producer) *family {
	f := &family{system: newSystem(), children: make([]*actor.PID, len(names))}
	props := actor.PropsFromProducer(produce)
	born := make(chan struct{})
	f.parent = f.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); !ok {
			return
		}
		for i, name := range names {
			pid, err := ctx.SpawnNamed(props, name)
			if err != nil {
				panic(err)
			}
			f.children[i] = pid
		}
		close(born)
	}, actor.WithSupervisor(strategy)))
	<-born
	return f
}

func (f *family) stop() {
	f.system.Root.StopFuture(f.parent).Wait()
	f.system.Shutdown()
}

func protoOneForOne() actor.SupervisorStrategy {
	return actor.NewOneForOneStrategy(anyNumber, aWhile, actor.DefaultDecider)
}

func protoAllForOne() actor.SupervisorStrategy {
	return actor.NewAllForOneStrategy(anyNumber, aWhile, actor.DefaultDecider)
}

// sutured are services under a suture supervisor.
type sutured struct {
	cancel   context.CancelFunc
	finished <-chan error
}

// suture starts a supervisor over the services. It returns when it has been told of all of them.
func superviseWithSuture(services []*service) *sutured {
	s := suture.New("root", suture.Spec{EventHook: func(suture.Event) {}, FailureThreshold: anyNumber, Timeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	finished := s.ServeBackground(ctx)
	for _, service := range services {
		s.Add(service)
	}
	return &sutured{cancel, finished}
}

func (s *sutured) stop() {
	s.cancel()
	<-s.finished
}

// services are n of them whose mailboxes have that much room.
func services(n, room int, started func()) []*service {
	all := make([]*service, n)
	for i := range all {
		all[i] = &service{make(chan any, room), started}
	}
	return all
}

// supervisePlainly runs services with nothing around them but a loop that starts them again when they panic.
func supervisePlainly(services []*service) *sutured {
	ctx, cancel := context.WithCancel(context.Background())
	finished := make(chan error, 1)
	down := newCountdown(len(services))
	for _, service := range services {
		go func() {
			defer down.tick()
			for again := true; again; {
				again = serve(ctx, service)
			}
		}()
	}
	go func() { down.wait(); finished <- nil }()
	return &sutured{cancel, finished}
}

// serve reports whether the service panicked.
func serve(ctx context.Context, s *service) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	return s.Serve(ctx) != nil
}
