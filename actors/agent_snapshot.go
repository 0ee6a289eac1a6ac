package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/detector"
	"github.com/mistersmith/mistersmith/routing"
)

// SnapshotPolicy says when the state of an agent that has a Snapshot is saved. The zero value is after each task.
//
// A snapshot that is due after a task is recorded in one commit with the task's outcome: an agent with one credit, which saves after each task, goes on with the effect of all tasks that
// are recorded as done and of no other. With other policies, what it did since the last snapshot is lost with a crash, though it is recorded as done.
//
// A snapshot is for whoever runs next at the path of its agent, also if it was terminated and is started anew. It goes with [Tree.DeleteChild] and, if the ID of an instance was made up,
// with that; if there are very many of agents that aren't there, see Snapshots in [routing.Options].
//
// Snapshot is called on the goroutine of a handler, after it has returned, or while no handler runs. With more than one credit, or when handlers await subtasks, others may run meanwhile:
// they and Snapshot need a lock of yours then, as the handlers do among themselves.
type SnapshotPolicy struct {
	// Version is that of the format that Snapshot returns, from 1. Default 1. A snapshot of another version is refused.
	Version int
	// Oldest is the oldest version that Restore understands besides; it takes a [Saved] then, and can see which one it is. Default Version.
	Oldest int
	// EveryTasks is after how many tasks the state is saved. Default 1, if the other two aren't set.
	EveryTasks int
	// Every is how long after a task the state is saved at the latest.
	Every time.Duration
	// OnDemand is for agents that save only when [SaveSnapshot] or [Tree.SaveSnapshot] says so.
	OnDemand bool
}

// ErrNoSnapshots says that an agent has no Snapshot, or that what was asked for one is no agent, or isn't running.
var ErrNoSnapshots = errors.New("it has no state to save")

