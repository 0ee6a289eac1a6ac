package actors

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/mistersmith/mistersmith/detector"
	"github.com/mistersmith/mistersmith/internal/wording"
)

// OnHung says what becomes of a node that counts as hung.
type OnHung uint8

const (
	HungDefault OnHung = iota // agents fail, others are reported
	HungReport                // the events Suspected, Hung and Recovered tell of it, no more
	HungFail                  // it fails as if it had panicked, with a [*HungError], and its supervisor's strategy decides
	HungIgnore                // nobody looks
)

func (o OnHung) String() string {
	return [...]string{"default", "report", "fail", "ignore"}[o]
}

// Defaults of a Liveness, and of how often a tree looks.
const (
	DefaultSuspectPhi   = 5.0
	DefaultHungPhi      = 12.0
	DefaultMinSilence   = 2 * time.Second
	DefaultMaxSilence   = 10 * time.Minute
	DefaultLivenessLook = 100 * time.Millisecond

	fewSamples = 8 // with fewer intervals nothing is learned
)

// Liveness says when a node that has work and shows no progress counts as hung. What has no work is healthy, however long it is silent.
//
// Progress of an agent's handler is its start, each routing.Progress and routing.Beat, and each begin and end of a guarded call. While it waits for a guarded call
// with a time limit, or has a time limit of its own (routing.Timeout, a deadline), that limit holds and nobody judges it. Progress of an actor is each
// message it begins to handle. A node that is starting, stopping, suspended, or waiting for its restart isn't judged. A Snapshot that is made while no handler runs is
// judged by itself, and those that wait for it aren't.
//
// How long silences usually are is learned: for handlers by task type, for actors by node (instances of one template together). A silence is measured by
// the tree's own clock, which doesn't count that the whole process stood still, once for however long; but if it does so again and again, all that is
// beyond half a minute, and a tenth of the time, counts (see detector.ClockConfig.MaxLag).
//
// What is learned may be wrong: of work that is mostly quick and now and then takes long, say. So a silence that is less than twice as long as the longest
// of late never counts, and a task has four times as long after each of its strikes, as an actor has after each time in the last day that it failed because
// of its phi: if it was alive, that is learned. And no task gets into quarantine because phi was wrong: if the
// next strike is the last one (see routing.Lease.Strikes), only Max counts. (So it does for all tasks if the hub puts them aside at the first.)
//
// The zero value has the defaults. All of it may be changed while the tree runs: [Tree.Reconfigure].
type Liveness struct {
	// OnHung is what becomes of it.
	OnHung OnHung

	// Phi is how suspicious a silence must be to count as hung: at 12 one such silence in a million million is a mistake, if the logarithm
	// of the intervals is normally distributed (see detector.Pace). Default 12, at most 300.
	Phi float64

	// Suspect is the phi from which on it is suspected: that is an event, no more. Default 5, at most Phi.
	Suspect float64

	// Min and Max bound what is learned: a silence shorter than Min never counts as hung, one of Max always does (whatever was learned), and before
	// eight intervals are known only that counts. Defaults 2 s and 10 min. From half of each on a silence may be suspected.
	Min, Max time.Duration
}

// withDefaults fills in what is zero for a kind of node.
func (l Liveness) withDefaults(k Kind) Liveness {
	defaults := Liveness{OnHung: HungReport, Phi: DefaultHungPhi, Suspect: DefaultSuspectPhi, Min: DefaultMinSilence, Max: DefaultMaxSilence}
	if k == KindAgent {
		defaults.OnHung = HungFail
	}
	return l.or(defaults)
}

// or fills in what is zero. Of Min and Max, and of Suspect and Phi, the one that is given moves the other if need be.
func (l Liveness) or(defaults Liveness) Liveness {
	if l.OnHung == HungDefault {
		l.OnHung = defaults.OnHung
	}
	if l.Phi == 0 {
		l.Phi = max(defaults.Phi, l.Suspect)
	}
	if l.Suspect == 0 {
		l.Suspect = min(defaults.Suspect, l.Phi)
	}
	if l.Max == 0 {
		l.Max = max(defaults.Max, l.Min)
	}
	if l.Min == 0 {
		l.Min = min(defaults.Min, l.Max)
	}
	return l
}

