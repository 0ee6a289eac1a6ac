package actors_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

func TestLogLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "s", Strategy: strategies.Escalate(), Children: []actors.Child{answering("a", "")}}}}, actors.WithLogger(logger))
		tree.ActorSystem().Root.Send(tree.PID("root/s/a"), errors.New("boom"))
		synctest.Wait()
		require.NoError(t, tree.Stop(t.Context()))
		for _, want := range []string{
			"level=DEBUG msg=started path=root/s/a incarnation=1",
			"level=INFO msg=exited path=root/s/a incarnation=1 class=crash reason=boom",
			"level=WARN msg=failed path=root/s/a",
			"level=ERROR msg=escalated path=root/s",
			"level=INFO msg=started path=root/s incarnation=2",
			"level=DEBUG msg=exited path=root incarnation=1 class=shutdown",
		} {
			require.Contains(t, out.String(), want)
		}
	})
}

// faulty is a handler that panics, or blocks, at every second record.
type faulty struct {
	slog.Handler
	n     *int
	fault func()
}

func (f faulty) Handle(ctx context.Context, r slog.Record) error {
	if *f.n++; *f.n%2 == 0 {
		f.fault()
	}
	return f.Handler.Handle(ctx, r)
}

func TestLogHandlerThatPanicsLosesItsRecordOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		n := 0
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "")}},
			actors.WithLogger(slog.New(faulty{slog.NewTextHandler(&out, nil), &n, func() { panic("no disk") }})))
		for range 2 {
			tree.ActorSystem().Root.Send(tree.PID("root/a"), errors.New("boom"))
			synctest.Wait()
			require.Equal(t, "a up", childStates(t, tree, "root"))
		}
		require.NoError(t, tree.Stop(t.Context()))
		require.GreaterOrEqual(t, n, 6)
		require.Equal(t, (n+1)/2, strings.Count(out.String(), "\n"), "every other one")
	})
}

func TestLogHandlerThatBlocksHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked := make(chan struct{})
		n := 0
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "")}},
			actors.WithLogger(slog.New(faulty{slog.DiscardHandler, &n, func() { <-blocked }})))
		t.Cleanup(func() { close(blocked); synctest.Wait() })
		tree.ActorSystem().Root.Send(tree.PID("root/a"), errors.New("boom"))
		require.Equal(t, "", ask(t, tree, "root/a"))
		require.NoError(t, tree.Stop(t.Context()))
	})
}

func TestTreeOnTheUsersSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
		system := actor.NewActorSystem(actor.WithLoggerFactory(quiet))
		mine := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			if ctx.Message() == "?" {
				ctx.Respond("mine")
			}
		}))
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "yours")}}, actors.WithSystem(system))
		require.Same(t, system, tree.ActorSystem())
		require.Equal(t, "yours", ask(t, tree, "root/a"))
		_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{answering("b", "")}}, actors.WithSystem(system))
		require.ErrorIs(t, err, actors.ErrNameTaken)
		require.Equal(t, "yours", ask(t, tree, "root/a"), "the first tree goes on")
		second := begin(t, actors.Supervisor{ID: "other", Children: []actors.Child{answering("a", "others")}}, actors.WithSystem(system))
		require.Equal(t, "others", ask(t, second, "other/a"))
		require.NoError(t, tree.Stop(t.Context()))
		got, err := actors.Ask[string](t.Context(), second, mine, "?")
		require.NoError(t, err)
		require.Equal(t, "mine", got)
		third := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "again")}}, actors.WithSystem(system))
		require.Equal(t, "again", ask(t, third, "root/a"), "its name is free")
		require.NoError(t, second.Stop(t.Context()))
		require.NoError(t, third.Stop(t.Context()))
		system.Root.Stop(mine)
		system.Shutdown()
	})
}
