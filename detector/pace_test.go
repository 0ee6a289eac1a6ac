package detector

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPaceKnowsNothingAtFirst(t *testing.T) {
	var p Pace
	require.Zero(t, p.Phi(time.Hour))
	p.Observe(0)
	p.Observe(-time.Second)
	require.Zero(t, p.Samples())
	require.Zero(t, p.Phi(time.Hour))
}

func TestPaceOfRegularWorkSuspectsAtTheLeastDeviation(t *testing.T) {
	var p Pace
	for range 1000 {
		p.Observe(100 * time.Millisecond)
	}
	for _, threshold := range []float64{5, 8, 12} {
		limit := 0.1 * math.Exp(minLogDeviation*Normal.Z(threshold))
		require.InDelta(t, threshold, p.Phi(time.Duration(limit*float64(time.Second))), 1e-6)
	}
}

// The intervals are lognormal: what phi says is how rarely a longer one comes.
func TestPaceIsRightAboutLognormalWork(t *testing.T) {
	const mean, deviation = 0.7, 1.5
	r := rand.New(rand.NewPCG(1, 2))
	interval := func() time.Duration {
		return time.Duration(math.Exp(mean+deviation*r.NormFloat64()) * float64(time.Second))
	}
	var p Pace
	for range 20_000 {
		p.Observe(interval())
	}
	const rounds = 100_000
	for _, phi := range []float64{1, 2} {
		wrong := 0
		for range rounds {
			i := interval()
			if p.Phi(i) >= phi {
				wrong++
			}
			p.Observe(i)
		}
		expected := math.Pow(10, -phi) * rounds
		require.Less(t, float64(wrong), 1.1*expected, "phi %v", phi)
		require.Greater(t, float64(wrong), 0.2*expected, "phi %v: the more patient of two averages, but no more than that", phi)
	}
}

func TestPaceFollowsSlowerWorkFastAndFasterWorkSlowly(t *testing.T) {
	var p Pace
	observe := func(n int, interval time.Duration) {
		for range n {
			p.Observe(interval)
		}
	}
	observe(1000, 10*time.Millisecond)
	require.Greater(t, p.Phi(10*time.Second), 12.0)
	observe(8, 10*time.Second)
	require.Less(t, p.Phi(10*time.Second), 1.0)
	observe(32, 10*time.Millisecond)
	require.Less(t, p.Phi(10*time.Second), 12.0, "the slow ones are not forgotten at once")
	observe(5000, 10*time.Millisecond)
	require.Greater(t, p.Phi(10*time.Second), 12.0)
}

func TestPaceRisesWithTheSilence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Pace
		for _, ms := range rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 1, 50).Draw(t, "µs") {
			p.Observe(time.Duration(ms) * time.Microsecond)
		}
		a := time.Duration(rapid.Int64().Draw(t, "a"))
		b := time.Duration(rapid.Int64().Draw(t, "b"))
		low, high := p.Phi(min(a, b)), p.Phi(max(a, b))
		if low > high || low < 0 || math.IsNaN(low) || math.IsInf(high, 0) {
			t.Fatalf("phi(%v) is %v, phi(%v) is %v", min(a, b), low, max(a, b), high)
		}
	})
}

func TestPaceIsAsPatientAsTheLongestOfLate(t *testing.T) {
	var p Pace
	require.Zero(t, p.Patience())
	p.CutShort(0)
	require.Zero(t, p.Patience())
	observe := func(n int, interval time.Duration) {
		for range n {
			p.Observe(interval)
		}
	}
	about := func(expected time.Duration) {
		t.Helper()
		require.InEpsilon(t, expected, p.Patience(), 1e-6)
	}
	observe(100, 10*time.Millisecond)
	about(20 * time.Millisecond)
	observe(1, time.Second)
	about(2 * time.Second)
	observe(slowMemory, 10*time.Millisecond)
	about(time.Second)
	observe(20*slowMemory, 10*time.Millisecond)
	about(20 * time.Millisecond)
}

// Who ends a silence doesn't know how long it would have been: each time the next one has four times as long, and only what was observed changes phi.
func TestPaceGivesMoreTimeToWhatWasCutShort(t *testing.T) {
	var p Pace
	for range 100 {
		p.Observe(10 * time.Millisecond)
	}
	before := p.Phi(time.Second)
	for _, silence := range []time.Duration{time.Second, 4 * time.Second, 16 * time.Second} {
		p.CutShort(silence)
		require.InEpsilon(t, 4*silence, p.Patience(), 1e-6)
	}
	p.CutShort(time.Second)
	require.InEpsilon(t, 64*time.Second, p.Patience(), 1e-6, "a shorter one says nothing new")
	require.Equal(t, before, p.Phi(time.Second))
	require.EqualValues(t, 100, p.Samples())
	p.CutShort(math.MaxInt64)
	require.Greater(t, p.Patience(), 100*365*24*time.Hour)
}

func TestPaceFromManyGoroutines(t *testing.T) {
	var p Pace
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				p.Observe(time.Millisecond)
				p.Phi(time.Second)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 4000, p.Samples())
}

func BenchmarkPace(b *testing.B) {
	var p Pace
	for range 100 {
		p.Observe(time.Millisecond)
	}
	b.Run("observe", func(b *testing.B) {
		for b.Loop() {
			p.Observe(time.Millisecond)
		}
	})
	b.Run("phi", func(b *testing.B) {
		for b.Loop() {
			p.Phi(time.Second)
		}
	})
}
