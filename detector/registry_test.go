package detector_test

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/detector"
)

// steady is a class of things that beat once a second, are suspected about 1.4 s after the last heartbeat and fail about 0.15 s later.
var steady = detector.ClassConfig{Detector: detector.AdaptiveConfig{Interval: time.Second, MinStdDev: 100 * ms, Pause: detector.NoPause}}

// watching is a registry and what its subscriber was told.
type watching struct {
	*detector.Registry
	t   testing.TB
	now time.Duration
	log []detector.Event
}

func watch(t testing.TB, cfg detector.RegistryConfig) *watching {
	t.Helper()
	w := &watching{t: t}
	if cfg.Subscriber == nil {
		cfg.Subscriber = func(e detector.Event) { w.log = append(w.log, e) }
	}
	r, err := detector.NewRegistry(cfg)
	require.NoError(t, err)
	w.Registry = r
	return w
}

func (w *watching) open(t detector.Thing) detector.Watch {
	w.t.Helper()
	h, err := w.Watch(w.now, t)
	require.NoError(w.t, err)
	return h
}

// pass lets time pass. Every 100 ms there is a sweep, and every second those who live beat.
func (w *watching) pass(d time.Duration, alive ...detector.Watch) {
	for end := w.now + d; w.now < end; {
		w.now += 100 * ms
		if w.now%time.Second == 0 {
			for _, h := range alive {
				h.Beat(w.now)
			}
		}
		w.Sweep(w.now)
	}
}

// told are the events since the last call, as "name verdict".
func (w *watching) told() []string {
	told := []string{}
	for _, e := range w.log {
		told = append(told, fmt.Sprintf("%s %v", e.Name, e.Verdict))
	}
	w.log = nil
	return told
}

func TestSilenceIsSuspectedThenFailsAndAHeartbeatRecovers(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	a, b := r.open(detector.Thing{Name: "a", Data: 7}), r.open(detector.Thing{Name: "b"})
	r.pass(time.Minute, a, b)
	assert.Empty(t, r.told())

	r.pass(10*time.Second, b)
	require.Len(t, r.log, 2)
	suspected, failed := r.log[0], r.log[1]
	assert.Equal(t, []string{"a suspected", "a failed"}, r.told())
	for _, e := range []detector.Event{suspected, failed} {
		assert.Equal(t, a, e.Watch)
		assert.Equal(t, 7, e.Data)
		assert.Equal(t, time.Minute, e.Last)
		assert.Equal(t, e.Now-e.Last, e.Elapsed)
		assert.Equal(t, suspected.Now, e.Since)
	}
	assert.Equal(t, 1500*ms, suspected.Elapsed, "mean 1 s, deviation 100 ms, z of phi 5 is 4.26: the next sweep is at 1.5 s")
	assert.True(t, suspected.Phi >= 5 && suspected.Phi < 8, "phi %v", suspected.Phi)
	assert.Equal(t, 1600*ms, failed.Elapsed, "z of phi 8 is 5.61")
	assert.GreaterOrEqual(t, failed.Phi, 8.0)
	assert.Equal(t, detector.Failed, a.Verdict())
	assert.Equal(t, detector.Healthy, b.Verdict())
	assert.False(t, a.Available(r.now))
	assert.True(t, b.Available(r.now))

	r.pass(time.Second, a, b)
	require.Len(t, r.log, 1)
	recovered := r.log[0]
	assert.Equal(t, []string{"a healthy"}, r.told())
	assert.Equal(t, suspected.Now, recovered.Since)
	assert.Equal(t, 71*time.Second, recovered.Last)
	assert.Equal(t, "a recovered after 9.5s under suspicion", recovered.String())
	assert.Equal(t, detector.Healthy, a.Verdict())
	r.pass(time.Minute, a, b)
	assert.Empty(t, r.told())
}

func TestASweepThatComesLateStillTellsBoth(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	a := r.open(detector.Thing{Name: "a"})
	r.pass(10*time.Second, a)
	r.Sweep(time.Hour)
	assert.Equal(t, []string{"a suspected", "a failed"}, r.told())
}

