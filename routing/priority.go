package routing

import (
	"fmt"
	"math/bits"
)

// Bounds of [Priority].
const (
	LowestPriority  = -4
	HighestPriority = 4
)

// levels are the ways for tasks of one type to be ahead of each other: by priority, and within one, subtasks before others.
const levels = 2 * (HighestPriority - LowestPriority + 1)

// Priority puts the task ahead of all that wait for the same spokes and have a lower one, [LowestPriority] to [HighestPriority];
// without the option it is 0, for a subtask that of its parent. It is strict: as long as there are enough tasks of a higher
// priority, one of a lower gets no turn. It interrupts nothing that runs, and doesn't help through a full queue.
//
// Among equals subtasks come first, so that what was begun is finished before more is begun, and then the longest waiting.
func Priority(p int) SubmitOption {
	return func(s *submission) {
		s.priority, s.hasPriority = int8(p), true
		if p < LowestPriority || p > HighestPriority {
			s.check(fmt.Errorf("priority is %d: it must be %d to %d", p, LowestPriority, HighestPriority))
		}
	}
}

func levelOf(priority int8, subtask bool) uint8 {
	level := 2 * uint8(priority-LowestPriority)
	if subtask {
		level++
	}
	return level
}

// priority returns what [Priority] said.
func (t *task) priority() int { return int(t.level/2) + LowestPriority }

// goesBefore reports whether t is to be given to a spoke before other, if the spoke may have both.
func (t *task) goesBefore(other *task) bool {
	if t.level != other.level {
		return t.level > other.level
	}
	return t.seq < other.seq
}

// readyQueue holds the ready tasks of a lane: first in first out within a level. All operations are O(1).
type readyQueue struct {
	lists  [levels]list[*task]
	filled uint32 // bit i says that list i isn't empty
	size   int
}

// first returns the task whose turn it is, or nil.
func (q *readyQueue) first() *task {
	if q == nil || q.filled == 0 {
		return nil
	}
	return q.lists[bits.Len32(q.filled)-1].head
}

func (q *readyQueue) pushBack(t *task) {
	q.lists[t.level].pushBack(t)
	q.added(t)
}

func (q *readyQueue) pushFront(t *task) {
	q.lists[t.level].pushFront(t)
	q.added(t)
}

func (q *readyQueue) added(t *task) {
	q.filled |= 1 << t.level
	q.size++
}

// remove takes t, which must be in the queue, out of it.
func (q *readyQueue) remove(t *task) {
	l := &q.lists[t.level]
	l.remove(t)
	if l.size == 0 {
		q.filled &^= 1 << t.level
	}
	q.size--
}
