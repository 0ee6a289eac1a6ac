package routing

import (
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// AgentSnapshot is the state of an agent at one moment, so that its next incarnation can go on from there. Its format is the agent's affair; Version tells formats apart.
type AgentSnapshot struct {
	Version int
	Data    []byte
	Time    time.Time
	// Number orders the snapshots of one incarnation, however late each gets to the hub: one isn't kept in place of one with a higher number, whose agent had done all that this one's
	// had. Give it before looking at the state. 0 is for an agent that makes its snapshots one after the other. Hubs don't give it back.
	Number uint64
}

// agentSnapshot is a snapshot that a hub keeps. It isn't changed after it was made, but for its place among those that are away.
type agentSnapshot struct {
	AgentSnapshot
	path string
	away bool // its agent isn't joined
	node[*agentSnapshot]
}

func (s *agentSnapshot) links() *node[*agentSnapshot] { return &s.node }

// shelf keeps the last snapshot of each agent, by path: of those that are joined, and of so many that are away. It is guarded by the hub's mutex.
type shelf struct {
	limit  int
	byPath map[string]*agentSnapshot
	away   list[*agentSnapshot] // the one whose agent has been away longest first
}

// put keeps a snapshot. If it is the first of an agent, it may be that another has to go for it, which is returned.
func (s *shelf) put(snapshot *agentSnapshot) (dropped *agentSnapshot) {
	if s.byPath[snapshot.path] == nil && s.away.size >= s.limit { // only then: all agents that there are may go for a moment, and come back
		dropped = s.away.head
		s.drop(dropped.path)
	}
	s.set(snapshot)
	return dropped
}

func (s *shelf) set(snapshot *agentSnapshot) {
	if s.byPath == nil {
		s.byPath = make(map[string]*agentSnapshot)
	}
	s.byPath[snapshot.path] = snapshot
}

// load takes in a snapshot from a store, however many there are: nobody has joined yet.
func (s *shelf) load(snapshot *agentSnapshot) {
	s.set(snapshot)
	s.left(snapshot.path)
}

// drop takes a snapshot away, and returns it if there was one.
func (s *shelf) drop(path string) *agentSnapshot {
	s.joined(path)
	snapshot := s.byPath[path]
	delete(s.byPath, path)
	return snapshot
}

// joined notes that an agent is there.
func (s *shelf) joined(path string) {
	if snapshot := s.byPath[path]; snapshot != nil && snapshot.away {
		snapshot.away = false
		s.away.remove(snapshot)
	}
}

// left notes that an agent isn't there any more.
func (s *shelf) left(path string) {
	if snapshot := s.byPath[path]; snapshot != nil {
		snapshot.away = true
		s.away.pushBack(snapshot)
	}
}

var errSucceeded = errors.New("its successor takes over its snapshot")

// Snapshot returns the snapshot that was last saved by an agent with this path, for an incarnation that is about to go on from it. Whatever incarnation was
// there before leaves the hub first, if it hasn't: it can't save another one.
func (h *Hub) Snapshot(id SpokeID) (AgentSnapshot, bool) {
	h.mu.Lock()
	defer h.unlock()
	if older := h.spokes[id.Path]; older != nil && older.id.Incarnation < id.Incarnation {
		h.leaveSpoke(older, errSucceeded, h.clock.now())
	}
	s := h.snapshots.byPath[id.Path]
	if s == nil {
		return AgentSnapshot{}, false
	}
	return s.AgentSnapshot, true
}

// Save keeps a snapshot of the spoke's agent in place of the one before, and with a store returns when it, or a later one, is recorded. It is refused with [ErrRevoked] when the spoke has
// left: another incarnation has the say then. See also [Outcome.With].
func (s *Spoke) Save(snapshot AgentSnapshot) error {
	h := s.hub
	snapshot.Data = slices.Clone(snapshot.Data)
	h.mu.Lock()
	var b *batch
	err := ErrRevoked
	if !s.left {
		b, err = h.save(s, snapshot)
	}
	h.unlock()
	if err != nil {
		return err
	}
	return b.wait()
}

// save keeps a snapshot, whose data belong to the hub. The caller holds the hub's mutex.
func (h *Hub) save(s *Spoke, snapshot AgentSnapshot) (*batch, error) {
	if snapshot.Time.IsZero() {
		snapshot.Time = time.Now()
	}
	j := h.journal
	if j != nil && j.failed != nil {
		return nil, j.failed
	}
	if snapshot.Number > 0 && snapshot.Number < s.snapshot {
		return j.last(), nil
	}
	s.snapshot = max(s.snapshot, snapshot.Number)
	snapshot.Number = 0
	kept := &agentSnapshot{AgentSnapshot: snapshot, path: s.id.Path}
	dropped := h.snapshots.put(kept)
	if j == nil {
		return nil, nil
	}
	if dropped != nil {
		j.open.snapshots = append(j.open.snapshots, snapshotChange{agentSnapshot: dropped, gone: true})
	}
	j.open.snapshots = append(j.open.snapshots, snapshotChange{agentSnapshot: kept})
	return j.open, nil
}

// DropSnapshot forgets the snapshot of an agent, if there is one: whoever is started at its path next starts fresh. A closed hub with a store leaves that as it is.
func (h *Hub) DropSnapshot(path string) {
	h.mu.Lock()
	defer h.unlock()
	if h.sealed() {
		return
	}
	if dropped := h.snapshots.drop(path); dropped != nil && h.journal != nil {
		h.journal.open.snapshots = append(h.journal.open.snapshots, snapshotChange{agentSnapshot: dropped, gone: true})
	}
}

// snapshotChange is a snapshot in a batch.
type snapshotChange struct {
	*agentSnapshot
	gone bool // it is to be kept no more
}

func (s *agentSnapshot) record() ([]byte, error) {
	return json.Marshal(snapshotRecord{Version: recordFormat, Of: s.Version, Time: s.Time.UnixNano(), Data: s.Data})
}

func decodeSnapshot(path string, data []byte) (*agentSnapshot, error) {
	var r snapshotRecord
	if err := unmarshal(data, &r); err != nil {
		return nil, err
	}
	return &agentSnapshot{AgentSnapshot: AgentSnapshot{Version: r.Of, Data: r.Data, Time: unixTime(r.Time)}, path: path}, nil
}
