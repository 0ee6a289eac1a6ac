package routing

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxInputs bounds the inputs of one task.
const maxInputs = 1024

// Input is a task whose result another one needs: a [*Handle], or a [TaskID].
type Input interface {
	input() (named, error)
}

// named is a task named as an input: by its id, or by itself.
type named struct {
	id   string
	hub  *Hub
	task *task
}

// TaskID is the id of a task, as an [Input]. The hub must know the task.
type TaskID string

func (id TaskID) input() (named, error) { return named{id: string(id)}, validID(string(id)) }

func (h *Handle[Out]) input() (named, error) {
	if h == nil {
		return named{}, errNilInput
	}
	return named{h.ID(), h.hub(), h.task()}, nil
}

var errNilInput = errors.New("it is nil")

// After lets the task wait until all inputs are done; its handler reads their results with [Type.Input] and [Type.Inputs]. If an
// input ends in any other way (it fails, is cancelled, expires or goes into quarantine), the task fails at once, without having been
// started, with an [*InputError] in the chain of its error. Inputs that are settled already count just so.
//
// While it waits for inputs the task takes its place in the hub's capacity, can be cancelled, and expires at its deadline. Inputs are
// at most 1,024 tasks of the same hub, each named once. One that the hub doesn't know, or has forgotten, is refused with an
// [*UnknownTaskError]; a handle is never forgotten. As inputs must be known first, tasks can't need each other in a circle; a handler that awaits a task which
// needs the handler's own is refused with [ErrCircular].
func After(inputs ...Input) SubmitOption {
	return func(s *submission) {
		for i, in := range inputs {
			n, err := named{}, errNilInput
			if in != nil {
				n, err = in.input()
			}
			if err != nil {
				s.check(fmt.Errorf("input %d: %w", i, err))
			}
			s.inputs = append(s.inputs, n)
		}
		if len(s.inputs) > maxInputs {
			s.check(fmt.Errorf("task has %d inputs: at most %d are allowed", len(s.inputs), maxInputs))
		}
	}
}

// fan is what a task has to do with the inputs of tasks. It is part of its extra.
type fan struct {
	inputs     []edge      // that it needs, as they were named
	pending    int         // how many of them are not settled
	dependants list[*edge] // those who wait for this one
}

// fan returns the task's fan, or nil.
func (t *task) fan() *fan {
	if t.extra == nil {
		return nil
	}
	return t.extra.fan
}

// fanOut returns the task's fan, making it if there is none.
func (t *task) fanOut() *fan {
	e := t.more()
	if e.fan == nil {
		e.fan = &fan{}
	}
	return e.fan
}

func (t *task) hasInputs() bool {
	f := t.fan()
	return f != nil && len(f.inputs) > 0
}

// edge is one input of one task.
type edge struct {
	node[*edge]        // the input's list of those who wait for it
	linked      bool   // it is in that list
	id          string // of the input
	input       *task  // nil once the dependant is settled for good
	dependant   *task
}

func (e *edge) links() *node[*edge] { return &e.node }