// RefusedError says why an agent started fresh instead of from its snapshot. It comes with an event, [SnapshotRefused].
type RefusedError struct {
	Path    string
	Version int
	Err     error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("snapshot of %s, version %d, is refused, the agent starts fresh: %v", e.Path, e.Version, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Saved is a snapshot as Restore may take it, if it wants to decode it itself.
type Saved struct {
	Version int
	Time    time.Time // when it was made
	data    []byte
}

// Decode decodes the state into what the pointer points to: JSON, unless that is a []byte.
func (s Saved) Decode(into any) error {
	if raw, ok := into.(*[]byte); ok {
		*raw = slices.Clone(s.data)
		return nil
	}
	return json.Unmarshal(s.data, into)
}

// faults fills in the defaults and reports what is wrong.
func (p *SnapshotPolicy) faults(fault func(format string, args ...any)) {
	if p.Version < 0 || p.Oldest < 0 || p.EveryTasks < 0 || p.Every < 0 {
		fault("Snapshot is %+v, no field may be negative", *p)
		return
	}
	if p.Version == 0 {
		p.Version = 1
	}
	if p.Oldest == 0 {
		p.Oldest = p.Version
	}
	if p.Oldest > p.Version {
		fault("Snapshot.Oldest is %d, must be at most Version, %d", p.Oldest, p.Version)
	}
	if p.OnDemand && (p.EveryTasks > 0 || p.Every > 0) {
		fault("Snapshot.OnDemand excludes EveryTasks and Every")
	}
	if !p.OnDemand && p.EveryTasks == 0 && p.Every == 0 {
		p.EveryTasks = 1
	}
}

// snapshotMethods finds the methods Snapshot and Restore of a handler type, if they fit: Snapshot() (S, error), and Restore(S) error or Restore(Saved) error.
func snapshotMethods(handler reflect.Type) (has bool, fault string) {
	snapshot, hasSnapshot := handler.MethodByName("Snapshot")
	restore, hasRestore := handler.MethodByName("Restore")
	if !hasSnapshot && !hasRestore {
		return false, ""
	}
	if !hasSnapshot || !hasRestore {
		return false, fmt.Sprintf("%v has a method Snapshot or Restore, but not both", handler)
	}
	first := 1 // after the receiver
	if handler.Kind() == reflect.Interface {
		first = 0
	}
	s, r, isError := snapshot.Type, restore.Type, reflect.TypeFor[error]()
	fits := s.NumIn() == first && s.NumOut() == 2 && s.Out(1) == isError &&
		r.NumIn() == first+1 && r.NumOut() == 1 && r.Out(0) == isError && (r.In(first) == s.Out(0) || r.In(first) == reflect.TypeFor[Saved]())
	if !fits {
		return false, fmt.Sprintf("%v needs methods Snapshot() (S, error) and Restore(S) error, or Restore(actors.Saved) error, not %v and %v", handler, s, r)
	}
	return true, ""
}

// bindSnapshots makes the two functions of an agent's code from the methods of its handler, which fit.
func bindSnapshots(code *AgentCode, handler any) {
	v := reflect.ValueOf(handler)
	snapshot, restore := v.MethodByName("Snapshot"), v.MethodByName("Restore")
	code.Snapshot = func() (any, error) {
		out := snapshot.Call(nil)
		err, _ := out[1].Interface().(error)
		return out[0].Interface(), err
	}
	code.Restore = func(s Saved) error {
		state := reflect.ValueOf(s)
		if wants := restore.Type().In(0); wants != state.Type() {
			decoded := reflect.New(wants)
			if err := s.Decode(decoded.Interface()); err != nil {
				return fmt.Errorf("it doesn't decode as %v: %w", wants, err)
			}
			state = decoded.Elem()
		}
		err, _ := restore.Call([]reflect.Value{state})[0].Interface().(error)
		return err
	}
}

// construct makes the code of an incarnation, and lets it go on from the snapshot of the one before. A snapshot that can't be used is refused, and the code made anew.
func (a *agent) construct() (AgentCode, error) {
	code := a.spec.New()
	if code.Snapshot == nil && code.Restore == nil {
		return code, nil
	}
	if code.Snapshot == nil || code.Restore == nil {
		return code, errors.New("code has a Snapshot or a Restore, but not both")
	}
	n := a.in.node
	if a.in.number == 1 && n.belowMadeUp() { // of another process
		n.tree.hub.DropSnapshot(n.path)
		return code, nil
	}
	snapshot, ok := n.tree.hub.Snapshot(routing.SpokeID{Path: n.path, Incarnation: a.in.number})
	if !ok {
		return code, nil
	}
	err := a.restore(code, snapshot)
	if err == nil {
		return code, nil
	}
	a.in.publish(Event{Kind: SnapshotRefused, Err: &RefusedError{n.path, snapshot.Version, err}})
	return a.spec.New(), nil
}

func (a *agent) restore(code AgentCode, s routing.AgentSnapshot) error {
	p := a.spec.Snapshot
	if s.Version < p.Oldest || s.Version > p.Version {
		return fmt.Errorf("the agent understands versions %d to %d", p.Oldest, p.Version)
	}
	return recovered(func() error { return code.Restore(Saved{Version: s.Version, Time: s.Time, data: s.Data}) })
}

// recovered calls user code. A panic in it is an error.
func recovered(call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	return call()
}

// keeper sees to it that an agent's state is saved.
type keeper struct {
	agent  *agent
	policy SnapshotPolicy
	ctx    context.Context // the agent's, which knows the keeper

	mu      sync.Mutex   // guards the rest
	running int          // handlers
	saving  *saving      // while no handler runs; nil else
	tasks   int          // ended since the last snapshot was begun
	number  uint64       // of that
	timer   *time.Timer  // for the next one
	wanted  []chan error // who waits for one
	coming  []chan error // who waits for one that goes with an outcome
	ended   error        // why there will be none any more
}

type keeperKey struct{}

func newKeeper(a *agent, p SnapshotPolicy) *keeper {
	k := &keeper{agent: a, policy: p}
	k.ctx = context.WithValue(a.ctx, keeperKey{}, k)
	return k
}

// saving is what an agent that saves while no handler runs is at.
type saving struct {
	keeper *keeper
	over   chan struct{} // closed when it is done
	life   detector.Stamp
	asked  []chan error // who waits for the present snapshot; guarded by the keeper's mu
}

// begin is called before the handler of a lease runs. It waits for the snapshot that is being made, at the expense of neither the task's time nor its agent's, unless ctx
// ends first: then it returns why, and the handler must not run.
func (k *keeper) begin(ctx context.Context, l *routing.Lease) error {
	if k == nil {
		return nil
	}
	saving := k.tryBegin()
	if saving == nil {
		return nil
	}
	defer l.Hold()()
	for saving != nil {
		select {
		case <-saving.over:
			saving = k.tryBegin()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// tryBegin counts a handler that is about to run, or returns the saving that it has to wait for.
func (k *keeper) tryBegin() *saving {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saving == nil {
		k.running++
	}
	return k.saving
}

// crashed is called instead of end when a handler panicked.
func (k *keeper) crashed() {
	if k != nil {
		k.mu.Lock()
		k.running--
		k.mu.Unlock()
	}
}

// saves is what a job does for the keeper on the way from a handler's return to the hub.
type saves struct {
	counted  bool         // the task is among what was done since the last snapshot
	snapshot bool         // goes with the outcome
	covers   int          // tasks that are in it and weren't in the one before, this one included
	wanted   []chan error // who waits for that
}

// next begins a snapshot, and counts from now on what isn't in it: it returns its number, and how many tasks it covers. Handlers may end while it is made, and each may make one of its
// own: the later one has all that is in the earlier. The caller holds mu.
func (k *keeper) next() (number uint64, covers int) {
	k.number++
	covers, k.tasks = k.tasks, 0
	return k.number, covers
}

// end is called when a handler has returned, with its outcome, and adds a snapshot to that if one is due.
func (k *keeper) end(o routing.Outcome) (routing.Outcome, saves) {
	var s saves
	k.mu.Lock()
	s.counted = true
	k.tasks++
	s.wanted, k.wanted = k.wanted, nil
	k.coming = append(k.coming, s.wanted...)
	due := k.policy.EveryTasks > 0 && k.tasks >= k.policy.EveryTasks || len(s.wanted) > 0
	var number uint64
	if due {
		number, s.covers = k.next()
	}
	k.mu.Unlock()
	if due {
		snapshot, err := k.snapshot(number)
		if s.snapshot = err == nil; s.snapshot {
			o = o.With(snapshot)
		} else {
			k.failed(err, k.unanswered(s.wanted))
			s.wanted = nil
		}
	}
	k.mu.Lock()
	k.running--
	if !s.snapshot {
		k.tasks += s.covers
	}
	k.mu.Unlock()
	return o, s
}

// settled is called when an outcome was given to the hub. If that refused it, the snapshot wasn't kept: its agent may go on, but the task is not among what it has done.
func (k *keeper) settled(accepted bool, s saves) {
	if k == nil || !s.counted {
		return
	}
	k.mu.Lock()
	switch {
	case accepted && k.policy.Every > 0 && !s.snapshot && k.timer == nil && k.ended == nil:
		k.timer = time.AfterFunc(k.policy.Every, k.tick)
	case accepted:
	case s.snapshot:
		k.tasks += s.covers - 1
	default:
		k.tasks = max(k.tasks-1, 0)
	}
	k.mu.Unlock()
	wanted := k.unanswered(s.wanted)
	if accepted {
		k.answer(wanted, nil)
		return
	}
	for _, w := range wanted {
		k.want(w)
	}
}

// unanswered returns who of those that wait for a snapshot with an outcome has had no answer yet: the caller gives it. (The agent may have ended meanwhile.)
func (k *keeper) unanswered(wanted []chan error) (left []chan error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range wanted {
		if i := slices.Index(k.coming, w); i >= 0 {
			k.coming = slices.Delete(k.coming, i, i+1)
			left = append(left, w)
		}
	}
	return left
}

func (k *keeper) answer(wanted []chan error, err error) {
	for _, w := range wanted {
		w <- err // it has room
	}
}

func (k *keeper) failed(err error, wanted []chan error) {
	k.agent.in.publish(Event{Kind: SnapshotFailed, Err: err})
	k.answer(wanted, err)
}

// snapshot asks the user's code for the state.
func (k *keeper) snapshot(number uint64) (routing.AgentSnapshot, error) {
	s := routing.AgentSnapshot{Version: k.policy.Version, Time: time.Now(), Number: number}
	err := recovered(func() error {
		state, err := k.agent.code.Snapshot()
		if err != nil {
			return err
		}
		if raw, ok := state.([]byte); ok {
			s.Data = slices.Clone(raw)
			return nil
		}
		s.Data, err = json.Marshal(state)
		return err
	})
	if err != nil {
		err = fmt.Errorf("snapshot of %s: %w", k.agent.in.node.path, err)
	}
	return s, err
}

// tick is called when a snapshot is due by time.
func (k *keeper) tick() {
	k.mu.Lock()
	k.timer = nil
	k.mu.Unlock()
	k.want(make(chan error, 1))
}

// want has a snapshot made as soon as it can be: by the next handler that returns, or now if none runs. The answer comes when it was given to the hub.
func (k *keeper) want(answer chan error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.ended != nil:
		answer <- k.ended
	case k.running > 0 || k.saving != nil:
		k.wanted = append(k.wanted, answer)
	default:
		k.saving = &saving{keeper: k, over: make(chan struct{}), asked: []chan error{answer}}
		k.agent.goAside(k.saving.run, func() {})
	}
}

// run saves until nobody wants it any more.
func (s *saving) run() {
	for s.once() {
	}
}

// once saves, and reports whether more have come meanwhile who want it.
func (s *saving) once() (more bool) {
	k := s.keeper
	k.agent.in.node.tree.watchman.sign(&s.life, s)
	err := ErrGoexit
	defer func() { // also if the user's code ends the goroutine: then nobody is left to save for the others
		k.mu.Lock()
		asked := s.asked
		s.asked, k.wanted = k.wanted, nil
		if more = len(s.asked) > 0 && err != ErrGoexit; !more {
			asked = append(asked, s.asked...)
			k.saving, s.asked = nil, nil
			close(s.over)
		}
		k.mu.Unlock()
		if err != nil {
			k.failed(err, asked)
		} else {
			k.answer(asked, nil)
		}
	}()
	err = k.save()
	return
}

// save makes a snapshot and keeps it.
func (k *keeper) save() error {
	k.mu.Lock()
	number, covers := k.next()
	k.mu.Unlock()
	err := ErrGoexit
	defer func() {
		if err != nil {
			k.mu.Lock()
			k.tasks += covers
			k.mu.Unlock()
		}
	}()
	s, err := k.snapshot(number)
	if err == nil {
		err = k.agent.spoke.Save(s)
	}
	return err
}

// close is called when the agent takes nothing more. It reports whether there is something to save before it is gone. Who waits for a snapshot learns why there won't be one.
func (k *keeper) close(cause error) (unsaved bool) {
	if k == nil {
		return false
	}
	k.mu.Lock()
	if k.ended == nil {
		k.ended = fmt.Errorf("%w any more: %w", ErrNoSnapshots, cause)
	}
	if k.timer != nil {
		k.timer.Stop()
	}
	wanted := append(k.wanted, k.coming...)
	k.wanted, k.coming = nil, nil
	if k.saving != nil {
		wanted = append(wanted, k.saving.asked...)
		k.saving.asked = nil
	}
	unsaved = k.tasks > 0 && !k.policy.OnDemand
	k.mu.Unlock()
	k.answer(wanted, k.ended)
	return unsaved
}

// saveLast saves what an agent that stops has done since the last snapshot.
func (k *keeper) saveLast() {
	for saving := k.tryBegin(); saving != nil; saving = k.tryBegin() {
		<-saving.over
	}
	err := ErrGoexit
	defer func() {
		if err != nil {
			k.failed(err, nil)
		}
	}()
	err = k.save()
}

// SaveSnapshot saves the state of the agent whose handler calls it, as it is in the midst of the task, and returns when it is recorded. ctx is the handler's. See also
// [Tree.SaveSnapshot].
func SaveSnapshot(ctx context.Context) error {
	k, ok := ctx.Value(keeperKey{}).(*keeper)
	if !ok {
		return ErrNoSnapshots
	}
	return k.save()
}

// SaveSnapshot saves the state of an agent, and returns when it is recorded: after the next task it ends, or now if it is idle. When ctx ends first it returns the cause of ctx, and
// the snapshot may be made or not.
func (t *Tree) SaveSnapshot(ctx context.Context, path string) error {
	k := t.keeperOf(path)
	if k == nil {
		return fmt.Errorf("save snapshot of %s: %w", path, ErrNoSnapshots)
	}
	answer := make(chan error, 1)
	k.want(answer)
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		err = t.hub.Flush()
	}
	if err != nil {
		return fmt.Errorf("save snapshot of %s: %w", path, err)
	}
	return nil
}

// keeperOf returns the keeper of the agent that runs at a path, or nil.
func (t *Tree) keeperOf(path string) *keeper {
	n := t.lookup(path)
	if n == nil {
		return nil
	}
	n.ref.mu.Lock()
	var a *agent
	if in := n.ref.current; in != nil && in.wasUp {
		a, _ = in.body.(*agent)
	}
	n.ref.mu.Unlock()
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keeper
}
