package actors

import (
	"context"
	"math"
	"runtime"
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
	life                  detector.Stamp
	busy, waits, cut, due atomic.Bool
	struck                atomic.Int64
	fails                 bool
	told                  []suspicion
	last                  *HungError
}

func (f *fakeWorker) atWork() (busy, judged bool)          { return f.busy.Load(), !f.waits.Load() }
func (f *fakeWorker) cutShort() bool                       { return f.cut.Load() }
func (f *fakeWorker) strikes() (before int, last bool)     { return int(f.struck.Load()), f.due.Load() }
func (f *fakeWorker) kindOfWork() (string, *detector.Pace) { return "fake", nil }
func (f *fakeWorker) liveness() Liveness {
	if f.fails {
		return Liveness{Max: 5 * time.Minute}.withDefaults(KindAgent)
	}
	return Liveness{Max: 10 * time.Second}.withDefaults(KindActor)
}
func (f *fakeWorker) suspected(*HungError) { f.told = append(f.told, suspected) }
func (f *fakeWorker) recovered()           { f.told = append(f.told, alive) }
func (f *fakeWorker) hangs(reason *HungError, fails bool) {
	f.told, f.last = append(f.told, hung), reason
}

// A process that stood still isn't taken for workers that do, however long that was and however quick they are. If it does so again and again, it is.
func TestWatchmanDoesNotCountThatTheProcessStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchman(100 * time.Millisecond)
		defer w.close()
		f := &fakeWorker{}
		f.busy.Store(true)
		getsOn := func() {
			w.sign(&f.life, f)
			time.Sleep(150 * time.Millisecond) // it has been seen
			synctest.Wait()
		}
		for range 100 {
			getsOn()
		}
		stall := func(d time.Duration) { // the next look comes late
			w.timer.Stop()
			time.Sleep(d)
			w.look()
		}
		for range 10 {
			stall(24 * time.Hour)
			require.Empty(t, f.told)
			for range 6000 {
				getsOn()
			}
		}
		stall(24 * time.Hour)
		stall(9 * time.Second)
		require.Equal(t, []suspicion{hung}, f.told, "more than is left out")
		require.GreaterOrEqual(t, f.last.Silence, 9*time.Second)
		require.Less(t, f.last.Silence, 10*time.Second)
		getsOn()
		require.Equal(t, []suspicion{hung, alive}, f.told)

		f.told = nil
		f.busy.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, w.watched)
		f.busy.Store(true)
		getsOn()
		stall(24 * time.Hour)
		require.Empty(t, f.told, "it was idle in between")
		f.busy.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, w.watched)
	})
}

// Nor does a stream learn that pieces come so late.
func TestAStreamDoesNotLearnThatTheProcessStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{
			Breaker{ID: "llm"},
			Agent("w", echo, func(ctx context.Context, n int) (int, error) {
				return GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
					for i := range 200 {
						time.Sleep(20 * time.Millisecond)
						if i == 100 {
							tree := ctx.Value(nodeKey{}).(*node).tree
							tree.watchman.timer.Stop()
							time.Sleep(time.Minute)
							tree.watchman.timer.Reset(1)
						}
						beat()
					}
					return n, nil
				})
			}),
		}})
		require.NoError(t, err)
		_, err = echo.Do(t.Context(), tree, 1)
		require.NoError(t, err)
		known := &tree.lookup("root/llm").guard.streams.next
		require.EqualValues(t, 199, known.Samples())
		require.Less(t, known.Patience(), time.Second)
		require.NoError(t, tree.Stop(t.Context()))
	})
}

// What a look has found of one task isn't held against the next, which its job has gone on to meanwhile.
func TestWatchmanDoesNotBlameTheNextTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan struct{})
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{
			Agent("w", echo, func(_ context.Context, n int) (int, error) { <-ends; return n, nil }).With(Lifecycle{Liveness: &Liveness{Max: time.Minute}}),
		}})
		require.NoError(t, err)
		var handles []*routing.Handle[int]
		for i := range 3 {
			h, err := echo.Submit(t.Context(), tree, i)
			require.NoError(t, err)
			handles = append(handles, h)
		}
		w := tree.watchman
		time.Sleep(time.Second)
		synctest.Wait()
		w.timer.Stop()
		require.Len(t, w.watched, 1)
		for of, entry := range w.watched {
			next := func() {
				ends <- struct{}{}
				synctest.Wait()
			}
			for range 600 { // the look has begun
				time.Sleep(w.every)
				w.clock.Tick(time.Since(w.epoch))
			}
			next()
			w.judge(of, entry, time.Now())
			require.Equal(t, alive, entry.level)

			w.look()
			w.timer.Stop()
			busy, judged := of.atWork()
			require.True(t, busy && judged)
			next()
			of.hangs(&HungError{Silence: time.Minute}, true)
		}
		ends <- struct{}{}
		for i, h := range handles {
			got, err := h.Await(t.Context())
			require.NoError(t, err)
			require.Equal(t, i, got)
			info, _ := tree.Hub().Inspect(h.ID())
			require.Len(t, info.Attempts, 1)
		}
		require.NoError(t, tree.Stop(t.Context()))
	})
}

