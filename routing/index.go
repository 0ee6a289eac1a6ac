package routing

import (
	"iter"
	"strconv"
	"strings"
)

// index finds tasks by their ids. An id that the hub made up is not kept anywhere: it is the task's place in the order of acceptance, and
// such tasks are found by that.
type index struct {
	nonce string           // distinguishes made-up ids of different hubs
	named map[string]*task // with an id of their submitter's
	pages map[uint64]*page // the others, by seq / pageSize
	fresh *page            // the one put to last, if it is in use
	stale *page            // the one removed from last, likewise
}

// pageSize is small, so that a few tasks that outlive their neighbours by far don't keep much.
const pageSize = 64

type page struct {
	number uint64
	tasks  [pageSize]*task
	used   int
}

func newIndex(nonce string) index {
	return index{nonce: nonce, named: make(map[string]*task), pages: make(map[uint64]*page)}
}

// id returns the task's id.
func (x *index) id(t *task) string {
	if t.id != "" {
		return t.id
	}
	return x.madeUp(t.seq)
}

func (x *index) madeUp(seq uint64) string {
	var buf [32]byte
	id := append(buf[:0], x.nonce...)
	id = append(id, '-')
	return string(strconv.AppendUint(id, seq, 36))
}

// find returns the task with this id, or nil.
func (x *index) find(id string) *task {
	if number, ok := strings.CutPrefix(id, x.nonce); ok && len(number) > 1 && number[0] == '-' {
		seq, err := strconv.ParseUint(number[1:], 36, 64)
		if p := x.pages[seq/pageSize]; err == nil && p != nil && p.tasks[seq%pageSize] != nil && x.madeUp(seq) == id {
			return p.tasks[seq%pageSize]
		}
	}
	return x.named[id]
}

// put enters the task, in place of an earlier one with the same id.
func (x *index) put(t *task) {
	if t.id != "" {
		x.named[t.id] = t
		return
	}
	p := x.page(t.seq / pageSize)
	slot := &p.tasks[t.seq%pageSize]
	if *slot == nil {
		p.used++
	}
	*slot = t
}

func (x *index) page(number uint64) *page {
	if x.fresh != nil && x.fresh.number == number {
		return x.fresh
	}
	p := x.pages[number]
	if p == nil {
		p = &page{number: number}
		x.pages[number] = p
	}
	x.fresh = p
	return p
}

// remove takes a task out that was put in.
func (x *index) remove(r remembered) {
	if r.named != nil {
		delete(x.named, r.named.id)
		return
	}
	p, number := x.stale, r.seq/pageSize
	if p == nil || p.number != number {
		p = x.pages[number]
	}
	p.tasks[r.seq%pageSize] = nil
	p.used--
	x.stale = p
	if p.used == 0 {
		delete(x.pages, number)
		x.stale = nil
		if x.fresh == p {
			x.fresh = nil
		}
	}
}

// all iterates over the tasks, in no particular order.
func (x *index) all() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		for _, t := range x.named {
			if !yield(t) {
				return
			}
		}
		for _, p := range x.pages {
			for _, t := range p.tasks {
				if t != nil && !yield(t) {
					return
				}
			}
		}
	}
}