func TestWhatIsHeardOfBetweenTwoSweepsIsNoEvent(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	a := r.open(detector.Thing{Name: "a"})
	r.pass(10*time.Second, a)
	a.Beat(20 * time.Second)
	r.Sweep(20 * time.Second)
	assert.Empty(t, r.told())
}

func TestNothingHeardIsNotJudged(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	a := r.open(detector.Thing{Name: "a"})
	r.pass(time.Hour)
	assert.Empty(t, r.told())
	assert.Zero(t, a.Phi(r.now))
	assert.True(t, a.Available(r.now))
	assert.False(t, a.Monitoring())
	assert.Zero(t, a.Stats())
}

func TestAFirstHeartbeatThatNeverComes(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	r.pass(time.Hour)
	a := r.open(detector.Thing{Name: "a", First: 20 * time.Second})
	r.pass(20 * time.Second)
	assert.Empty(t, r.told())
	r.pass(3 * time.Second)
	assert.Equal(t, []string{"a suspected", "a failed"}, r.told())
	a.Beat(r.now)
	r.pass(100 * ms)
	assert.Equal(t, []string{"a healthy"}, r.told())
	assert.InDelta(t, time.Second, a.Stats().Mean, 0, "the wait for the first is not learned from")
}

func TestPeriodsThatAreDeclared(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	a := r.open(detector.Thing{Name: "a"})
	r.pass(10*time.Second, a)
	r.now += 500 * ms
	a.BeatEvery(r.now, time.Minute)
	r.pass(time.Minute)
	assert.Empty(t, r.told(), "it said so")
	a.BeatEvery(r.now, 200*ms)
	r.pass(2 * time.Second)
	assert.Equal(t, []string{"a suspected", "a failed"}, r.told(), "and now it's due soon")
}

func TestUnknownNames(t *testing.T) {
	r := watch(t, detector.RegistryConfig{})
	assert.Zero(t, r.Phi("nobody", time.Hour))
	assert.True(t, r.Available("nobody", time.Hour))
	assert.False(t, r.Monitoring("nobody"))
	assert.False(t, r.Remove("nobody"))
	_, ok := r.Lookup("nobody")
	assert.False(t, ok)
}

// As in vector 9: the registry by name.
func TestSequence9Registry(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: detector.ClassConfig{Suspect: 3,
		Detector: detector.AdaptiveConfig{Threshold: 3, Pause: detector.NoPause, MinStdDev: 10 * ms}}})
	beat := func(name string, at int) { require.NoError(t, r.Heartbeat(name, time.Duration(at)*ms)) }
	beat("r1", 0)
	beat("r1", 1000)
	beat("r1", 1100)
	assert.True(t, r.Available("r1", 1200*ms))
	beat("r2", 5200)
	assert.False(t, r.Available("r1", 8200*ms))
	assert.True(t, r.Monitoring("r2"))
	assert.True(t, r.Remove("r1"))
	assert.False(t, r.Monitoring("r1"))
	assert.True(t, r.Available("r1", 8200*ms))
	beat("r1", 8300)
	assert.True(t, r.Monitoring("r1"))
	assert.True(t, r.Available("r1", 8400*ms))
	assert.Equal(t, 2, r.Len())
}

func TestNamesAreUnique(t *testing.T) {
	r := watch(t, detector.RegistryConfig{})
	a := r.open(detector.Thing{Name: "a"})
	_, err := r.Watch(0, detector.Thing{Name: "a"})
	require.ErrorIs(t, err, detector.ErrWatched)
	assert.ErrorContains(t, err, `"a"`)
	assert.Equal(t, 1, r.Len())
	found, ok := r.Lookup("a")
	assert.True(t, ok)
	assert.Equal(t, a, found)

	unlisted := r.open(detector.Thing{Name: "a", Unlisted: true})
	assert.Equal(t, "a", unlisted.Name())
	assert.NotEqual(t, a, unlisted)
	assert.True(t, unlisted.Close())
	found, ok = r.Lookup("a")
	assert.True(t, ok, "the listed one is still there")
	assert.Equal(t, a, found)
}