// What was a wait for something else, or ended by somebody else, says nothing about how long work takes.
func TestWatchmanLearnsOnlyFromWhatEndedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchman(100 * time.Millisecond)
		defer w.close()
		f := &fakeWorker{}
		samples := func() uint64 {
			synctest.Wait()
			w.looking.Lock()
			defer w.looking.Unlock()
			if p := w.paces["fake"]; p != nil {
				return p.Samples()
			}
			return 0
		}
		sign := func() {
			w.sign(&f.life, f)
			time.Sleep(150 * time.Millisecond)
		}
		begin := func() {
			f.busy.Store(true)
			sign()
		}
		end := func() {
			f.busy.Store(false)
			time.Sleep(time.Second)
		}
		begin()
		time.Sleep(3 * time.Second)
		require.EqualValues(t, 0, samples(), "it goes on")
		sign()
		require.EqualValues(t, 1, samples())
		end()
		require.EqualValues(t, 2, samples())

		for name, waits := range map[string]func(){
			"it begins with a wait": func() { f.waits.Store(true); begin() },
			"it comes to wait":      func() { begin(); f.waits.Store(true) },
		} {
			before := samples()
			waits()
			time.Sleep(3 * time.Second)
			f.waits.Store(false)
			sign()
			require.Equal(t, before, samples(), name)
			time.Sleep(time.Second)
			sign()
			require.Equal(t, before+1, samples(), name)
			f.waits.Store(true)
			time.Sleep(time.Second)
			f.waits.Store(false)
			end()
			require.Equal(t, before+1, samples(), name)
		}

		before := samples()
		begin()
		f.cut.Store(true)
		sign()
		require.Equal(t, before, samples(), "the next has begun")
		end()
		require.Equal(t, before, samples(), "it is over")
		require.Empty(t, f.told)
	})
}

// The same of what agents and actors do.
func TestWatchmanLearnsOfTasksAndMessagesThatEndedByThemselves(t *testing.T) {
	wait := func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Second):
		}
	}
	submit := func(t *testing.T, tree *Tree, options ...routing.SubmitOption) *routing.Handle[int] {
		h, err := echo.Submit(t.Context(), tree, 1, options...)
		require.NoError(t, err)
		return h
	}
	tests := map[string]struct {
		handle  func(ctx context.Context)
		do      func(t *testing.T, tree *Tree)
		kind    string
		samples uint64
		longest time.Duration // of what is learned
	}{
		"a task":              {wait, func(t *testing.T, tree *Tree) { submit(t, tree) }, "task echo", 1, 3 * time.Second},
		"a task with a limit": {wait, func(t *testing.T, tree *Tree) { submit(t, tree, routing.Timeout(time.Minute)) }, "task echo", 0, 0},
		"a task that is cancelled": {wait, func(t *testing.T, tree *Tree) {
			h := submit(t, tree)
			time.Sleep(time.Second)
			h.Cancel(nil)
		}, "task echo", 0, 0},
		"a task that is cancelled while another waits": {wait, func(t *testing.T, tree *Tree) {
			h := submit(t, tree)
			submit(t, tree)
			time.Sleep(time.Second)
			h.Cancel(nil)
		}, "task echo", 1, 3 * time.Second},
		"a task whose agent is killed": {wait, func(t *testing.T, tree *Tree) {
			h := submit(t, tree)
			time.Sleep(time.Second)
			require.NoError(t, tree.Kill("root/w"))
			h.Cancel(nil)
		}, "task echo", 0, 0},
		"a task whose agent is told to stop": {wait, func(t *testing.T, tree *Tree) {
			submit(t, tree)
			time.Sleep(time.Second)
			require.NoError(t, tree.TerminateChild(t.Context(), "root/w"))
		}, "task echo", 0, 0},
		"a task that only waits, but for a moment": {func(ctx context.Context) {
			defer routing.Waiting(ctx)()
			wait(ctx)
		}, func(t *testing.T, tree *Tree) { submit(t, tree) }, "task echo", 1, 100 * time.Millisecond},
		"a task that waits in the midst of its work": {func(ctx context.Context) {
			time.Sleep(2 * time.Second)
			done := routing.Waiting(ctx)
			wait(ctx)
			done()
			time.Sleep(2 * time.Second)
		}, func(t *testing.T, tree *Tree) { submit(t, tree) }, "task echo", 2, 2 * time.Second},
		"a message": {nil, func(_ *testing.T, tree *Tree) {
			tree.ActorSystem().Root.Send(tree.PID("root/a"), 3*time.Second)
		}, "actor root/a", 1, 3 * time.Second},
		"a message whose actor is killed": {nil, func(t *testing.T, tree *Tree) {
			tree.ActorSystem().Root.Send(tree.PID("root/a"), 3*time.Second)
			time.Sleep(time.Second)
			require.NoError(t, tree.Kill("root/a"))
		}, "actor root/a", 0, 0},
		"a message that panics": {nil, func(_ *testing.T, tree *Tree) {
			tree.ActorSystem().Root.Send(tree.PID("root/a"), "panic")
		}, "actor root/a", 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{
					Agent("w", echo, func(ctx context.Context, n int) (int, error) { tt.handle(ctx); return n, ctx.Err() }),
					Actor("a", func() actor.Actor {
						return actor.ReceiveFunc(func(ctx actor.Context) {
							switch m := ctx.Message().(type) {
							case time.Duration:
								time.Sleep(m)
							case string:
								time.Sleep(time.Second)
								panic(m)
							}
						})
					}),
				}})
				require.NoError(t, err)
				tt.do(t, tree)
				time.Sleep(10 * time.Minute)
				w := tree.watchman
				w.looking.Lock()
				pace := w.paces[tt.kind]
				w.looking.Unlock()
				require.NotNil(t, pace)
				require.Equal(t, tt.samples, pace.Samples())
				if tt.samples > 0 {
					require.InDelta(t, 2*tt.longest.Seconds(), pace.Patience().Seconds(), 0.4)
				}
				require.NoError(t, tree.Stop(t.Context()))
			})
		})
	}
}

