package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// TestOTP replays recorded runs of OTP's supervisor against ours, through the public calls, and compares results, events in order and states
// after every step.
func TestOTP(t *testing.T) {
	all := recordings(t)
	passed := 0
	for _, r := range all {
		ok := t.Run(r.Scenario.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { replay(t, r) })
		})
		if ok {
			passed++
		}
	}
	fmt.Printf("%d scenarios, %d passed, 0 skipped\n", len(all), passed)
}

// replayer drives one scenario.
type replayer struct {
	t       *testing.T
	tree    *actors.Tree
	events  *actors.Subscription
	paths   map[string]string // by id
	release chan struct{}     // lets the stubborn go at the end

	mu    sync.Mutex
	kinds map[string]string   // of workers, by id: the first registration wins
	fails map[string]*failing // armed start failures
}

type failing struct {
	left int
	mode string
}

var (
	errCrash    = errors.New("crash")
	errFail     = errors.New("fail")
	errShutTerm = fmt.Errorf("term: %w", actors.ErrShutdown)
)

func replay(t *testing.T, r recording) {
	p := &replayer{t: t, paths: make(map[string]string), release: make(chan struct{}), kinds: make(map[string]string), fails: make(map[string]*failing)}
	for _, f := range r.Scenario.Fail {
		p.arm(f)
	}
	root := p.supervisor(r.Scenario.Tree, "")

	want := r.Oracle.Steps
	got := p.start(root)
	p.compare("start", got, want[0])
	for i, op := range r.Scenario.Ops {
		p.compare(fmt.Sprintf("op %d %s", i+1, describe(op)), p.step(op), want[i+1])
	}
	if len(want) > len(r.Scenario.Ops)+1 {
		last := want[len(want)-1]
		for sup, count := range last.Counts {
			if c := p.count(sup); c != count {
				t.Errorf("final count of %s: %s, want %s", sup, c, count)
			}
		}
		p.compare("stop", p.stop(), last)
	} else if p.tree != nil {
		p.stop()
	}
	close(p.release)
	time.Sleep(time.Second) // the stubborn come back to a tree that is gone
}

func describe(op otpOp) string {
	b, _ := json.Marshal(op)
	return string(b)
}

// ---- the tree

func (p *replayer) supervisor(n otpNode, parent string) actors.Supervisor {
	path := p.enter(n, parent)
	intensity, period := 1, 5
	if n.Intensity != nil {
		intensity = *n.Intensity
	}
	if n.Period != nil {
		period = *n.Period
	}
	policy := strategies.MaxRestarts(intensity, time.Duration(period)*time.Second)
	if intensity == 0 {
		policy.MaxRestarts = strategies.NoRestarts
	}
	s := actors.Supervisor{ID: n.ID, Lifecycle: lifecycle(n)}
	switch n.Strategy {
	case "one_for_one":
		s.Strategy = strategies.OneForOne(policy)
	case "one_for_all":
		s.Strategy = strategies.OneForAll(policy)
	case "rest_for_one":
		s.Strategy = strategies.RestForOne(policy)
	default:
		p.t.Fatalf("strategy %q", n.Strategy)
	}
	s.AutoShutdown = map[string]actors.AutoShutdown{"": actors.AutoShutdownNever, "never": actors.AutoShutdownNever,
		"any_significant": actors.AutoShutdownAny, "all_significant": actors.AutoShutdownAll}[n.AutoShutdown]
	for _, c := range n.Children {
		s.Children = append(s.Children, p.child(c, path))
	}
	s.Init = func(context.Context) error { return p.fail(n.ID) }
	return s
}

func (p *replayer) child(n otpNode, parent string) actors.Child {
	if n.Strategy != "" {
		return p.supervisor(n, parent)
	}
	p.enter(n, parent)
	return actors.ActorSpec{ID: n.ID, Producer: func() actor.Actor { return &worker{p: p, id: n.ID} }, Lifecycle: lifecycle(n)}
}

func (p *replayer) enter(n otpNode, parent string) string {
	path := n.ID
	if parent != "" {
		path = parent + "/" + n.ID
	}
	p.paths[n.ID] = path
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.kinds[n.ID]; !known {
		p.kinds[n.ID] = n.Kind
	}
	return path
}

func lifecycle(n otpNode) actors.Lifecycle {
	l := actors.Lifecycle{Significant: n.Significant}
	l.Restart = map[string]actors.Restart{"": actors.Permanent, "permanent": actors.Permanent, "transient": actors.Transient, "temporary": actors.Temporary}[n.Restart]
	switch s := string(n.Shutdown); s {
	case "":
	case `"brutal_kill"`:
		l.Shutdown = actors.BrutalKill
	case `"infinity"`:
		l.Shutdown = actors.NoLimit
	default:
		ms, err := strconv.Atoi(s)
		if err != nil {
			panic("shutdown " + s)
		}
		l.Shutdown = time.Duration(ms) * time.Millisecond
	}
	return l
}

