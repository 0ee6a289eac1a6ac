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
	"github.com/mistersmith/mistersmith/internal/hold"
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
	paths   map[string]string  // by id
	specs   map[string]otpNode // of supervisors, by id, as they are configured now
	killed  []lost             // what was below a supervisor that was killed in this step
	release chan struct{}      // lets the stubborn go at the end

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
	p := &replayer{t: t, paths: make(map[string]string), specs: make(map[string]otpNode), release: make(chan struct{}), kinds: make(map[string]string), fails: make(map[string]*failing)}
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
	p.specs[n.ID] = n
	intensity, period := 1, 5
	if n.Intensity != nil {
		intensity = *n.Intensity
	}
	if n.Period != nil {
		period = *n.Period
	}
	policy := strategies.MaxRestarts(intensity, time.Duration(period)*time.Second)
	if intensity < 0 {
		policy.MaxRestarts = intensity - 1 // ours has a meaning for -1
	}
	if period <= 0 {
		policy.Window = -1 // and for 0
	}
	s := actors.Supervisor{ID: n.ID, Lifecycle: lifecycle(n)}
	switch n.Strategy {
	case "one_for_one":
		s.Strategy = strategies.OneForOne(policy)
	case "one_for_all":
		s.Strategy = strategies.OneForAll(policy)
	case "rest_for_one":
		s.Strategy = strategies.RestForOne(policy)
	case "simple_one_for_one":
		s.Strategy = strategies.OneForOne(policy)
		s.Template = p.template(n, path)
	default:
		s.Strategy = unknownStrategy{strategies.OneForOne(policy)}
	}
	s.AutoShutdown = word(n.AutoShutdown, map[string]actors.AutoShutdown{"": actors.AutoShutdownNever, "never": actors.AutoShutdownNever,
		"any_significant": actors.AutoShutdownAny, "all_significant": actors.AutoShutdownAll}, 99)
	if s.Template == nil {
		for _, c := range n.Children {
			s.Children = append(s.Children, p.child(c, path))
		}
	}
	s.Init = func(context.Context) error { return p.fail(n.ID) }
	return s
}

// template makes the template of a dynamic supervisor. OTP wants exactly one spec and finds that out when it runs; here the type says it, so any other
// number becomes a pool of as many.
func (p *replayer) template(n otpNode, path string) actors.Child {
	if len(n.Children) == 1 {
		return p.child(n.Children[0], path)
	}
	return actors.Pool(len(n.Children), actors.AgentSpec{ID: "many", Types: []string{"none"}, New: func() actors.AgentCode { return actors.AgentCode{} }})
}

// unknownStrategy stands for a strategy that OTP doesn't know. In Go a strategy is a value, so an unknown one can't be written; what can be is one with
// a policy that no supervisor accepts.
type unknownStrategy struct{ strategies.Strategy }

func (unknownStrategy) Policy() strategies.RestartPolicy {
	return strategies.RestartPolicy{WhenSpent: 99}
}

func word[T any](w string, known map[string]T, unknown T) T {
	if v, ok := known[w]; ok {
		return v
	}
	return unknown
}

func (p *replayer) child(n otpNode, parent string) actors.Child {
	if n.Strategy != "" {
		return p.supervisor(n, parent)
	}
	p.enter(n, parent)
	return actors.ActorSpec{ID: n.ID, Producer: func() actor.Actor { return &worker{p: p, id: n.ID} }, Lifecycle: lifecycle(n)}
}

