package routing

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// maxDepth bounds how deep subtasks may have subtasks.
const maxDepth = 1000

// Detached makes a task that a handler submits no subtask of the handler's own. Without it,
// a task that is submitted with the context that a handler was given is a subtask of the handler's task:
//
//   - Its deadline is that of its parent, or its own if that is earlier. Its priority is its parent's if it has none.
//   - If the parent is cancelled, expires or fails, so ends what is unsettled of its subtasks: they are cancelled. If it is done or goes
//     into quarantine they go on.
//   - Its id, if it isn't given one, is made of the parent's id and of its type, key and input (as JSON), and so the same in each attempt of
//     the parent. So an attempt that follows one that crashed finds what that had submitted: the results that are there already, and
//     what is still running or in quarantine. What failed, was cancelled or has expired is tried anew, as the parent is. Two equal subtasks in one
//     attempt are two tasks: for that an attempt keeps some 30 B for each subtask until it ends. An input that can't be encoded gives an id that is never found again. Inputs whose JSON is the same
//     count as equal, also if they differ in unexported fields: give them an [ID], or another [Key].
//   - As long as a handler awaits ([Handle.Await], [Type.Do], a submit with [Wait]) with its context, the credit of its attempt is free for others,
//     and the clock of its attempt's time limit stands still. It goes on as soon as what it awaits is there, whether or not a credit is free by
//     then: for a while the spoke may be running more than its credits.
//   - In another hub than its parent's it has the same id, deadline and priority, but is not cancelled with its parent.
//   - A full hub, or type, still accepts a subtask of a parent that has no other unsettled one, so that parents never wait for each other's places.
func Detached() SubmitOption {
	return func(s *submission) { s.detached = true }
}

var (
	// ErrParentEnded refuses a subtask of an attempt that is over, and is in the chain of the error of one that was cancelled because
	// its parent ended without a result.
	ErrParentEnded = errors.New("the task that submitted it has ended")
	// ErrTooDeep refuses a subtask below more than 1,000 others.
	ErrTooDeep = fmt.Errorf("subtasks are more than %d deep", maxDepth)
)

// kinship is what a task has to do with its parent and its subtasks. It is part of its extra.
type kinship struct {
	task      *task
	parent    *task  // nil once it has none, or either is settled
	parentID  string // for good
	depth     int
	siblings  node[*kinship] // the parent's subtasks
	subtasks  list[*kinship] // that are unsettled
	submitted []*waiter      // subtasks that wait for a place
}

func (k *kinship) links() *node[*kinship] { return &k.siblings }

// kinship returns the task's, or nil.
func (t *task) kinship() *kinship {
	if t.extra == nil {
		return nil
	}
	return t.extra.kinship
}

// kin returns the task's kinship, making it if there is none.
func (t *task) kin() *kinship {
	e := t.more()
	if e.kinship == nil {
		e.kinship = &kinship{}
	}
	e.kinship.task = t
	return e.kinship
}

// parent returns the task that submitted it, or nil.
func (t *task) parent() *task {
	if k := t.kinship(); k != nil {
		return k.parent
	}
	return nil
}

func (t *task) parentID() string {
	if k := t.kinship(); k != nil {
		return k.parentID
	}
	return ""
}

// depth returns how many tasks it is below.
func (t *task) depth() int {
	if k := t.kinship(); k != nil {
		return k.depth
	}
	return 0
}

// beSubtask makes a submission by the handler of a lease that of a subtask.
func (h *Hub) beSubtask(s *submission, lease *Lease, typeName string, in any) error {
	if err := lease.inherit(s); err != nil || s.id != "" {
		return err
	}
	base, ok := deriveID(lease.ID(), in, typeName, s.key, s.pin.Path)
	if s.pin.Path != "" && len(s.pin.Path) <= longParentID { // it is in the hash in any case
		base = partID(base, s.pin)
	}
	for ok {
		s.id = lease.subtaskID(base)
		ok = h.spent(s.id)
	}
	return nil
}

// end returns the deadline that was given or inherited, whichever is earlier, or the zero time.
func (s *submission) end() time.Time {
	if s.deadline.IsZero() || !s.inherited.IsZero() && s.inherited.Before(s.deadline) {
		return s.inherited
	}
	return s.deadline
}

// inherit gives a submission what a subtask has of its parent.
func (l *Lease) inherit(s *submission) error {
	l.hub.mu.Lock()
	defer l.hub.unlock()
	p := l.task
	l.hub.expireIfDue(p, l.hub.clock.now())
	if p.lease != l {
		return ErrParentEnded
	}
	if p.depth() >= maxDepth {
		return ErrTooDeep
	}
	s.parent = l
	if p.deadline != 0 {
		s.inherited = l.hub.clock.at(p.deadline)
	}
	if !s.hasPriority {
		s.priority = int8(p.priority())
	}
	return nil
}

