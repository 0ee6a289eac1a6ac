package actors_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// slowLog takes a second for each record.
type slowLog struct {
	slog.Handler
	records *atomic.Int64
}

func (l slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (l slowLog) Handle(context.Context, slog.Record) error {
	time.Sleep(time.Second)
	l.records.Add(1)
	return nil
}

// Who gets an error from Start may do away with what the log was written to.
func TestNothingIsLoggedAfterAStartThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var records atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		tree, err := actors.Start(ctx, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.NeverRestart())},
			actors.WithLogger(slog.New(slowLog{slog.DiscardHandler, &records})))
		require.Nil(t, tree)
		require.ErrorIs(t, err, context.Canceled)
		by := records.Load()
		time.Sleep(time.Minute)
		require.Equal(t, by, records.Load())
	})
}
