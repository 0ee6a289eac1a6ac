package detector

import (
	"sync/atomic"
	"time"
)

// Stamp is when something last made progress, to a tick of a Clock: the cheapest sign of life there is, for what makes progress at a
// high rate and is looked at now and then. The zero Stamp is at 0. All methods may be called from any goroutine.
type Stamp struct{ at atomic.Int64 }

// Touch records progress now, and says whether it is the first of this tick. Only that one writes.
func (s *Stamp) Touch(now time.Duration) (first bool) {
	if s.at.Load() == int64(now) {
		return false
	}
	s.at.Store(int64(now))
	return true
}

// Last is the reading that was touched last.
func (s *Stamp) Last() time.Duration { return time.Duration(s.at.Load()) }
