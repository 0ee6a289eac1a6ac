package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
)

func TestExitInEachPhase(t *testing.T) {
	own := errors.New("own reason")
	wrapped := fmt.Errorf("done for today: %w", actors.ErrShutdown)
	classes := []struct {
		reason error
		class  actors.Class
	}{{nil, actors.Normal}, {actors.ErrShutdown, actors.Shutdown}, {wrapped, actors.ShutdownWith}, {own, actors.Crash}}
	exits := func(when any, reason error) actors.ActorSpec {
		return actors.Actor("a", func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if fmt.Sprintf("%T", ctx.Message()) == fmt.Sprintf("%T", when) {
					actors.Exit(ctx, reason)
				}
			})
		}).With(actors.Lifecycle{Restart: actors.Temporary})
	}
	for _, c := range classes {
		t.Run(fmt.Sprintf("in Started: %v", c.reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tree := begin(t, actors.Supervisor{ID: "root"})
				_, err := tree.StartChild(t.Context(), "root", exits(&actor.Started{}, c.reason))
				var failed *actors.StartError
				require.ErrorAs(t, err, &failed)
				require.Equal(t, "root/a", failed.Path)
				want := c.reason
				if want == nil {
					want = actors.ErrExitedInStart
				}
				require.ErrorIs(t, err, want)
			})
		})
		for name, when := range map[string]any{"in Receive": "go", "in Stopping": &actor.Stopping{}, "in Stopped": &actor.Stopped{}} {
			t.Run(fmt.Sprintf("%s: %v", name, c.reason), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{exits(when, c.reason)}})
					exited := tree.Subscribe(1, actors.Exited)
					if name == "in Receive" {
						tree.ActorSystem().Root.Send(tree.PID("root/a"), "go")
					} else {
						require.NoError(t, tree.TerminateChild(t.Context(), "root/a"))
					}
					e := <-exited.Events()
					require.Equal(t, c.class, e.Class)
					require.Equal(t, c.reason, e.Err)
					require.Nil(t, e.Message)
				})
			})
		}
	}
}

func TestExitOutsideOfATree(t *testing.T) {
	quiet := func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }
	system := actor.NewActorSystem(actor.WithLoggerFactory(quiet))
	defer system.Shutdown()
	done := make(chan any, 1)
	pid := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if err, ok := ctx.Message().(error); ok {
			defer func() { done <- recover() }()
			actors.Exit(ctx, err)
		}
	}))
	own := errors.New("own")
	system.Root.Send(pid, own)
	require.Equal(t, own, <-done)
}

func TestPanicsKeepTheirStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := errors.New("own")
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Actor("a", func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if ctx.Message() == "go" {
					blowUp(own)
				}
			})
		})}})
		exited := tree.Subscribe(1, actors.Exited)
		tree.ActorSystem().Root.Send(tree.PID("root/a"), "go")
		e := <-exited.Events()
		require.ErrorIs(t, e.Err, own)
		require.Equal(t, "go", e.Message)
		var p *actors.PanicError
		require.ErrorAs(t, e.Err, &p)
		require.Equal(t, own, p.Value)
		require.Contains(t, p.Stack(), "actors_test.blowUp")
		require.Contains(t, p.Stack(), "exit_test.go:")
	})
}

func blowUp(err error) { panic(err) }

func TestInitOfASupervisor(t *testing.T) {
	own := errors.New("own")
	inits := map[string]func(context.Context) error{
		"error":  func(context.Context) error { return own },
		"panics": func(context.Context) error { panic(own) },
	}
	for name, init := range inits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", ""), actors.Supervisor{ID: "s", Init: init}}})
				require.ErrorIs(t, err, own)
				require.ErrorContains(t, err, "root/s")
			})
		})
	}
	_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Init: func(context.Context) error { return actors.ErrIgnore }})
	require.ErrorIs(t, err, actors.ErrIgnore)
}
