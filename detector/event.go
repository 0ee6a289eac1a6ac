package detector

import (
	"fmt"
	"log/slog"
	"time"
)

// Event says that a Registry has changed its mind about a thing. A thing's events come in order: suspected, then failed if the silence
// lasts, then healthy when it's over.
type Event struct {
	// Verdict is the new one. Healthy means recovered: there was a sign of life, or the thing was suspended, or a change of its
	// configuration made its silence an ordinary one.
	Verdict Verdict

	Watch Watch  // the thing
	Name  string // its name
	Data  any    // what was given with it

	Phi     float64       // at the time of the sweep
	Now     time.Duration // clock reading of the sweep
	Last    time.Duration // clock reading of the last sign of life, or of when it began to be judged
	Elapsed time.Duration // since Last
	Since   time.Duration // clock reading of the sweep that found it suspect
}

// String tells the event in a line.
func (e Event) String() string {
	if e.Verdict == Healthy {
		return fmt.Sprintf("%s recovered after %v under suspicion", e.Name, e.Now-e.Since)
	}
	return fmt.Sprintf("%s %v: phi %.1f, last sign of life %v ago", e.Name, e.Verdict, e.Phi, e.Elapsed)
}

func logPanic(e Event, recovered any) {
	slog.Error("detector: subscriber panicked", "event", e.String(), "panic", recovered)
}