// resolve finds the tasks that a submission names as its inputs.
func (h *Hub) resolve(inputs []named, dependant *task) error {
	if len(inputs) == 0 {
		return nil
	}
	edges := make([]edge, len(inputs))
	seen := make(map[string]struct{}, len(inputs))
	var faults []error
	for i, in := range inputs {
		if in.task == nil {
			in.hub, in.task = h, h.index.find(in.id)
		}
		_, twice := seen[in.id]
		seen[in.id] = struct{}{}
		switch {
		case in.task == nil:
			faults = append(faults, &UnknownTaskError{ID: in.id})
		case in.hub != h:
			faults = append(faults, fmt.Errorf("input %q is a task of another hub", in.id))
		case twice:
			faults = append(faults, fmt.Errorf("input %q is named twice", in.id))
		}
		edges[i] = edge{id: in.id, input: in.task, dependant: dependant}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	dependant.fanOut().inputs = edges
	return nil
}

// awaitInputs lets an accepted task wait for the inputs that aren't settled yet. It is false if there is nothing to wait for.
func (h *Hub) awaitInputs(t *task) (waits bool) {
	if !t.hasInputs() {
		return false
	}
	f := t.extra.fan
	t.place = blocked
	h.books.Blocked++
	if t.strand != nil {
		t.strand.blocked++
	}
	for i := range f.inputs {
		in := &f.inputs[i]
		switch {
		case !in.input.state.Settled():
			in.input.fanOut().dependants.pushBack(in)
			in.linked = true
			f.pending++
		case in.input.state != StateDone:
			h.doom(doomed{task: t, input: in.input})
			return true
		}
	}
	if f.pending == 0 {
		h.takeOut(t)
		return false
	}
	h.plan(t)
	return true
}

// letGo takes a task that waits for inputs out of their lists.
func (h *Hub) letGo(t *task) {
	h.books.Blocked--
	if t.strand != nil {
		t.strand.blocked--
	}
	f := t.extra.fan
	for i := range f.inputs {
		if in := &f.inputs[i]; in.linked {
			in.input.extra.fan.dependants.remove(in)
			in.linked = false
		}
	}
	f.pending = 0
}

// tellDependants lets go on, or fail, who waited for a task that is settled now.
func (h *Hub) tellDependants(t *task) {
	f := t.fan()
	if f == nil {
		return
	}
	for in := f.dependants.head; in != nil; in = f.dependants.head {
		f.dependants.remove(in)
		in.linked = false
		d := in.dependant
		d.extra.fan.pending--
		switch {
		case t.state != StateDone:
			h.doom(doomed{task: d, input: t})
		case d.extra.fan.pending == 0:
			h.takeOut(d)
			h.enqueue(d, false)
		}
	}
}

// forgetInputs lets go of the records of a settled task's inputs, or each would keep all that were ever before it.
func (t *task) forgetInputs() {
	if !t.hasInputs() {
		return
	}
	for i := range t.extra.fan.inputs {
		t.extra.fan.inputs[i].input = nil
	}
}

func (t *task) inputIDs() []string {
	if !t.hasInputs() {
		return nil
	}
	ids := make([]string, len(t.extra.fan.inputs))
	for i := range ids {
		ids[i] = t.extra.fan.inputs[i].id
	}
	return ids
}

// Inputs gives a handler the results of those inputs of its task ([After]) that are of this type, in the order in which After named
// them. It fails outside of a task, and when one is not the type's Out.
func (t Type[In, Out]) Inputs(ctx context.Context) ([]Out, error) {
	lease := leaseOf(ctx)
	if lease == nil {
		return nil, fmt.Errorf("inputs of type %q: the context is not that of a task", t.name)
	}
	var results []Out
	for _, in := range lease.hub.inputsOf(lease.task, t.name) {
		out, err := resultOf[Out](lease.hub, in)
		if err != nil {
			return nil, fmt.Errorf("inputs of type %q: %w", t.name, err)
		}
		results = append(results, out)
	}
	return results, nil
}

// Input is Inputs for a handler whose task has just one input of this type.
func (t Type[In, Out]) Input(ctx context.Context) (Out, error) {
	results, err := t.Inputs(ctx)
	if err == nil && len(results) != 1 {
		err = fmt.Errorf("input of type %q: the task has %d of it, not one", t.name, len(results))
	}
	if err != nil {
		var zero Out
		return zero, err
	}
	return results[0], nil
}

func (h *Hub) inputsOf(t *task, typeName string) (inputs []*task) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !t.hasInputs() {
		return nil
	}
	for i := range t.extra.fan.inputs {
		if in := t.extra.fan.inputs[i].input; in != nil && in.lane.name == typeName {
			inputs = append(inputs, in)
		}
	}
	return inputs
}

// InputError is why a task failed that was not started: one that it needed ([After]) ended without a result.
type InputError struct {
	// ID and Type are the input's.
	ID, Type string
	// Err is what became of it. If the input failed for want of an input of its own, there is another InputError in its chain, and
	// so on; a chain of more than 64 leaves out what is between here and the root.
	Err *TaskError

	hops int // InputErrors below this one
}

// maxHops bounds the chain of an InputError.
const maxHops = 64

// shownHops is how much of a chain an InputError's text tells.
const shownHops = 8

func newInputError(input *task) *InputError {
	e := &InputError{ID: input.err.ID, Type: input.lane.name, Err: input.err}
	if below := e.below(); below != nil {
		e.hops = below.hops + 1
		if e.hops > maxHops {
			e.hops, e.Err = 0, e.Root()
		}
	}
	return e
}

// below is the InputError of the input, if that had one.
func (e *InputError) below() *InputError {
	below, _ := e.Err.Err.(*InputError)
	return below
}

// Root returns the error of the task at the end of the chain: one that did not fail for want of an input.
func (e *InputError) Root() *TaskError {
	for below := e.below(); below != nil; below = e.below() {
		e = below
	}
	return e.Err
}

// Error names the tasks of the chain, from the nearest to the root.
func (e *InputError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "it needs %s", e.ID)
	shown := 1
	for below := e.below(); below != nil; below = below.below() {
		if shown++; shown <= shownHops {
			fmt.Fprintf(&b, ", which needs %s", below.ID)
		}
	}
	if shown > shownHops {
		fmt.Fprintf(&b, ", and so on through %d more", shown-shownHops)
	}
	return b.String() + ": " + e.Root().Error()
}

// Unwrap returns Err.
func (e *InputError) Unwrap() error { return e.Err }