func TestTheRegistryIsBounded(t *testing.T) {
	r := watch(t, detector.RegistryConfig{MaxThings: 3})
	first := r.open(detector.Thing{Name: "0"})
	r.open(detector.Thing{Name: "1"})
	r.open(detector.Thing{Unlisted: true})
	_, err := r.Watch(0, detector.Thing{Name: "x"})
	require.ErrorIs(t, err, detector.ErrFull)
	require.ErrorIs(t, r.Heartbeat("y", 0), detector.ErrFull)
	require.NoError(t, r.Heartbeat("1", 0))
	assert.True(t, first.Close())
	r.open(detector.Thing{Name: "x"})
	assert.Equal(t, 3, r.Len())
}

func TestAClosedWatchDoesNothingEvenIfItsPlaceIsTakenAgain(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	old := r.open(detector.Thing{Name: "a"})
	old.Beat(time.Second)
	assert.True(t, old.Close())
	assert.False(t, old.Close())
	later := make([]detector.Watch, 3000)
	for i := range later {
		later[i] = r.open(detector.Thing{Name: fmt.Sprint("a", i)})
	}
	old.Beat(2 * time.Second)
	for _, w := range later {
		require.False(t, w.Monitoring())
	}
	for _, w := range []detector.Watch{old, {}} {
		assert.Zero(t, w.Phi(time.Hour))
		assert.True(t, w.Available(time.Hour))
		assert.False(t, w.Monitoring())
		assert.Zero(t, w.Stats())
		assert.Equal(t, detector.Healthy, w.Verdict())
		assert.Empty(t, w.Name())
		assert.ErrorIs(t, w.Suspend(), detector.ErrClosed)
		assert.ErrorIs(t, w.Resume(0), detector.ErrClosed)
		assert.ErrorIs(t, w.SetClass(r.Default()), detector.ErrClosed)
		assert.ErrorIs(t, w.Configure(steady), detector.ErrClosed)
		assert.False(t, w.Close())
		w.Beat(3 * time.Second)
	}
}

func TestClosingEndsTheEvents(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	a, b := r.open(detector.Thing{Name: "a"}), r.open(detector.Thing{Name: "b"})
	r.pass(10*time.Second, a, b)
	a.Close()
	r.pass(1500*ms, b)
	r.pass(5 * time.Second)
	assert.Equal(t, []string{"b suspected", "b failed"}, r.told())
	b.Close()
	r.pass(time.Minute)
	assert.Empty(t, r.told())
	assert.Zero(t, r.Len())
}

func TestSuspendedThingsAreNotJudged(t *testing.T) {
	r := watch(t, detector.RegistryConfig{Default: steady})
	a := r.open(detector.Thing{Name: "a"})
	r.pass(10*time.Second, a)
	want := a.Stats()
	require.NoError(t, a.Suspend())
	r.pass(time.Hour)
	assert.Empty(t, r.told())
	assert.Zero(t, a.Phi(r.now))
	assert.True(t, a.Available(r.now))
	a.Beat(r.now)
	require.NoError(t, a.Resume(r.now))
	r.pass(time.Second, a)
	assert.Empty(t, r.told())
	want.Last = r.now
	want.Heartbeats = a.Stats().Heartbeats
	assert.Equal(t, want, a.Stats(), "neither the suspension nor the time from there to the next heartbeat is learned from")
	require.NoError(t, a.Suspend())
	require.NoError(t, a.Resume(r.now))
	require.NoError(t, a.Resume(r.now+time.Hour), "it isn't suspended: nothing happens")
	r.pass(5 * time.Second)
	assert.Equal(t, []string{"a suspected", "a failed"}, r.told())
	require.NoError(t, a.Suspend())
	r.pass(100 * ms)
	assert.Equal(t, []string{"a healthy"}, r.told(), "the suspicion is taken back")
}

