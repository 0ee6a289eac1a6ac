package strategies_test

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/strategies"
)

// house is an actor system with a family of plain protoactor actors: "top" (the grandparent), "top/mid" (the parent under test) and
// its children "top/mid/a", "top/mid/b" …. What they live through is written to a journal, one line each: "a:started".
type house struct {
	t      *testing.T
	system *actor.ActorSystem

	mu        sync.Mutex
	journal   []string
	escalated []any                       // reasons that reached the grandparent
	logged    strings.Builder             // error lines of the system's log
	verdict   actor.Directive             // what the grandparent does with an escalated failure
	hooks     map[string]func(string) any // by child: called on each lifecycle event ("restarting"); it panics with what is not nil
}

// inHouse runs a test in a bubble of virtual time, with a fresh actor system.
func inHouse(t *testing.T, test func(*house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, verdict: actor.RestartDirective, hooks: map[string]func(string) any{}}
		h.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
			return slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelError}))
		}))
		test(h)
		h.system.Shutdown()
		time.Sleep(2 * time.Second) // protoactor's dead letter log holds a goroutine for up to a second
	})
}

// Write takes the log.
func (h *house) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logged.Write(line)
}

func (h *house) note(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.journal = append(h.journal, line)
}

// settle waits until nothing moves any more, and returns and clears the journal.
func (h *house) settle() []string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.journal = nil }()
	return h.journal
}

// settleSorted is for what happens in several actors at once, in no order.
func (h *house) settleSorted() []string {
	lines := h.settle()
	slices.Sort(lines)
	return lines
}

func (h *house) log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logged.String()
}

func (h *house) reasons() []any {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.escalated
}

func (h *house) hook(child string, fn func(event string) any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hooks[child] = fn
}

func (h *house) pid(child string) *actor.PID { return h.system.NewLocalPID("top/mid/" + child) }

// fail makes a child panic with reason.
func (h *house) fail(child string, reason any) {
	h.system.Root.Send(h.pid(child), crash{reason})
}

// alive returns which of the family are registered.
func (h *house) alive(names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		id := "top/mid/" + name
		if name == "top" || name == "top/mid" {
			id = name
		}
		_, ok := h.system.ProcessRegistry.GetLocal(id)
		return !ok
	})
}

// begin spawns the family and throws the journal of its start away.
func (h *house) begin(s strategies.Strategy, children ...string) {
	mid := actor.PropsFromProducer(func() actor.Actor { return &parent{h, children} }, actor.WithSupervisor(s))
	h.beginWith(mid)
}

func (h *house) beginWith(mid *actor.Props) {
	top := actor.PropsFromProducer(func() actor.Actor { return &grandparent{h, mid} })
	if _, err := h.system.Root.SpawnNamed(top, "top"); err != nil {
		h.t.Fatal(err)
	}
	h.settle()
}

type crash struct{ reason any }

type grandparent struct {
	house *house
	mid   *actor.Props
}

func (g *grandparent) Receive(ctx actor.Context) {
	if _, ok := ctx.Message().(*actor.Started); ok {
		_, _ = ctx.SpawnNamed(g.mid, "mid")
	}
}

func (g *grandparent) HandleFailure(_ *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	g.house.mu.Lock()
	g.house.escalated = append(g.house.escalated, reason)
	verdict := g.house.verdict
	g.house.mu.Unlock()
	switch verdict {
	case actor.RestartDirective:
		supervisor.RestartChildren(child)
	case actor.ResumeDirective:
		supervisor.ResumeChildren(child)
	default:
		supervisor.StopChildren(child)
	}
}

type parent struct {
	house    *house
	children []string
}

func (p *parent) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *actor.Started:
		p.house.note("mid:started")
		for _, child := range p.children {
			_, _ = ctx.SpawnNamed(p.house.childProps(child), child)
		}
	case *actor.Restarting:
		p.house.note("mid:restarting")
	case *actor.Stopped:
		p.house.note("mid:stopped")
	case string:
		p.house.note("mid:" + ctx.Message().(string))
	}
}

func (h *house) childProps(name string, opts ...actor.PropsOption) *actor.Props {
	return actor.PropsFromFunc(func(ctx actor.Context) { h.childReceives(name, ctx) }, opts...)
}

func (h *house) childReceives(name string, ctx actor.Context) {
	event := ""
	switch m := ctx.Message().(type) {
	case crash:
		panic(m.reason)
	case string:
		event = m
	case *actor.Started:
		event = "started"
	case *actor.Restarting:
		event = "restarting"
	case *actor.Stopping:
		event = "stopping"
	case *actor.Stopped:
		event = "stopped"
	case *actor.Terminated:
		if !m.Who.Equal(ctx.Self()) {
			return
		}
		event = "terminated"
	default:
		return
	}
	h.note(name + ":" + event)
	h.mu.Lock()
	hook := h.hooks[name]
	h.mu.Unlock()
	if hook != nil {
		if reason := hook(event); reason != nil {
			panic(reason)
		}
	}
}
