package actors

import (
	"context"
	"log/slog"
)

// logBuffer is how many events may wait for a slow log handler; what it misses is logged as a number.
const logBuffer = 4096

// log writes the tree's events to a logger, on a goroutine of its own: a handler that blocks holds up nobody.
func (t *Tree) log(logger *slog.Logger) {
	s := t.Subscribe(logBuffer)
	t.logged = make(chan struct{})
	t.dispatcher.Schedule(func() {
		defer close(t.logged)
		missed := uint64(0)
		for e := range s.Events() {
			if n := s.Missed(); n > missed {
				logger.Warn("log is too slow for the events", slog.Uint64("missed", n-missed))
				missed = n
			}
			logSafely(logger, e)
		}
	})
}

// logSafely survives a handler that panics: what it was to log is lost.
func logSafely(logger *slog.Logger, e Event) {
	defer func() { _ = recover() }()
	logger.LogAttrs(context.Background(), e.level(), e.Kind.String(), e.attrs()...)
}

func (e Event) level() slog.Level {
	switch e.Kind {
	case Failed, StartFailed, GroupRestart, BackingOff, Faulty, Abandoned, Suspected, Hung, BreakerChanged:
		return slog.LevelWarn
	case Escalated:
		return slog.LevelError
	case TaskChanged, Starting:
		return slog.LevelDebug
	case Exited:
		if !e.Class.Abnormal() {
			return slog.LevelDebug
		}
	case Started:
		if e.Incarnation <= 1 {
			return slog.LevelDebug
		}
	}
	return slog.LevelInfo
}

func (e Event) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("path", e.Path)}
	if e.Incarnation > 0 {
		attrs = append(attrs, slog.Uint64("incarnation", e.Incarnation))
	}
	switch e.Kind {
	case Exited:
		attrs = append(attrs, slog.String("class", e.Class.String()))
	case Failed:
		attrs = append(attrs, slog.String("context", e.Context.String()), slog.String("class", e.Class.String()))
	case BackingOff:
		attrs = append(attrs, slog.Duration("delay", e.Delay))
	case GroupRestart:
		attrs = append(attrs, slog.String("strategy", e.Strategy), slog.Int("children", e.Group))
	case BreakerChanged:
		attrs = append(attrs, slog.String("from", e.Breaker.From.String()), slog.String("to", e.Breaker.To.String()))
	case TaskChanged:
		attrs = append(attrs, slog.String("task", e.Task.Task), slog.String("what", e.Task.Kind.String()))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("reason", e.Err.Error()))
	}
	return attrs
}

// warnings passes on what protoactor has to say if it is a warning or worse.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