func TestConfigurationChangesWhileItRuns(t *testing.T) {
	slow := steady
	slow.Detector.Interval = time.Minute
	slow.Detector.MinStdDev = 100 * ms
	t.Run("for all", func(t *testing.T) {
		r := watch(t, detector.RegistryConfig{Default: steady})
		a, b := r.open(detector.Thing{Name: "a"}), r.open(detector.Thing{Name: "b"})
		r.pass(10*time.Second, a, b)
		require.NoError(t, r.Default().Configure(slow))
		assert.Equal(t, time.Minute, r.Default().Config().Detector.Interval)
		r.pass(time.Minute)
		assert.Empty(t, r.told())
		require.NoError(t, r.Default().Configure(steady))
		r.pass(100 * ms)
		assert.ElementsMatch(t, []string{"a suspected", "a failed", "b suspected", "b failed"}, r.told(), "silences that last are judged anew")
		require.NoError(t, r.Default().Configure(slow))
		r.pass(100 * ms)
		assert.ElementsMatch(t, []string{"a healthy", "b healthy"}, r.told())
	})
	t.Run("for one", func(t *testing.T) {
		r := watch(t, detector.RegistryConfig{Default: steady})
		a, b := r.open(detector.Thing{Name: "a"}), r.open(detector.Thing{Name: "b"})
		r.pass(10*time.Second, a, b)
		require.NoError(t, a.Configure(slow))
		r.pass(10 * time.Second)
		assert.Equal(t, []string{"b suspected", "b failed"}, r.told())
	})
	t.Run("thresholds", func(t *testing.T) {
		r := watch(t, detector.RegistryConfig{Default: steady})
		a := r.open(detector.Thing{Name: "a"})
		r.pass(10*time.Second, a)
		cfg := steady
		cfg.Suspect, cfg.Detector.Threshold = 8, 900 // z = 64
		require.NoError(t, r.Default().Configure(cfg))
		r.pass(7 * time.Second)
		assert.Equal(t, []string{"a suspected"}, r.told())
		r.pass(time.Second)
		assert.Equal(t, []string{"a failed"}, r.told())
	})
	t.Run("wrongly", func(t *testing.T) {
		r := watch(t, detector.RegistryConfig{Default: steady})
		err := r.Default().Configure(detector.ClassConfig{Suspect: 9, Detector: detector.AdaptiveConfig{Interval: -1}})
		assert.ErrorContains(t, err, "Suspect is 9: must be at most Threshold, 8")
		assert.ErrorContains(t, err, "Interval is -1ns")
		assert.Equal(t, time.Second, r.Default().Config().Detector.Interval)
	})
}

func TestClassesBelongToTheirRegistry(t *testing.T) {
	r, other := watch(t, detector.RegistryConfig{}), watch(t, detector.RegistryConfig{})
	_, err := r.Watch(0, detector.Thing{Name: "a", Class: other.Default()})
	require.ErrorIs(t, err, detector.ErrForeign)
	assert.Zero(t, r.Len())
	assert.ErrorIs(t, r.open(detector.Thing{Name: "a"}).SetClass(other.Default()), detector.ErrForeign)
}

func TestNewThingsInheritWhatTheirClassHasLearned(t *testing.T) {
	for _, inherit := range []bool{true, false} {
		r := watch(t, detector.RegistryConfig{})
		class, err := r.NewClass(detector.ClassConfig{Inherit: inherit})
		require.NoError(t, err)
		stream := func(beats int) detector.Watch {
			w := r.open(detector.Thing{Name: "stream", Unlisted: true, Class: class})
			for range beats {
				r.now += 200 * ms
				w.Beat(r.now)
			}
			return w
		}
		for range 20 {
			stream(50).Close()
		}
		mean := stream(1).Stats().Mean
		if inherit {
			assert.InDelta(t, 200*ms, mean, float64(50*ms))
		} else {
			assert.Equal(t, time.Second, mean)
		}
	}
}

