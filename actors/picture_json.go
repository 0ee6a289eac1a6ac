package actors

import (
	"encoding/json"
	"io"
	"time"

	"github.com/mistersmith/mistersmith/strategies"
)

// WriteJSON writes the tree as one JSON object, a node in the shape of [NodeSnapshot.MarshalJSON].
func (s NodeSnapshot) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(s)
}

// MarshalJSON writes a node as an object with id, path, kind, status and lifecycle, and what else there is to say of it: of a supervisor strategy, policy and
// children, of an agent types, of a breaker its state and counts, of one that runs its counts and its history of failures. Durations are strings as Go
// writes them, or "no limit" and "brutal kill"; times are RFC 3339.
func (s NodeSnapshot) MarshalJSON() ([]byte, error) {
	n := nodeJSON{
		ID: s.ID, Path: s.Path, Kind: s.Kind.String(), Status: s.Status.String(), Types: s.Types, Children: s.Children, Template: s.Template,
		Lifecycle: lifecycleJSON{s.Lifecycle.Restart.String(), s.Lifecycle.Significant, limit(s.Lifecycle.Shutdown), limit(s.Lifecycle.StartTimeout), s.Lifecycle.Queue,
			s.Lifecycle.Overflow.String()},
	}
	if s.Strategy != "" {
		n.Strategy, n.Policy, n.AutoShutdown = s.Strategy, policyOf(s.Policy), s.AutoShutdown.String()
	}
	if s.Status != StatusPlanned {
		n.Counts = &countsJSON{s.Incarnation, s.Restarts, s.Failures, s.Recovery.String(), s.Queue, s.Dropped}
	}
	if b := s.Breaker; b != nil {
		n.Breaker = &breakerJSON{b.State.String(), b.Since, b.Totals.Succeeded, b.Totals.Failed, b.Totals.Rejected, b.Totals.Opened, b.Totals.Closed}
	}
	for _, f := range s.History {
		entry := failureJSON{f.Time, f.Incarnation, f.Class.String(), "", f.Event}
		if f.Err != nil {
			entry.Err = f.Err.Error()
		}
		n.History = append(n.History, entry)
	}
	return json.Marshal(n)
}

type nodeJSON struct {
	ID           string         `json:"id"`
	Path         string         `json:"path"`
	Kind         string         `json:"kind"`
	Status       string         `json:"status"`
	Lifecycle    lifecycleJSON  `json:"lifecycle"`
	Types        []string       `json:"types,omitempty"`
	Strategy     string         `json:"strategy,omitempty"`
	Policy       *policyJSON    `json:"policy,omitempty"`
	AutoShutdown string         `json:"auto_shutdown,omitempty"`
	Counts       *countsJSON    `json:"counts,omitempty"`
	Breaker      *breakerJSON   `json:"breaker,omitempty"`
	History      []failureJSON  `json:"history,omitempty"`
	Template     *NodeSnapshot  `json:"template,omitempty"`
	Children     []NodeSnapshot `json:"children,omitempty"`
}

type lifecycleJSON struct {
	Restart      string `json:"restart"`
	Significant  bool   `json:"significant,omitempty"`
	Shutdown     string `json:"shutdown"`
	StartTimeout string `json:"start_timeout"`
	Queue        int    `json:"queue"`
	Overflow     string `json:"overflow"`
}

type policyJSON struct {
	MaxRestarts *int         `json:"max_restarts"` // null for no limit
	Window      string       `json:"window"`
	WhenSpent   string       `json:"when_spent"`
	Backoff     *backoffJSON `json:"backoff,omitempty"`
}

type backoffJSON struct {
	Initial string  `json:"initial"`
	Step    string  `json:"step"`
	Factor  float64 `json:"factor"`
	Max     string  `json:"max"`
	Jitter  float64 `json:"jitter"`
}

type countsJSON struct {
	Incarnation uint64 `json:"incarnation"`
	Restarts    int    `json:"restarts"`
	Failures    int    `json:"failures"`
	Recovery    string `json:"recovery"`
	Queue       int    `json:"queue"`
	Dropped     uint64 `json:"dropped"`
}

type breakerJSON struct {
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	Succeeded uint64    `json:"succeeded"`
	Failed    uint64    `json:"failed"`
	Rejected  uint64    `json:"rejected"`
	Opened    uint64    `json:"opened"`
	Closed    uint64    `json:"closed"`
}

type failureJSON struct {
	Time        time.Time `json:"time"`
	Incarnation uint64    `json:"incarnation"`
	Class       string    `json:"class"`
	Err         string    `json:"error,omitempty"`
	Event       uint64    `json:"event"`
}

func policyOf(p strategies.RestartPolicy) *policyJSON {
	j := &policyJSON{Window: p.Window.String(), WhenSpent: p.WhenSpent.String()}
	if p.MaxRestarts != strategies.Unlimited {
		most := max(p.MaxRestarts, 0) // NoRestarts is below 0
		j.MaxRestarts = &most
	}
	if b := p.Backoff; !b.IsNone() {
		j.Backoff = &backoffJSON{b.Initial.String(), b.Step.String(), max(b.Factor, 1), b.Max.String(), b.Jitter}
	}
	return j
}

func limit(d time.Duration) string {
	switch d {
	case NoLimit:
		return "no limit"
	case BrutalKill:
		return "brutal kill"
	default:
		return d.String()
	}
}
