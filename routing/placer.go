package routing

// Placer is a [Balancer] that keeps the tasks of a key together: each key of each task type has one spoke, its owner. As long as the key has
// unsettled tasks and the owner takes tasks, its tasks run there, one after the other in the order in which they were accepted:
//
//   - A task that is tried again holds up those behind it until it is settled, in whatever way. It is tried again by the owner, also
//     after an attempt that was charged.
//   - When a task is cancelled, expires, or its attempt's time is over while it runs, the next begins as soon as its handler has returned or is
//     given up as hung.
//   - When the owner leaves, or is paused, the key gets another one; a task that the old one still runs is waited for. A key of
//     which nothing has been started may also move when a spoke comes.
//   - None waits for its turn if those before it wait for it. A subtask that has type and key in common with a task above it doesn't wait for that, which may be
//     waiting for it. And as soon as a handler awaits a task that waits for the handler's own, by whatever is in between, the first in that circle that isn't
//     the first of its key goes before its turn. Such a task may run on any spoke.
//   - While there is no spoke for its type at all, a key waits for one.
//
// Tasks without a key are balanced by Pick. Keys are placed under the hub's lock, under the same rules as Pick; if Place panics or returns
// a seat that has gone, some seat is taken and [EventBalancerFault] is emitted.
type Placer interface {
	Balancer
	// Come tells that a spoke takes tasks of a type from now on. It returns the seats of which some keys may move to it.
	Come(typeName string, s Seat) (takesFrom []Seat)
	// Go tells that it takes none any more.
	Go(typeName string, s Seat)
	// Place returns the owner of a key: one of the seats of the type that have come and not gone; there is one. unsettled is how many
	// unsettled tasks of the type have a key, without those that are being placed.
	Place(typeName, key string, unsettled int) Seat
}

// Seat is the place of a spoke among those that take tasks of one type. Seats can be compared, and used as keys of maps. Its methods may
// be called from a [Placer]'s methods only.
type Seat struct{ seat *seat }

// ID returns the spoke's path and incarnation.
func (s Seat) ID() SpokeID { return s.seat.spoke.id }

// Credits returns how many leases the spoke may hold.
func (s Seat) Credits() int { return s.seat.spoke.credits }

// Owned returns how many unsettled tasks the keys have that it owns.
func (s Seat) Owned() int { return s.seat.owned }