// One mistake in a hundred things teaches the class what one mistake would teach a single thing that lived as long as all of them.
func TestAClassLearnsThePauseFromAllItsThings(t *testing.T) {
	r := watch(t, detector.RegistryConfig{})
	class, err := r.NewClass(detector.ClassConfig{Inherit: true})
	require.NoError(t, err)
	open := func() detector.Watch { return r.open(detector.Thing{Unlisted: true, Class: class}) }
	for i := range 100 {
		w := open()
		for beat := range 20 {
			r.now += time.Second
			if i%10 == 0 && beat == 15 {
				r.now += 10 * time.Second
			}
			w.Beat(r.now)
		}
		w.Close()
	}
	w := open()
	w.Beat(r.now)
	assert.InDelta(t, 10*time.Second, w.Stats().Pause, float64(50*ms), "3 s × 1.28^10, at most 10 s")
}

// New bounds move the pauses of a class and of its things. That isn't learned, and what is learned isn't lost by it.
func TestAClassLearnsNoPauseFromItsConfiguration(t *testing.T) {
	for _, mistakes := range []int{0, 1} {
		config := func(least time.Duration) detector.ClassConfig {
			return detector.ClassConfig{Inherit: true, Detector: detector.AdaptiveConfig{Interval: time.Second, MinPause: least, Pause: max(least, 2*time.Second), MaxPause: time.Minute}}
		}
		r := watch(t, detector.RegistryConfig{})
		class, err := r.NewClass(config(time.Second))
		require.NoError(t, err)
		open := func() detector.Watch { return r.open(detector.Thing{Unlisted: true, Class: class}) }
		beat := func(w detector.Watch, times int) time.Duration {
			for range times {
				r.now += time.Second
				w.Beat(r.now)
			}
			return w.Stats().Pause
		}
		first := open()
		beat(first, 10)
		first.Close()
		var watched []detector.Watch
		for range 5 {
			watched = append(watched, open())
		}
		for _, w := range watched {
			beat(w, 10)
			for range mistakes {
				r.now += 10 * time.Second
				beat(w, 10)
			}
		}
		require.NoError(t, class.Configure(config(4*time.Second)))
		for _, w := range watched {
			w.Close()
		}
		want := 4 * math.Pow(math.Exp(0.25), float64(5*mistakes))
		assert.InDelta(t, want, beat(open(), 1).Seconds(), 0.1, "mistakes %d", mistakes)
	}
}

func TestSubscribersMayPanicAndCallBack(t *testing.T) {
	var r *watching
	var panics []any
	told := 0
	r = watch(t, detector.RegistryConfig{
		Default: steady,
		Subscriber: func(e detector.Event) {
			told++
			r.Sweep(r.now)
			if e.Verdict == detector.Failed {
				e.Watch.Close()
				r.open(detector.Thing{Name: e.Name})
			}
			panic(e.Name)
		},
		Panicked: func(e detector.Event, p any) {
			assert.Equal(t, e.Name, p)
			panics = append(panics, p)
		},
	})
	a, b := r.open(detector.Thing{Name: "a"}), r.open(detector.Thing{Name: "b"})
	r.pass(10*time.Second, a, b)
	r.pass(10 * time.Second)
	assert.ElementsMatch(t, []any{"a", "b", "a", "b"}, panics)
	assert.Equal(t, 4, told)
	assert.Equal(t, 2, r.Len())
}

func TestAllListsWhatIsWatched(t *testing.T) {
	r := watch(t, detector.RegistryConfig{})
	want := map[detector.Watch]bool{}
	for i := range 200 {
		w := r.open(detector.Thing{Name: fmt.Sprint(i), Unlisted: i%3 == 0})
		want[w] = true
		if i%5 == 0 {
			w.Close()
			delete(want, w)
		}
	}
	got := map[detector.Watch]bool{}
	r.All(func(w detector.Watch) bool { got[w] = true; return true })
	assert.Equal(t, want, got)
	n := 0
	r.All(func(detector.Watch) bool { n++; return n < 3 })
	assert.Equal(t, 3, n)
}