// worker is a child process of the recordings. Its kind says how it takes being told to stop.
type worker struct {
	p       *replayer
	id      string
	exiting bool // by itself
}

type exitOrder struct{ reason string }

func (w *worker) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		if err := w.p.fail(w.id); err != nil {
			actors.Exit(ctx, err)
		}
	case exitOrder:
		w.exiting = true
		switch m.reason {
		case "normal":
			actors.Exit(ctx, nil)
		case "shutdown":
			actors.Exit(ctx, actors.ErrShutdown)
		case "shutdown_term":
			actors.Exit(ctx, errShutTerm)
		default:
			panic(errCrash)
		}
	case *actor.Stopping:
		if w.exiting {
			return
		}
		w.p.mu.Lock()
		kind := w.p.kinds[w.id]
		w.p.mu.Unlock()
		switch kind {
		case "stubborn":
			<-w.p.release
		case "odd_normal":
			actors.Exit(ctx, nil)
		case "odd_crash":
			actors.Exit(ctx, errCrash)
		}
	}
}

func (p *replayer) arm(op otpOp) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails[op.ID] = &failing{op.N, op.Mode}
}

// fail is asked at each start of a worker or supervisor.
func (p *replayer) fail(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fails[id]
	if f == nil || f.left == 0 {
		return nil
	}
	f.left--
	switch f.mode {
	case "ignore":
		return actors.ErrIgnore
	case "crash":
		panic(errFail)
	default:
		return errFail
	}
}

// ---- the steps

func (p *replayer) start(root actors.Supervisor) otpStep {
	p.events = actors.NewSubscription(1 << 16)
	tree, err := actors.Start(context.Background(), root, actors.WithAbandonLimit(1<<20), actors.WithSubscription(p.events))
	if err != nil {
		return otpStep{Result: "error " + startError(err), State: "dead", Events: p.collect()}
	}
	p.tree = tree
	return otpStep{Result: "ok", Events: p.collect(), State: p.state()}
}

func (p *replayer) stop() otpStep {
	if err := p.tree.Stop(context.Background()); err != nil {
		var left *actors.AbandonedError
		if !errors.As(err, &left) {
			p.t.Errorf("stop: %v", err)
		}
	}
	return otpStep{Result: "ok", Events: p.collect(), State: p.state()}
}

func (p *replayer) step(op otpOp) otpStep {
	result := p.do(op)
	p.quiesce()
	return otpStep{Result: result, Events: p.collect(), State: p.state()}
}

func (p *replayer) do(op otpOp) string {
	ctx := context.Background()
	child := p.paths[op.Sup] + "/" + op.ID
	switch op.Op {
	case "exit":
		if !p.up(op.ID) {
			return "noproc"
		}
		p.tree.ActorSystem().Root.Send(p.tree.PID(p.paths[op.ID]), exitOrder{op.Reason})
		return "ok"
	case "kill":
		if !p.up(op.ID) || p.tree.Kill(p.paths[op.ID]) != nil {
			return "noproc"
		}
		return "ok"
	case "fail":
		p.arm(op)
		return "ok"
	case "wait":
		time.Sleep(time.Duration(op.MS) * time.Millisecond)
		return "ok"
	}
	if !p.up(op.Sup) {
		return "noproc"
	}
	switch op.Op {
	case "terminate_child":
		return result(p.tree.TerminateChild(ctx, child))
	case "delete_child":
		return result(p.tree.DeleteChild(ctx, child))
	case "restart_child":
		pid, err := p.tree.RestartChild(ctx, child)
		return started(pid, err)
	case "start_child":
		pid, err := p.tree.StartChild(ctx, p.paths[op.Sup], p.child(*op.Spec, p.paths[op.Sup]))
		return started(pid, err)
	case "count_children":
		return p.count(op.Sup)
	case "which":
		return p.which(p.paths[op.Sup])
	default:
		p.t.Fatalf("no such operation: %s", op.Op)
		return ""
	}
}

func (p *replayer) up(id string) bool {
	path, ok := p.paths[id]
	if !ok || p.tree == nil {
		return false
	}
	n, ok := p.tree.Node(path)
	return ok && n.Status == actors.StatusRunning
}

func started(pid *actor.PID, err error) string {
	if err == nil && pid == nil {
		return "ok undefined"
	}
	return result(err)
}

func result(err error) string {
	for refusal, name := range map[error]string{
		actors.ErrAlreadyStarted: "already_started", actors.ErrAlreadyPresent: "already_present", actors.ErrRunning: "running",
		actors.ErrRestarting: "restarting", actors.ErrNotFound: "not_found",
	} {
		if errors.Is(err, refusal) {
			return "error " + name
		}
	}
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, actors.ErrStopped):
		return "noproc"
	default:
		return "error " + startError(err)
	}
}