// instance is what an instance of a template is called, which is also what start failures are armed by.
func instance(ctx actor.Context) string {
	id := ctx.Self().Id
	return id[strings.LastIndexByte(id, '/')+1:]
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
	l.Restart = word(n.Restart, map[string]actors.Restart{"": actors.Permanent, "permanent": actors.Permanent, "transient": actors.Transient, "temporary": actors.Temporary}, 99)
	switch s := string(n.Shutdown); s {
	case "":
	case `"brutal_kill"`:
		l.Shutdown = actors.BrutalKill
	case `"infinity"`:
		l.Shutdown = actors.NoLimit
	default:
		ms, err := strconv.Atoi(s)
		if err != nil || ms < 0 {
			ms = -10
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
		if err := w.p.fail(instance(ctx)); err != nil {
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
	if fault := faultWord(err); fault != "" {
		where := "start_spec "
		switch {
		case strings.HasPrefix(fault, "bad_start"):
			where = ""
		case strings.HasPrefix(fault, "invalid_"):
			where = "supervisor_data "
		}
		// OTP's supervisor runs its callback and finds out then; here a bad spec starts nothing.
		return otpStep{Result: "error " + where + fault, State: "dead", Events: []string{"init " + root.ID, "start_failed " + root.ID}}
	}
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
	p.killed = nil
	result := p.do(op)
	p.quiesce()
	return otpStep{Result: result, Events: p.gather(p.collectEvents()), State: p.state()}
}

func (p *replayer) do(op otpOp) string {
	switch op.Op {
	case "exit":
		if !p.up(op.ID) {
			return "noproc"
		}
		p.tree.ActorSystem().Root.Send(p.tree.PID(p.paths[op.ID]), exitOrder{op.Reason})
		return "ok"
	case "kill":
		return p.kill(op.ID)
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
	if op.Op == "batch" {
		return p.batch(op)
	}
	return p.call(op)
}

// call makes one dynamic call.
func (p *replayer) call(op otpOp) string {
	ctx := context.Background()
	child := p.paths[op.Sup] + "/" + op.ID
	if op.Inst != "" {
		child = p.paths[op.Sup] + "/" + op.Inst
		p.mu.Lock()
		p.paths[op.Inst] = child
		if template := p.specs[op.Sup].Children; len(template) == 1 {
			if _, known := p.kinds[op.Inst]; !known {
				p.kinds[op.Inst] = p.kinds[template[0].ID]
			}
		}
		p.mu.Unlock()
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
		if op.Inst != "" {
			pid, err := p.tree.StartInstance(ctx, p.paths[op.Sup], op.Inst)
			return started(pid, err)
		}
		pid, err := p.tree.StartChild(ctx, p.paths[op.Sup], p.child(*op.Spec, p.paths[op.Sup]))
		return started(pid, err)
	case "get_childspec":
		return p.childSpec(child)
	case "change":
		return p.change(op)
	case "count_children":
		return p.count(op.Sup)
	case "which":
		return p.which(p.paths[op.Sup], false)
	default:
		p.t.Fatalf("no such operation: %s", op.Op)
		return ""
	}
}

// kill kills a worker, or a supervisor and what is below it.
func (p *replayer) kill(id string) string {
	if !p.up(id) {
		return "noproc"
	}
	if n, _ := p.tree.Node(p.paths[id]); n.Kind != actors.KindActor {
		p.killed = append(p.killed, lost{n.Path, n.Incarnation, below(n, nil)})
	}
	if p.tree.Kill(p.paths[id]) != nil {
		return "noproc"
	}
	return "ok"
}

// lost is a supervisor that was killed, with the incarnations that hung below it.
type lost struct {
	path        string
	incarnation uint64
	below       map[string]uint64
}

func below(n actors.NodeSnapshot, all map[string]uint64) map[string]uint64 {
	if all == nil {
		all = make(map[string]uint64)
	}
	for _, c := range n.Children {
		all[c.Path] = c.Incarnation
		below(c, all)
	}
	return all
}

// batch holds the supervisor still, lets workers end, queues calls, and lets it go.
func (p *replayer) batch(op otpOp) string {
	held, release := make(chan struct{}), make(chan struct{})
	p.tree.ActorSystem().Root.Send(p.tree.PID(p.paths[op.Sup]), hold.Order{Held: held, Release: release})
	<-held
	for _, exit := range op.Exits {
		if exit.Reason == "kill" {
			p.kill(exit.ID)
		} else if p.up(exit.ID) {
			p.tree.ActorSystem().Root.Send(p.tree.PID(p.paths[exit.ID]), exitOrder{exit.Reason})
		}
		synctest.Wait()
	}
	results := make([]string, len(op.Then))
	var calls sync.WaitGroup
	for i, then := range op.Then {
		if then.Sup == "" {
			then.Sup = op.Sup
		}
		calls.Go(func() { results[i] = p.call(then) })
		synctest.Wait() // it is queued
	}
	close(release)
	calls.Wait()
	return strings.Join(append([]string{"ok"}, results...), "; ")
}

// change reconfigures a live supervisor.
func (p *replayer) change(op otpOp) string {
	old := p.specs[op.Sup]
	next := p.asConfigured(old)
	if op.Strategy != nil {
		next.Strategy = *op.Strategy
	}
	if op.Intensity != nil {
		next.Intensity = op.Intensity
	}
	if op.AutoShutdown != nil {
		next.AutoShutdown = *op.AutoShutdown
	}
	if op.Children != nil {
		next.Children = *op.Children
		p.mu.Lock()
		for _, c := range next.Children {
			if c.Kind != "" {
				p.kinds[c.ID] = c.Kind
			}
		}
		p.mu.Unlock()
	}
	path := p.paths[op.Sup]
	parent := strings.TrimSuffix(strings.TrimSuffix(path, op.Sup), "/")
	err := p.tree.Reconfigure(context.Background(), path, p.supervisor(next, parent))
	if err != nil {
		p.specs[op.Sup] = old
	}
	switch fault := faultWord(err); fault {
	case "":
		return result(err)
	case "bad_start_spec":
		return "error ok" // so the recordings say it
	default:
		return "error " + fault
	}
}

// asConfigured is a supervisor as it is configured now, and so are those below it: each is changed by itself.
func (p *replayer) asConfigured(n otpNode) otpNode {
	if now, ok := p.specs[n.ID]; ok && n.Strategy != "" {
		life := n
		n = now
		n.Restart, n.Significant, n.Shutdown = life.Restart, life.Significant, life.Shutdown
	}
	n.Children = slices.Clone(n.Children)
	for i, c := range n.Children {
		n.Children[i] = p.asConfigured(c)
	}
	return n
}

func (p *replayer) childSpec(path string) string {
	spec, err := p.tree.ChildSpec(context.Background(), path)
	if err != nil {
		return result(err)
	}
	life, kind := actors.Lifecycle{}, "worker"
	shutdown := "5000"
	switch s := spec.(type) {
	case actors.Supervisor:
		life, kind, shutdown = s.Lifecycle, "supervisor", "infinity"
	case actors.ActorSpec:
		life = s.Lifecycle
	}
	switch life.Shutdown {
	case 0:
	case actors.BrutalKill:
		shutdown = "brutal_kill"
	case actors.NoLimit:
		shutdown = "infinity"
	default:
		shutdown = strconv.FormatInt(life.Shutdown.Milliseconds(), 10)
	}
	restart := [...]string{"permanent", "transient", "temporary"}[life.Restart]
	return fmt.Sprintf("ok restart=%s,significant=%v,shutdown=%s,type=%s", restart, life.Significant, shutdown, kind)
}

// faultWord is OTP's word for what is wrong with a spec.
func faultWord(err error) string {
	var spec *actors.SpecError
	if !errors.As(err, &spec) {
		return ""
	}
	for _, w := range [][2]string{
		{"WhenSpent", "invalid_strategy"}, {"MaxRestarts", "invalid_intensity"}, {"Window", "invalid_period"}, {"AutoShutdown is", "invalid_auto_shutdown"},
		{"Restart is", "invalid_restart_type"}, {"Shutdown is", "invalid_shutdown"}, {"used twice", "duplicate_child_name"}, {"Significant", "bad_combination"},
		{"Template is", "bad_start_spec"}, {"pool of", "bad_start_spec"},
	} {
		if strings.Contains(spec.Error(), w[0]) {
			return w[1]
		}
	}
	return "unknown fault: " + spec.Error()
}

func (p *replayer) up(id string) bool {
	p.mu.Lock()
	path, ok := p.paths[id]
	p.mu.Unlock()
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
		actors.ErrRestarting: "restarting", actors.ErrNotFound: "not_found", actors.ErrDynamic: "simple_one_for_one",
	} {
		if errors.Is(err, refusal) {
			return "error " + name
		}
	}
	if fault := faultWord(err); fault != "" {
		return "error " + fault
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
		return p.which(p.tree.Snapshot().Path, true)
	}
}

// which lists the children of a supervisor, and those of supervisors among them if it is to be deep.
func (p *replayer) which(path string, deep bool) string {
	children, err := p.tree.Children(context.Background(), path)
	if err != nil {
		if deep {
			return "dead"
		}
		return result(err)
	}
	if p.specs[path[strings.LastIndexByte(path, '/')+1:]].Strategy == "simple_one_for_one" {
		slices.SortFunc(children, func(a, b actors.ChildInfo) int { return strings.Compare(a.ID, b.ID) })
	} else {
		slices.Reverse(children)
	}
	parts := make([]string, len(children))
	for i, c := range children {
		state := c.State.String()
		if deep && c.State == actors.ChildUp && c.Kind == actors.KindSupervisor {
			state = p.which(path+"/"+c.ID, true)
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
	if len(p.killed) > 0 {
		time.Sleep(10 * time.Second) // what a killed supervisor left behind stops in order, within its shutdown times
		synctest.Wait()
	}
}

func busy(n actors.NodeSnapshot) bool {
	switch n.Status {
	case actors.StatusStarting, actors.StatusStopping, actors.StatusBackingOff:
		return true
	}
	return slices.ContainsFunc(n.Children, busy)
}

// collectEvents returns what happened since the last time.
func (p *replayer) collectEvents() []actors.Event {
	var all []actors.Event
	for {
		select {
		case e, ok := <-p.events.Events():
			if !ok {
				return all
			}
			all = append(all, e)
		default:
			return all
		}
	}
}

// collect returns it in the words of the recordings.
func (p *replayer) collect() []string { return p.gather(p.collectEvents()) }

// gather puts events into the words of the recordings. What is done by those below a killed supervisor happens while its own supervisor reacts
// already: it goes directly behind the end of the killed one, as in the recordings.
func (p *replayer) gather(events []actors.Event) []string {
	var lines []string
	behind := make([][]string, len(p.killed))
	at := make([]int, len(p.killed))
	for _, e := range events {
		line := inWords(e)
		if line == "" {
			continue
		}
		if i := slices.IndexFunc(p.killed, func(l lost) bool { return l.below[e.Path] == e.Incarnation && e.Incarnation != 0 }); i >= 0 &&
			(e.Kind == actors.Exited || e.Kind == actors.Failed) {
			behind[i] = append(behind[i], line)
			continue
		}
		lines = append(lines, line)
		for i, l := range p.killed {
			if e.Kind == actors.Exited && e.Path == l.path && e.Incarnation == l.incarnation {
				at[i] = len(lines)
			}
		}
	}
	for i := len(behind) - 1; i >= 0; i-- {
		lines = slices.Insert(lines, at[i], behind[i]...)
	}
	return lines
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
		if e.Group > 0 {
			id = fmt.Sprintf("n=%d", e.Group)
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
