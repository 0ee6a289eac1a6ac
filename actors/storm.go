package actors

import (
	"time"

	"golang.org/x/time/rate"
)

// storm is the budget of restarts for a whole tree. The zero value is none.
type storm struct {
	restarts int
	per      time.Duration
}

func (s storm) isNone() bool { return s == storm{} }

// limiter is a token bucket, which any number of supervisors may use.
func (s storm) limiter() *rate.Limiter {
	return rate.NewLimiter(rate.Every(s.per/time.Duration(s.restarts)), s.restarts)
}

// throttle tells a supervisor how long the tree wants a restart to wait. The tree's own nodes don't.
func (t *Tree) throttle(k Kind) func(time.Time) time.Duration {
	if t.restarts == nil || k == kindSystem {
		return nil
	}
	return func(now time.Time) time.Duration { return t.restarts.ReserveN(now, 1).DelayFrom(now) }
}
