package test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
)

type (
	late struct { // answered after the time, and once more after that
		n     int
		after time.Duration
	}
	both struct{ n int } // answered twice
	bad  struct{}        // answered with an error
)

var errBad = errors.New("bad")

func answerer() actor.Actor {
	return actor.ReceiveFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case int:
			ctx.Respond(m)
		case both:
			ctx.Respond(m.n)
			ctx.Respond(-1)
		case bad:
			ctx.Respond(errBad)
		case late:
			sender, root := ctx.Sender(), ctx.ActorSystem().Root
			time.AfterFunc(m.after, func() {
				root.Send(sender, m.n)
				root.Send(sender, -1)
			})
		}
	})
}

func askTree(t *testing.T) *actors.Tree {
	tree, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{actors.Actor("a", answerer)}})
	require.NoError(t, err)
	return tree
}

// Every request gets its own answer, whatever comes late, twice or not at all, however many are made at once.
func TestAskNeverMixesAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := askTree(t)
		pid := tree.PID("root/a")
		var wg sync.WaitGroup
		for g := range 40 {
			wg.Go(func() {
				for i := range 100 {
					n := g*1000 + i
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
					var message any = n
					switch i % 4 {
					case 1:
						message = both{n}
					case 2:
						message = late{n, time.Duration(i%20) * time.Millisecond} // some at the very moment the context ends
					}
					got, err := actors.Ask[int](ctx, tree, pid, message)
					if err == nil && got != n {
						t.Errorf("asked for %d, got %d", n, got)
					}
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("asked for %d: %v", n, err)
					}
					if err != nil && i%4 != 2 {
						t.Errorf("%d was answered at once, but: %v", n, err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		require.NoError(t, tree.Stop(context.Background()))
	})
}

func TestAskRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := askTree(t)
		pid := tree.PID("root/a")
		_, err := actors.Ask[string](t.Context(), tree, pid, 1)
		require.ErrorIs(t, err, actors.ErrReplyType)
		_, err = actors.Ask[int](t.Context(), tree, pid, bad{})
		require.ErrorIs(t, err, errBad)
		got, err := actors.Ask[error](t.Context(), tree, pid, bad{})
		require.NoError(t, err)
		require.Equal(t, errBad, got)
		_, err = actors.Ask[int](t.Context(), tree, actor.NewPID("nonhost", "nobody"), 1)
		require.ErrorIs(t, err, actors.ErrDeadLetter)
		require.NoError(t, tree.Stop(context.Background()))
		_, err = actors.Ask[int](t.Context(), tree, pid, 1)
		require.ErrorIs(t, err, actors.ErrDeadLetter)
		time.Sleep(time.Second)
	})
}

// The context of an actor, in a tree or not, will do as well as a tree.
func TestAskFromARawSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := askTree(t)
		root := tree.ActorSystem().Root
		for i := range 3 {
			got, err := actors.Ask[int](t.Context(), root, tree.PID("root/a"), i)
			require.NoError(t, err)
			require.Equal(t, i, got)
		}
		raw := root.Spawn(actor.PropsFromProducer(answerer))
		got, err := actors.Ask[int](t.Context(), tree, raw, 7)
		require.NoError(t, err)
		require.Equal(t, 7, got)
		root.Stop(raw)
		require.NoError(t, tree.Stop(context.Background()))
	})
}
