package actors

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func pass() {
	for range 1000 {
		runtime.Gosched()
	}
}

// A call that its node takes in the very moment in which its caller gives up isn't made, and doesn't look like one that was.
func TestAGuardedCallIsTakenWhileItIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{Breaker{ID: "llm"}}})
		require.NoError(t, err)
		to := tree.lookup("root/llm")
		through := func(ctx context.Context, _ *actor.ActorSystem, _ *actor.PID, fn func(context.Context) (int, error)) (got int, err error) {
			to.ref.mu.Lock() // holds up who gives up
			time.Sleep(breaker.DefaultOperationTimeout)
			pass()
			taken := make(chan struct{})
			go func() {
				defer close(taken)
				got, err = fn(ctx)
			}()
			pass()
			to.ref.mu.Unlock()
			<-taken
			return got, err
		}
		made := false
		_, err = inTurn(t.Context(), to, through, func(context.Context) (int, error) { made = true; return 1, nil })
		require.False(t, made)
		var late *NotTakenError
		require.ErrorAs(t, err, &late)
		require.NoError(t, tree.Stop(context.Background()))
	})
}

// What has come back as not taken isn't made any more, even if it was on its way.
func TestAGuardedCallThatWasNotTakenIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{Breaker{ID: "llm"}}})
		require.NoError(t, err)
		require.NoError(t, tree.TerminateChild(t.Context(), "root/llm"))
		var onItsWay func()
		through := func(ctx context.Context, _ *actor.ActorSystem, _ *actor.PID, fn func(context.Context) (int, error)) (int, error) {
			onItsWay = func() { _, _ = fn(ctx) }
			return 0, breaker.ErrStopped
		}
		made := false
		_, err = inTurn(t.Context(), tree.lookup("root/llm"), through, func(context.Context) (int, error) { made = true; return 1, nil })
		var late *NotTakenError
		require.ErrorAs(t, err, &late)
		onItsWay()
		require.False(t, made)
		require.NoError(t, tree.Stop(context.Background()))
	})
}

// A call on its way to a node that is deleted meanwhile finds nobody: not somebody who is busy.
func TestAGuardedCallToANodeThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{Breaker{ID: "llm"}}})
		require.NoError(t, err)
		to := tree.lookup("root/llm")
		require.NoError(t, tree.TerminateChild(t.Context(), "root/llm"))
		require.NoError(t, tree.DeleteChild(t.Context(), "root/llm"))
		_, err = inTurn(t.Context(), to, breaker.Through[int], func(context.Context) (int, error) { return 1, nil })
		var late *NotTakenError
		require.ErrorAs(t, err, &late)
		require.ErrorIs(t, err, breaker.ErrStopped)
		require.NotErrorIs(t, err, breaker.ErrSaturated)
		require.NoError(t, tree.Stop(context.Background()))
	})
}

// A call that was lost with what its node had in the queue wasn't taken, even if the node is up again by the time its caller hears of it.
func TestAGuardedCallIsLostWithTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{Breaker{ID: "llm"}}})
		require.NoError(t, err)
		lost := func(context.Context, *actor.ActorSystem, *actor.PID, func(context.Context) (int, error)) (int, error) {
			return 0, breaker.ErrStopped
		}
		_, err = inTurn(t.Context(), tree.lookup("root/llm"), lost, func(context.Context) (int, error) { return 1, nil })
		var late *NotTakenError
		require.ErrorAs(t, err, &late)
		require.ErrorIs(t, err, breaker.ErrStopped)
		require.NoError(t, tree.Stop(context.Background()))
	})
}
