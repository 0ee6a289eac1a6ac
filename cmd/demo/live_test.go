package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestColourFollowsFlagThenTerminal(t *testing.T) {
	var pipe bytes.Buffer
	require.True(t, wantsColour(config{colour: "always"}, &pipe, environment(map[string]string{"NO_COLOR": "1"})), "the flag is stronger")
	require.False(t, wantsColour(config{colour: "never"}, &pipe, environment(nil)))
	require.False(t, wantsColour(config{colour: "auto"}, &pipe, environment(nil)), "not a terminal")
	require.False(t, canDraw(config{}, &pipe, &pipe, environment(nil)))
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	require.False(t, canDraw(config{}, &pipe, null, environment(nil)), "a file, but not a terminal")
}

func TestQuietSaysNothingButTheResults(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := demo("--input", project(t, oneFile), "--out", t.TempDir(), "--quiet")
	require.Equal(t, summary.ExitOK, code)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "verdict    ok")
}

func TestColourFlag(t *testing.T) {
	t.Parallel()
	_, _, stderr := demo("--input", project(t, oneFile), "--chaos", "off", "--out", t.TempDir(), "--color", "always")
	require.Contains(t, stderr, "\x1b[")
	code, stdout, stderr := demo("--color", "sometimes")
	require.Equal(t, summary.ExitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "sometimes")
}

// What would be logged is in the view while there is one, and in the log before and after.
func TestLogGivesWayToTheView(t *testing.T) {
	var log bytes.Buffer
	l := &live{began: time.Now()}
	logger := slog.New(instead{slog.NewTextHandler(&log, nil), l})
	for range keptEvents + 5 {
		logger.Warn("failed", "path", "root/a", "incarnation", 3, "class", "crash", "reason", errors.New("no way").Error())
	}
	logger.Info("backing off", "path", "root/a", "delay", time.Second)
	require.Contains(t, log.String(), "no way", "nothing is drawn yet")
	require.Len(t, l.events, keptEvents)
	require.Equal(t, "root/a failed: no way", l.events[0].Text)
	require.True(t, l.events[0].Grave)
	require.Equal(t, "root/a backing off: delay 1s", l.events[keptEvents-1].Text)
	require.NoError(t, l.end(), "there is nothing to end")
}

func TestInterruptsThatAreNoSignals(t *testing.T) {
	c := newConsole(io.Discard, io.Discard, config{}, environment(nil))
	stop, release := interrupts(c, 0)
	defer release()
	c.interrupt(os.Interrupt)
	<-stop.Done()
	require.ErrorIs(t, context.Cause(stop), errInterrupted)
}