func TestInvalidRegistriesAreRefused(t *testing.T) {
	_, err := detector.NewRegistry(detector.RegistryConfig{MaxThings: -1, Default: detector.ClassConfig{Suspect: -1}})
	assert.ErrorContains(t, err, "MaxThings is -1")
	assert.ErrorContains(t, err, "Suspect is -1")
	_, err = detector.NewRegistry(detector.RegistryConfig{Default: detector.ClassConfig{Suspect: 1001}})
	assert.ErrorContains(t, err, "Suspect is 1001")
}

// Everything at once, for the race detector: what lives is never suspected, what is dead always is, whatever else is going on.
func TestARegistryUnderRace(t *testing.T) {
	var mu sync.Mutex
	seen := map[string][]detector.Verdict{}
	r, err := detector.NewRegistry(detector.RegistryConfig{Default: steady, Subscriber: func(e detector.Event) {
		mu.Lock()
		defer mu.Unlock()
		seen[e.Name] = append(seen[e.Name], e.Verdict)
	}})
	require.NoError(t, err)
	clock, err := detector.NewClock(detector.ClockConfig{})
	require.NoError(t, err)
	var alive []detector.Watch
	for i := range 50 {
		w, err := r.Watch(0, detector.Thing{Name: fmt.Sprint("alive", i)})
		require.NoError(t, err)
		alive = append(alive, w)
		dead, err := r.Watch(0, detector.Thing{Name: fmt.Sprint("dead", i)})
		require.NoError(t, err)
		dead.Beat(1)
	}
	var workers sync.WaitGroup
	for g := range 3 {
		workers.Go(func() { // streams come and go
			for i := range 300 {
				w, err := r.Watch(clock.Now(), detector.Thing{Name: fmt.Sprint(g, i), First: time.Minute})
				if !assert.NoError(t, err) {
					return
				}
				for range 5 {
					w.Beat(clock.Now())
				}
				_ = w.Phi(clock.Now())
				assert.NoError(t, w.Suspend())
				assert.NoError(t, w.Resume(clock.Now()))
				assert.True(t, w.Close())
				w.Beat(clock.Now())
			}
		})
	}
	workers.Go(func() {
		for i := range 50 {
			cfg := steady
			cfg.Detector.Threshold = 8 + float64(i%2)
			assert.NoError(t, r.Default().Configure(cfg))
			r.All(func(w detector.Watch) bool { return w.Name() != "?" })
		}
	})
	for i := range 200 {
		now := time.Duration(i) * 20 * ms
		clock.Tick(now)
		for _, w := range alive {
			w.Beat(now)
		}
		r.Sweep(now)
	}
	workers.Wait()
	r.Sweep(4 * time.Second)
	for name, verdicts := range seen {
		assert.Equal(t, "dead", name[:4], "%s: %v", name, verdicts)
		assert.Equal(t, []detector.Verdict{detector.Suspected, detector.Failed}, verdicts, name)
	}
	assert.Len(t, seen, 50)
	assert.Equal(t, 100, r.Len())
}

func TestWatchingAllocatesNothing(t *testing.T) {
	r := watch(t, detector.RegistryConfig{})
	class, err := r.NewClass(detector.ClassConfig{Inherit: true})
	require.NoError(t, err)
	now := time.Duration(0)
	for _, unlisted := range []bool{true, false} {
		assert.Zero(t, testing.AllocsPerRun(1000, func() {
			w, _ := r.Watch(now, detector.Thing{Name: "stream", Unlisted: unlisted, Class: class, First: time.Minute})
			for range 6 {
				now += time.Second
				w.Beat(now)
			}
			_ = w.Phi(now)
			_ = w.Available(now)
			r.Sweep(now)
			w.Close()
		}), "unlisted %v", unlisted)
	}
}
