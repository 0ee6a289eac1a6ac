package main

import (
	"context"
	"log/slog"
	"strings"
)

// aside is a log without what happens in the drills: a supervisor that gives up there does what it is meant to.
type aside struct{ slog.Handler }

// Handle implements slog.Handler.
func (h aside) Handle(ctx context.Context, r slog.Record) error {
	drilled := false
	r.Attrs(func(a slog.Attr) bool {
		drilled = a.Key == "path" && strings.HasPrefix(a.Value.String(), drillsPath+"/")
		return !drilled
	})
	if drilled {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h aside) WithAttrs(attrs []slog.Attr) slog.Handler { return aside{h.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h aside) WithGroup(name string) slog.Handler { return aside{h.Handler.WithGroup(name)} }