// What was ended on a guess has more time when it is tried again, and nothing else has; what isn't tried again isn't guessed.
func TestWatchmanGuessesLessEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchman(100 * time.Millisecond)
		defer w.close()
		f := &fakeWorker{fails: true}
		f.busy.Store(true)
		for range 50 {
			w.sign(&f.life, f)
			time.Sleep(100 * time.Millisecond)
		}
		hangs := func() *HungError {
			t.Helper()
			w.looking.Lock()
			f.told = nil
			w.looking.Unlock()
			w.sign(&f.life, f)
			time.Sleep(6 * time.Minute)
			w.looking.Lock()
			defer w.looking.Unlock()
			require.Equal(t, []suspicion{suspected, hung}, f.told)
			return f.last
		}
		first := hangs()
		require.Less(t, first.Silence, 5*time.Second)
		require.Equal(t, first.Silence, hangs().Silence)
		f.struck.Store(1)
		second := hangs()
		require.InEpsilon(t, 4*first.Silence.Seconds(), second.Silence.Seconds(), 0.05)
		f.struck.Store(math.MaxInt32)
		require.True(t, hangs().Max)
		f.struck.Store(1)
		f.due.Store(true)
		last := hangs()
		require.InDelta(t, 300, last.Silence.Seconds(), 0.2)
		require.True(t, last.Max && last.Phi > DefaultHungPhi)
		f.due.Store(false)
		require.Equal(t, second.Silence, hangs().Silence, "what was no guess doesn't make it wait longer")
	})
}

// Closing waits for a look that has begun; a later one does nothing.
func TestWatchmanCloseEndsTheLooks(t *testing.T) {
	w := newWatchman(10 * time.Second)
	of := &slowWorker{asked: make(chan struct{}), answer: make(chan struct{})}
	of.busy.Store(true)
	w.sign(&of.life, of)
	looked, closed := make(chan struct{}), make(chan struct{})
	go func() { w.look(); close(looked) }()
	<-of.asked
	go func() { w.close(); close(closed) }()
	for range 1000 {
		runtime.Gosched()
	}
	select {
	case <-closed:
		t.Fatal("a look goes on")
	default:
	}
	close(of.answer)
	<-closed
	<-looked
	w.look()
	w.sign(&of.life, of)
	require.Empty(t, w.watched)
	require.Empty(t, w.fresh)
}

// slowWorker takes its time to say what it is doing.
type slowWorker struct {
	fakeWorker
	asked, answer chan struct{}
}

func (s *slowWorker) atWork() (busy, judged bool) {
	close(s.asked)
	<-s.answer
	return true, true
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
	w := newWatchman(10 * time.Second)
	defer w.close()
	f := &fakeWorker{}
	b.ReportAllocs()
	for b.Loop() {
		w.sign(&f.life, f)
	}
}