// bear makes a task that is about to be accepted the parent's.
func (h *Hub) bear(t, parent *task) error {
	if parent.state.Settled() {
		return ErrParentEnded
	}
	k := t.kin()
	k.parent, k.parentID, k.depth = parent, h.index.id(parent), parent.depth()+1
	return nil
}

// joinFamily enters an accepted task among its parent's.
func (t *task) joinFamily() {
	if parent := t.parent(); parent != nil {
		parent.kin().subtasks.pushBack(t.extra.kinship)
	}
}

// leaveFamily ends what a task that was settled has to do with others.
func (h *Hub) leaveFamily(t *task, now int64) {
	k := t.kinship()
	if k == nil {
		return
	}
	for _, w := range slices.Clone(k.submitted) {
		h.leaveLine(w)
		h.answer(w, nil, ErrParentEnded)
	}
	dooms := t.state == StateFailed || t.state == StateCancelled || t.state == StateExpired
	for sub := k.subtasks.head; sub != nil; sub = k.subtasks.head {
		k.subtasks.remove(sub)
		sub.parent = nil
		if dooms {
			h.doom(doomed{task: sub.task, cause: parentCause(t)})
		} else {
			h.journal.mark(sub.task)
		}
	}
	parent := k.parent
	if parent == nil {
		return
	}
	parent.extra.kinship.subtasks.remove(k)
	k.parent = nil
	h.letInSubtask(parent, now)
}

// parentCause is why the subtasks of a task are cancelled: for the same reason as it, however deep they are.
func parentCause(t *task) error {
	cause := t.err.Err
	switch caused, _ := cause.(*causedError); {
	case caused != nil && caused.what == ErrParentEnded:
		return cause
	case cause == nil:
		cause = ErrExpired
	}
	return &causedError{ErrParentEnded, cause}
}

// mayExceed reports whether the task is accepted though there is no place for it.
func (t *task) mayExceed() bool {
	parent := t.parent()
	return parent != nil && (parent.kinship() == nil || parent.extra.kinship.subtasks.size == 0)
}

// leaveParent takes a waiter off the list of its parent.
func (w *waiter) leaveParent() {
	if parent := w.task.parent(); parent != nil {
		k := parent.extra.kinship
		k.submitted = slices.DeleteFunc(k.submitted, func(other *waiter) bool { return other == w })
	}
}

// letInSubtask lets a subtask that waits for a place in without one, if its parent has no other. If it has, the end of the next is waited for.
func (h *Hub) letInSubtask(parent *task, now int64) {
	k := parent.extra.kinship
	for k.subtasks.size == 0 && len(k.submitted) > 0 {
		w := k.submitted[0]
		if h.turnedAway(w, now) {
			continue
		}
		w.at.line.remove(w)
		if w.at != &h.gate {
			w.task.lane.gate.used++
		}
		h.letIn(w, now)
	}
	h.disentanglePlace(parent)
}

// spent reports whether a subtask with this id has been tried in vain, so that another attempt of its parent tries anew.
func (h *Hub) spent(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.index.find(id)
	return t != nil && (t.state == StateFailed || t.state == StateCancelled || t.state == StateExpired)
}

// subtaskID returns the next id for a subtask of the lease's task that is derived from base: it has another for each of several equal ones. Of each that
// there was the attempt keeps a hash, for as long as it lasts; two ids with the same one, of which there are none to be expected in less than billions,
// would count as equal.
func (l *Lease) subtaskID(base string) string {
	l.ctxMu.Lock()
	defer l.ctxMu.Unlock()
	e := l.more()
	if e.named == nil {
		e.named = make(map[uint64]int32)
	}
	hash := xxhash.Sum64String(base)
	e.named[hash]++
	if n := e.named[hash]; n > 1 {
		return base + "~" + strconv.Itoa(int(n))
	}
	return base
}

// longParentID is from where on the id of a subtask has not that of its parent in it, nor the path of its spoke, but a hash of that: ids don't grow with the depth.
const longParentID = 200

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// deriveID makes the id of a subtask of its input and other marks of it. It is false if the input can't be encoded.
func deriveID(parent string, in any, marks ...string) (id string, ok bool) {
	data, err := encode(in)
	if err != nil {
		return "", false
	}
	hash := sha256.New()
	for _, mark := range marks {
		hash.Write([]byte(strconv.Quote(mark)))
	}
	hash.Write(data)
	if len(parent) > longParentID {
		sum := sha256.Sum256([]byte(parent))
		parent = "~" + idEncoding.EncodeToString(sum[:10])
	}
	return strings.Join([]string{parent, idEncoding.EncodeToString(hash.Sum(nil)[:10])}, "/"), true
}
