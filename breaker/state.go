package breaker

// State is what a breaker does with the next call.
type State uint8

const (
	// Closed admits every call.
	Closed State = iota
	// Open admits none until the reset timeout is over.
	Open
	// HalfOpen admits a few calls at a time, as probes.
	HalfOpen
	// Stopped admits none, for good: the breaker was closed by its owner with [Breaker.Close].
	Stopped
)

// String returns "closed", "open", "half-open" or "stopped".
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	case Stopped:
		return "stopped"
	default:
		return "unknown"
	}
}
