package breaker

import "fmt"

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
	// ForcedOpen admits none until somebody says otherwise: see [Breaker.ForceOpen].
	ForcedOpen
	// Disabled admits every call and only counts: see [Breaker.Disable].
	Disabled
)

var stateNames = [...]string{"closed", "open", "half-open", "stopped", "forced-open", "disabled"}

// String returns "closed", "open", "half-open", "stopped", "forced-open" or "disabled".
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText is String, for a Snapshot that is stored.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText. The error names the text that is no state.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("breaker: %q is no state", text)
}