// startError names the child of a supervisor that failed, or says that the child itself did.
func startError(err error) string {
	var outer, inner *actors.StartError
	if errors.As(err, &outer) && errors.As(outer.Err, &inner) {
		return "failed_to_start_child " + inner.Path[strings.LastIndexByte(inner.Path, '/')+1:]
	}
	return "fail"
}

func (p *replayer) count(sup string) string {
	c, err := p.tree.CountChildren(context.Background(), p.paths[sup])
	if err != nil {
		return result(err)
	}
	return fmt.Sprintf("specs=%d,active=%d,supervisors=%d,workers=%d", c.Specs, c.Active, c.Supervisors, c.Workers)
}

// state is the tree as which_children tells it: in reverse start order.
func (p *replayer) state() string {
	if p.tree == nil {
		return "dead"
	}
	select {
	case <-p.tree.Done():
		return "dead"
	default:
		return p.which("root")
	}
}

func (p *replayer) which(path string) string {
	children, err := p.tree.Children(context.Background(), path)
	if err != nil {
		return "dead"
	}
	slices.Reverse(children)
	parts := make([]string, len(children))
	for i, c := range children {
		state := c.State.String()
		if c.State == actors.ChildUp && c.Kind == actors.KindSupervisor {
			state = p.which(path + "/" + c.ID)
		}
		parts[i] = c.ID + "=" + state
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// quiesce waits until nothing is on its way up or down.
func (p *replayer) quiesce() {
	for synctest.Wait(); p.tree != nil && busy(p.tree.Snapshot()); synctest.Wait() {
		time.Sleep(time.Millisecond)
	}
}

func busy(n actors.NodeSnapshot) bool {
	switch n.Status {
	case actors.StatusStarting, actors.StatusStopping, actors.StatusBackingOff:
		return true
	}
	return slices.ContainsFunc(n.Children, busy)
}

// collect returns what happened since the last time, in the words of the recordings.
func (p *replayer) collect() []string {
	var lines []string
	for {
		select {
		case e, ok := <-p.events.Events():
			if !ok {
				return lines
			}
			if line := inWords(e); line != "" {
				lines = append(lines, line)
			}
		default:
			return lines
		}
	}
}

func inWords(e actors.Event) string {
	id := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
	parent := strings.TrimSuffix(e.Path, "/"+id)
	parent = parent[strings.LastIndexByte(parent, '/')+1:]
	if strings.HasPrefix(id, "$") {
		return "" // the tree's own nodes
	}
	switch e.Kind {
	case actors.Starting:
		return "init " + id
	case actors.Started:
		if e.Node == actors.KindRoot || e.Node == actors.KindSupervisor {
			return "up " + id
		}
		return "start " + id
	case actors.StartFailed:
		return "start_failed " + id
	case actors.Ignored:
		return "ignored " + id
	case actors.Exited:
		return "stop " + id + " " + e.Class.String()
	case actors.Failed:
		class := e.Class.String()
		switch e.Context {
		case actors.ContextBudgetSpent:
			class = "reached_max_restart_intensity"
		case actors.ContextStartError:
			class = "fail"
			var inner *actors.StartError
			if outer := (*actors.StartError)(nil); errors.As(e.Err, &outer) && errors.As(outer.Err, &inner) {
				class = "shutdown_failed_to_start_child:" + inner.Path[strings.LastIndexByte(inner.Path, '/')+1:]
			}
		}
		return fmt.Sprintf("report %s %s %s %s", parent, e.Context, id, class)
	default:
		return "" // past OTP: backoff, group restarts, abandoned …
	}
}

// ---- the comparison

func (p *replayer) compare(step string, got, want otpStep) {
	p.t.Helper()
	if got.Result != want.Result {
		p.t.Errorf("%s: result %q, want %q", step, got.Result, want.Result)
	}
	if got.State != want.State {
		p.t.Errorf("%s: state\n %s, want\n %s", step, got.State, want.State)
	}
	if err := sameEvents(got.Events, want.Events); err != "" {
		p.t.Errorf("%s: %s\n got  %s\n want %s", step, err, strings.Join(got.Events, "\n      "), strings.Join(want.Events, "\n      "))
	}
}

// sameEvents compares event by event, and a run of concurrent events, marked "~", as a set.
func sameEvents(got, want []string) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d events, want %d", len(got), len(want))
	}
	for i := 0; i < len(want); {
		run := i
		for run < len(want) && strings.HasPrefix(want[run], "~") {
			run++
		}
		if run == i {
			if got[i] != want[i] {
				return fmt.Sprintf("event %d is %q, want %q", i+1, got[i], want[i])
			}
			i++
			continue
		}
		g, w := slices.Sorted(slices.Values(got[i:run])), slices.Clone(want[i:run])
		for k := range w {
			w[k] = strings.TrimPrefix(w[k], "~")
		}
		slices.Sort(w)
		if !slices.Equal(g, w) {
			return fmt.Sprintf("events %d to %d are %v, want in any order %v", i+1, run, g, w)
		}
		i = run
	}
	return ""
}
