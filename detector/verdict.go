package detector

// Verdict is what is thought of a watched thing.
type Verdict uint8

const (
	// Healthy is what gives signs of life, and what isn't judged.
	Healthy Verdict = iota
	// Suspected is what has been silent for longer than usual: get ready.
	Suspected
	// Failed is what has been silent for so long that it counts as dead: replace it.
	Failed
)

// String returns "healthy", "suspected" or "failed".
func (v Verdict) String() string {
	switch v {
	case Healthy:
		return "healthy"
	case Suspected:
		return "suspected"
	case Failed:
		return "failed"
	default:
		return "unknown"
	}
}