// faults are those that a compiler enters.
func (l Liveness) faults() []string {
	var faults []string
	if l.OnHung > HungIgnore {
		faults = append(faults, fmt.Sprintf("Liveness.OnHung is %d, must be HungDefault, HungReport, HungFail or HungIgnore", uint8(l.OnHung)))
	}
	if math.IsNaN(l.Phi) || l.Phi < 0 || l.Phi > 300 {
		faults = append(faults, fmt.Sprintf("Liveness.Phi is %v, must be above 0 and at most 300, or 0 for %v", l.Phi, DefaultHungPhi))
	}
	if math.IsNaN(l.Suspect) || l.Suspect < 0 || l.Suspect > 300 {
		faults = append(faults, fmt.Sprintf("Liveness.Suspect is %v, must be above 0 and at most 300, or 0 for %v", l.Suspect, DefaultSuspectPhi))
	}
	if l.Phi > 0 && l.Suspect > l.Phi {
		faults = append(faults, fmt.Sprintf("Liveness.Suspect is %v, must not be above Phi, %v", l.Suspect, l.Phi))
	}
	if l.Min < 0 {
		faults = append(faults, fmt.Sprintf("Liveness.Min is %s, must be positive, or 0 for %s", l.Min, DefaultMinSilence))
	}
	if l.Max < 0 {
		faults = append(faults, fmt.Sprintf("Liveness.Max is %s, must be positive, or 0 for %s", l.Max, DefaultMaxSilence))
	}
	if l.Max > 0 && l.Min > l.Max {
		faults = append(faults, fmt.Sprintf("Liveness.Min is %s, must not be above Max, %s", l.Min, l.Max))
	}
	return faults
}

// suspicion is what a look at a silence comes to.
type suspicion uint8

const (
	alive suspicion = iota
	suspected
	hung
)

// judge says what a silence means, given what is known of such work, and how often that very piece of work has been ended before (last: and won't be
// tried again). The latter is asked for only if it matters.
func (l Liveness) judge(silence time.Duration, known *detector.Pace, strikes func() (before int, last bool)) (suspicion, float64) {
	phiOf := func(silence time.Duration) float64 {
		if known.Samples() < fewSamples {
			return 0
		}
		return known.Phi(silence)
	}
	phi := phiOf(silence)
	if silence >= l.Max {
		return hung, phi
	}
	least, counts, last := max(l.Min, known.Patience()), silence, false
	if l.OnHung == HungFail && phi >= l.Suspect && silence >= least/2 {
		var before int
		before, last = strikes()
		counts >>= min(2*before, 62)
	}
	switch counted := phiOf(counts); {
	case counted >= l.Phi && counts >= least && !last:
		return hung, phi
	case counted >= l.Suspect && counts >= least/2, silence >= l.Max/2:
		return suspected, phi
	default:
		return alive, phi
	}
}

// HungError is the reason of a node that was busy and showed no progress for so long that it counts as hung. errors.Is finds ErrHung.
type HungError struct {
	Task    string        // that the agent was working on; empty for an actor, or an agent that had none
	In      string        // "Snapshot" if that is where it hangs; empty for a handler, or an actor's Receive
	Silence time.Duration // since its last sign of life, by the tree's clock
	Last    time.Time     // when that was
	Phi     float64       // how suspicious that is; 0 while too little is known
	Max     bool          // the silence has reached Liveness.Max, whatever its phi
}

func (e *HungError) Error() string {
	of := ""
	switch {
	case e.In != "" && e.Task != "":
		of = " in " + e.In + " after task " + e.Task
	case e.In != "":
		of = " in " + e.In
	case e.Task != "":
		of = " in task " + e.Task
	}
	return fmt.Sprintf("%v: no progress%s for %s (%s)", ErrHung, of, e.Silence.Round(time.Millisecond), wording.TooLong(e.Phi, e.Max))
}

func (e *HungError) Unwrap() error { return ErrHung }

// ErrNotUp says that a node has no incarnation that could fail.
var ErrNotUp = errors.New("node is not up")

// Fail makes the present incarnation of a node fail with a reason, as if it had panicked: its supervisor's strategy decides what follows. It is the door
// for failures that something outside has found, such as a detector.Registry that watches heartbeats. Code that is running has the node's shutdown time to return.
// A supervisor fails after its children have been stopped. The reason must not be nil. It may be called from anywhere.
func (t *Tree) Fail(path string, reason error) error {
	n := t.lookup(path)
	switch {
	case n == nil || n.kind == kindSystem:
		return fmt.Errorf("%s: %w", path, ErrNotFound)
	case reason == nil:
		return n.errorf(errors.New("fail: the reason is nil"))
	case !n.fail(reason):
		return n.errorf(ErrNotUp)
	default:
		return nil
	}
}

// fail ends the present incarnation as a crash, and reports whether there is one that is up.
func (n *node) fail(reason error) bool {
	in := n.current()
	if in == nil || !in.isUp() {
		return false
	}
	in.fail(reason)
	return true
}

// liveness is the node's, with all defaults filled in.
func (n *node) liveness() Liveness {
	if l := n.spec().life.Liveness; l != nil {
		return l.withDefaults(n.kind)
	}
	return n.tree.options.liveness[n.kind].withDefaults(n.kind)
}
