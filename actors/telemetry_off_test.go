package actors

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

// Every place at which telemetry is told of something costs nothing if there is none.
func TestTelemetryThatIsOffCostsNothing(t *testing.T) {
	var off *telemetry
	ctx, err, e := context.Background(), errors.New("x"), routing.Event{Kind: routing.EventLeased}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		c, span := off.attempt(ctx, nil, nil)
		_, end := off.call(c, nil)
		end(err)
		span.end(routing.Outcome{}, err, false)
		off.forget(nil)
		e = off.task(e)
	}))
	require.Nil(t, off.carry(nil), "a submit does nothing more than without it")
	require.NoError(t, off.begin(nil))
	off.end()
	off.settle(ctx)
	got, err := newTelemetry(&options{}, "root")
	require.NoError(t, err)
	require.Nil(t, got)
}
