package routing

import (
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
)

// ConsistentHash keeps the tasks of a [Key] together, as a [Placer] does: they run one after the other, in order, on one spoke. Which one
// depends on the hash of the key and on the paths and credits of the spokes alone, so it is the same after a restart of an agent or
// of the process; when a spoke comes or goes, only about its share of the keys moves (1/n of them with n equal spokes), and only keys
// without unsettled tasks move to one that comes, but for those that were never begun.
//
// The load is bounded: a spoke has at most factor times its share of all unsettled tasks that have a key, in proportion to its credits,
// and never less than its credits. A key that would exceed that goes to the next spoke on the ring, until it has no
// unsettled task any more. Tasks of a key that has a spoke follow it there, whatever the load. The factor is above 1, by default 1.25: the
// nearer to 1, the more even the load, and the more keys wander.
//
// Tasks without a key go to the least loaded spoke. O(log n) in the number of spokes for those, O(1) for a key.
//
// Source: V. Mirrokni, M. Thorup, M. Zadimoghaddam, Consistent Hashing with Bounded Loads, 2018.
func ConsistentHash(factor ...float64) Placer {
	c := &consistentHash{factor: defaultBound, fleets: make(map[string]*fleet)}
	if len(factor) > 0 {
		c.factor = factor[0]
	}
	return c
}

const (
	// defaultBound is how much of its fair share of the load a spoke may have.
	defaultBound = 1.25
	// maxBound is as good as no bound.
	maxBound = 1e6
	// pointsPerCredit is how often a spoke is on the ring for each of its credits: with 64 its part deviates by some 12 % from its share
	// (1/√64), which the bound evens out.
	pointsPerCredit = 64
	// pointedCredits bounds the points of spokes with very many credits.
	pointedCredits = 16
)

type consistentHash struct {
	leastLoaded
	factor float64
	fleets map[string]*fleet
}

// fleet is the spokes of one task type.
type fleet struct {
	ring    ring[Seat]
	credits int
}

func (c *consistentHash) fault() error {
	if !(c.factor > 1 && c.factor <= maxBound) {
		return fmt.Errorf("ConsistentHash has the factor %v: it must be above 1 and at most %v", c.factor, maxBound)
	}
	return nil
}

func (c *consistentHash) Come(typeName string, s Seat) (takesFrom []Seat) {
	f := c.fleets[typeName]
	if f == nil {
		f = &fleet{}
		c.fleets[typeName] = f
	}
	f.credits += s.Credits()
	return f.ring.add(s.ID().Path, s, points(s))
}

func (c *consistentHash) Go(typeName string, s Seat) {
	f := c.fleets[typeName]
	f.credits -= s.Credits()
	f.ring.remove(s.ID().Path, points(s))
}

func (c *consistentHash) Place(typeName, key string, unsettled int) Seat {
	f := c.fleets[typeName]
	var first Seat
	for s := range f.ring.from(xxhash.Sum64String(key)) {
		if s.Owned() < f.bound(s, unsettled+1, c.factor) {
			return s
		}
		if first == (Seat{}) {
			first = s
		}
	}
	return first
}

// bound is how many of so many tasks a spoke may have.
func (f *fleet) bound(s Seat, tasks int, factor float64) int {
	share := float64(tasks) * float64(s.Credits()) / float64(f.credits)
	return max(s.Credits(), int(math.Ceil(factor*share)))
}

func points(s Seat) int { return pointsPerCredit * min(s.Credits(), pointedCredits) }
