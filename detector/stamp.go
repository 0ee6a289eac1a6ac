package detector

import (
	"sync/atomic"
	"time"
)

// Stamp is when something last made progress, to a tick of a Clock: the cheapest sign of life there is, for what makes progress at a
// high rate and is looked at now and then. The zero Stamp is at 0. All methods may be called from any goroutine.
type Stamp struct{ at atomic.Int64 }

// Touch records progress now. Within a tick, only the first call writes.
func (s *Stamp) Touch(now time.Duration) {
	if s.at.Load() != int64(now) {
		s.at.Store(int64(now))
	}
}

// Last is the reading that was touched last.
func (s *Stamp) Last() time.Duration { return time.Duration(s.at.Load()) }
