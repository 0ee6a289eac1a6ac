package actors

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/detector"
	"github.com/mistersmith/mistersmith/routing"
)

var echo = routing.NewType[int, int]("echo")

func TestWatchmanLooksOnlyWhileSomethingIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{
			Agent("w", echo, func(_ context.Context, n int) (int, error) { return n, nil }),
			Actor("a", func() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) }),
		}})
		require.NoError(t, err)
		for range 3 {
			_, err = echo.Do(t.Context(), tree, 1)
			require.NoError(t, err)
			tree.ActorSystem().Root.Send(tree.PID("root/a"), "hello")
			before := tree.watchman.now()
			time.Sleep(24 * time.Hour)
			require.LessOrEqual(t, tree.watchman.now()-before, 3*DefaultLivenessLook)
			synctest.Wait()
			require.Empty(t, tree.watchman.watched)
		}
		require.NoError(t, tree.Stop(t.Context()))
	})
}

// fakeWorker is busy until it is told to rest.
type fakeWorker struct {
	life detector.Stamp
	busy atomic.Bool
	told []suspicion
	last *HungError
}

func (f *fakeWorker) atWork() (busy, judged bool)          { return f.busy.Load(), true }
func (f *fakeWorker) kindOfWork() (string, *detector.Pace) { return "fake", nil }
func (f *fakeWorker) liveness() Liveness {
	return Liveness{Max: 10 * time.Second}.withDefaults(KindActor)
}
func (f *fakeWorker) suspected(*HungError) { f.told = append(f.told, suspected) }
func (f *fakeWorker) recovered()           { f.told = append(f.told, alive) }
func (f *fakeWorker) hangs(reason *HungError, fails bool) {
	f.told, f.last = append(f.told, hung), reason
}

// A process that stands still isn't taken for a worker that does, but not for ever.
func TestWatchmanDoesNotCountThatTheProcessStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchman(100 * time.Millisecond)
		defer w.close()
		f := &fakeWorker{}
		f.busy.Store(true)
		w.sign(&f.life, f)
		time.Sleep(150 * time.Millisecond) // it has been seen
		stall := func(d time.Duration) {   // the next look comes late
			synctest.Wait()
			w.timer.Stop()
			time.Sleep(d)
			w.look()
		}
		stall(9 * time.Second)
		require.Empty(t, f.told)
		stall(9 * time.Second)
		require.Empty(t, f.told, "18 s count for 4.5 at the most")
		stall(5 * time.Second)
		require.Equal(t, []suspicion{suspected}, f.told, "23 s count for 5.75 at least")
		stall(20 * time.Second)
		require.Equal(t, []suspicion{suspected, hung}, f.told)
		require.GreaterOrEqual(t, f.last.Silence, 10*time.Second)
		require.Less(t, f.last.Silence, 15*time.Second)
		w.sign(&f.life, f)
		time.Sleep(150 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []suspicion{suspected, hung, alive}, f.told)
		f.busy.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, w.watched)
	})
}

func TestWatchmanForgetsKindsOfWorkBeyondItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchman(time.Millisecond)
		defer w.close()
		for i := range 2 * maxPaces {
			w.pace(namedWorker{&fakeWorker{}, string(rune(i))})
		}
		require.Len(t, w.paces, maxPaces)
	})
}

type namedWorker struct {
	*fakeWorker
	name string
}

func (n namedWorker) kindOfWork() (string, *detector.Pace) { return n.name, nil }

// BenchmarkSign is what each message and task pays for being watched, while the look that it comes before is the same.
func BenchmarkSign(b *testing.B) {
	w := newWatchman(time.Hour)
	defer w.close()
	f := &fakeWorker{}
	b.ReportAllocs()
	for b.Loop() {
		w.sign(&f.life, f)
	}
}
