package routing

import (
	"cmp"
	"slices"
)

// SpokeStatus is a spoke as it is at one moment.
type SpokeStatus struct {
	ID SpokeID
	// Types are the task types it is registered for.
	Types []string
	// Credits is how many leases it may hold at a time, Leases how many it holds; Awaiting is how many of those don't count just now,
	// because their handlers await something.
	Credits, Leases, Awaiting int
	// Paused: it gets no new leases.
	Paused bool
}

// Spokes lists the spokes that are joined, by path.
func (h *Hub) Spokes() []SpokeStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]SpokeStatus, 0, len(h.spokes))
	for _, s := range h.spokes {
		status := SpokeStatus{ID: s.id, Credits: s.credits, Leases: s.leases.size, Awaiting: s.resting, Paused: s.paused || s.shelved}
		for i := range s.seats {
			status.Types = append(status.Types, s.seats[i].lane.name)
		}
		list = append(list, status)
	}
	slices.SortFunc(list, func(a, b SpokeStatus) int { return cmp.Compare(a.ID.Path, b.ID.Path) })
	return list
}

// TypeStatus is a task type as it is at one moment.
type TypeStatus struct {
	Name string
	// Unsettled is how many tasks of the type are waiting or leased, Capacity how many may be; 0 is no limit of its own.
	Unsettled, Capacity int
	// Ready is how many of them wait for nothing but a spoke.
	Ready int
	// Spokes is how many are joined for the type, paused ones too.
	Spokes int
	// Paused: no task of the type is leased. A hub that is paused as a whole says so in its [Counts].
	Paused bool
}

// Types lists the task types that are known, by name.
func (h *Hub) Types() []TypeStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	blocked := make(map[*lane]int) // submitters that have a place of their type, and wait for one of the hub
	for w := h.gate.line.head; w != nil; w = w.next {
		blocked[w.task.lane]++
	}
	list := make([]TypeStatus, 0, len(h.lanes))
	for _, l := range h.lanes {
		list = append(list, TypeStatus{
			Name: l.name, Unsettled: l.gate.used - blocked[l], Capacity: l.capacity,
			Ready: l.queue.size + l.hold.size + l.ownReady, Spokes: l.spokes, Paused: l.paused,
		})
	}
	slices.SortFunc(list, func(a, b TypeStatus) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
