package detector_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/detector"
)

func logistic(elapsed, mean, stddev float64) float64 {
	return detector.Logistic.Phi((elapsed - mean) / stddev)
}

func TestPhiVectors(t *testing.T) {
	tests := []struct {
		elapsed, mean, stddev float64
		normal, normalWithin  float64
		logistic, within      float64
	}{
		{0, 1000, 100, 0, 0, 0, 1e-12},
		{500, 1000, 100, 1.2e-7, 1e-8, 0, 1e-4},
		{1000, 1000, 100, .30103, 1e-8 + 5e-6, .30103, 5e-6},
		{1200, 1000, 100, 1.6430, 5e-5, 1.6428, 5e-5},
		{1400, 1000, 100, 4.4993, 5e-5, 4.7367, 5e-5},
		{1600, 1000, 100, 9.0059, 5e-5, 10.7826, 5e-5},
		{1700, 1000, 100, 11.8929, 5e-5, 15.3685, 5e-5},
		{10, 0, 1, 23.118, 5e-4, 37.585, 5e-4},
		{-25, 0, 1, 0, 0, 0, 1e-100},
		{1100, 1000, 500, .3760, 5e-5, .3761, 5e-5},
		{1100, 1000, 100, .7995, 6e-5, .7995, 6e-5},
	}
	for _, tt := range tests {
		assert.InDelta(t, tt.normal, detector.Phi(tt.elapsed, tt.mean, tt.stddev), tt.normalWithin, "normal %+v", tt)
		assert.InDelta(t, tt.logistic, logistic(tt.elapsed, tt.mean, tt.stddev), tt.within, "logistic %+v", tt)
	}
}

// The bands that the specifications of the original implementations give, which the logistic curve must meet.
func TestLogisticMeetsTheBandsOfItsSpecification(t *testing.T) {
	for _, tt := range []struct{ elapsed, mean, stddev, want, within float64 }{
		{0, 1000, 100, 0, 1e-9}, {500, 1000, 100, .1, .1}, {1000, 1000, 100, .3, .1}, {1200, 1000, 100, 1.6, .1},
		{1400, 1000, 100, 4.7, .1}, {1600, 1000, 100, 10.8, .1}, {1700, 1000, 100, 15.3, .1}, {10, 0, 1, 38, 1}, {-25, 0, 1, 0, 0.0},
	} {
		assert.InDelta(t, tt.want, logistic(tt.elapsed, tt.mean, tt.stddev), tt.within, "%+v", tt)
	}
}

func TestPhiAsProbability(t *testing.T) {
	for _, tt := range []struct{ elapsed, mean, stddev, want, within float64 }{
		{0, 0, 10, .5, 1e-3}, {6, 0, 10, .7257, 1e-3}, {15, 0, 10, .9332, 1e-3}, {20, 0, 10, .97725, 1e-3},
		{25, 0, 10, .99379, 1e-3}, {35, 0, 10, .99977, 1e-3}, {40, 0, 10, .99997, 1e-4}, {22, 20, 3, .7475, 1e-3},
	} {
		assert.InDelta(t, tt.want, 1-math.Pow(10, -detector.Phi(tt.elapsed, tt.mean, tt.stddev)), tt.within, "normal %+v", tt)
		assert.InDelta(t, tt.want, 1-math.Pow(10, -logistic(tt.elapsed, tt.mean, tt.stddev)), tt.within, "logistic %+v", tt)
	}
}

func TestPhiRises(t *testing.T) {
	for _, curve := range []detector.Curve{detector.Normal, detector.Logistic} {
		for elapsed := 1.0; elapsed <= 40; elapsed++ {
			assert.Greater(t, curve.Phi(elapsed/10), curve.Phi((elapsed-1)/10), "%v strictly, 0..40 with deviation 10", curve)
		}
		last := curve.Phi(-10)
		for i := -99_999; i <= 1_000_000; i++ {
			phi := curve.Phi(float64(i) * 1e-4)
			if phi < last {
				t.Fatalf("%v falls at z = %v", curve, float64(i)*1e-4)
			}
			last = phi
		}
		for z := 100.1; z < 1e6; z *= 1.001 {
			phi := curve.Phi(z)
			require.Greater(t, phi, last, "%v at z = %v", curve, z)
			last = phi
		}
		below, at, above := curve.Phi(math.Nextafter(0, -1)), curve.Phi(0), curve.Phi(math.Nextafter(0, 1))
		assert.LessOrEqual(t, below, at, "%v where its two formulas meet", curve)
		assert.LessOrEqual(t, at, above)
	}
}

func TestPhiOfNonsense(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	assert.Zero(t, detector.Phi(nan, 1, 1), "no evidence")
	assert.Zero(t, detector.Phi(1, nan, 1))
	assert.Zero(t, detector.Phi(inf, inf, 1))
	assert.Zero(t, detector.Phi(-inf, 0, 1))
	largest := detector.Normal.Phi(1e6)
	assert.Equal(t, largest, detector.Phi(inf, 0, 1), "clamped")
	assert.Equal(t, largest, detector.Phi(1e7, 0, 1))
	assert.Equal(t, largest, detector.Phi(2, 1, 0))
	assert.Equal(t, largest, detector.Phi(2, 1, -5))
	assert.Equal(t, largest, detector.Phi(2, 1, nan))
	assert.Zero(t, detector.Phi(0, 1, 0))
	assert.InDelta(t, math.Log10(2), detector.Phi(1, 1, 0), 1e-8)
}

func TestExactZOfThresholds(t *testing.T) {
	for phi, z := range map[float64]float64{1: 1.2816, 3: 3.0902, 5: 4.2649, 8: 5.6120, 10: 6.3613, 12: 7.0345, 16: 8.2221} {
		assert.InDelta(t, z, detector.Normal.Z(phi), 5e-5)
	}
	for akka, truth := range map[float64]float64{8: 7.06, 10: 8.48, 12: 9.81, 16: 12.27} {
		assert.InDelta(t, truth, detector.Normal.Phi(detector.Logistic.Z(akka)), 5e-3, "what Akka's %v means", akka)
	}
	for _, curve := range []detector.Curve{detector.Normal, detector.Logistic} {
		for phi := 1e-6; phi < 1e9; phi *= 1.7 {
			z := curve.Z(phi)
			assert.GreaterOrEqual(t, curve.Phi(z), phi)
			assert.Less(t, curve.Phi(z-1e-6-1e-9*math.Abs(z)), phi)
		}
	}
}

// TestErrorAgainstBigFloats holds Phi against a reference of 160 bits. A float64 near 2e11, phi at z = 1e6, has a
// resolution of 3e-5: there the error may be a few of those.
func TestErrorAgainstBigFloats(t *testing.T) {
	check := func(z float64) {
		want := referencePhi(z)
		got := detector.Normal.Phi(z)
		difference, _ := new(big.Float).Sub(want, big.NewFloat(got)).Float64()
		resolution := math.Nextafter(got, math.Inf(1)) - got
		if math.Abs(difference) > math.Max(1e-8, 4*resolution) {
			t.Fatalf("z = %v: phi %v is off by %g", z, got, difference)
		}
	}
	for i := range 1000 {
		check(-10 + float64(i)*0.02003)
	}
	for z := 10.0; z < 1e6; z *= 1.05 {
		check(z)
	}
	check(1e6)
}

const precision = 160

func number(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }

// referencePhi is -log10 Q(z). Far above the mean, Q = φ(z)/(z + 1/(z + 2/(z + 3/(...)))); near it, by the series of Φ;
// below it, -log1p(-Q(-z)).
func referencePhi(z float64) *big.Float {
	ln10, _ := new(big.Float).SetPrec(precision).SetString("2.302585092994045684017991454684364207601101488628772976033327900967572609677352480235997205089598298341967784")
	var ln float64 // of what is not the exactly known -z²/2
	exact := number(0)
	switch {
	case z < 0:
		q := math.Pow(10, -float64Of(referencePhi(-z)))
		ln = math.Log1p(-q)
	case z < 4:
		q, _ := new(big.Float).Sub(number(0.5), series(z)).Float64()
		ln = math.Log(q)
	default:
		exact.Quo(number(z).Mul(number(z), number(z)), number(2))
		ln = -math.Log(fraction(z)) - 0.918938533204672741780329736406 // ln √2π
	}
	phi := exact.Sub(exact, number(ln))
	return phi.Quo(phi, ln10)
}

func float64Of(x *big.Float) float64 { f, _ := x.Float64(); return f }

// fraction is Laplace's continued fraction for φ(z)/Q(z), from its tail.
func fraction(z float64) float64 {
	x := number(z)
	for k := 250; k > 0; k-- {
		x.Add(number(z), new(big.Float).SetPrec(precision).Quo(number(float64(k)), x))
	}
	return float64Of(x)
}

// series is Φ(z) - 1/2 = φ(z)·(z + z³/3 + z⁵/15 + …), whose terms are all positive.
func series(z float64) *big.Float {
	square := new(big.Float).SetPrec(precision).Mul(number(z), number(z))
	term, sum := number(z), number(z)
	for k := 3; k < 200; k += 2 {
		term.Mul(term, square).Quo(term, number(float64(k)))
		sum.Add(sum, term)
	}
	// e^(-z²/2) = 1/e^(z²/2), again without cancellation
	half := new(big.Float).SetPrec(precision).Quo(square, number(2))
	e, power := number(1), number(1)
	for k := 1; k < 80; k++ {
		power.Mul(power, half).Quo(power, number(float64(k)))
		e.Add(e, power)
	}
	twoPi, _ := new(big.Float).SetPrec(precision).SetString("6.283185307179586476925286766559005768394338798750211641949889184615632812572417997256069650684234135964296173")
	return sum.Quo(sum, e.Mul(e, twoPi.Sqrt(twoPi)))
}

func FuzzPhi(f *testing.F) {
	for _, seed := range [][3]float64{{0, 0, 0}, {1, 1, 1}, {1e308, -1e308, 1e-308}, {math.NaN(), math.Inf(1), math.Inf(-1)}, {5, 1, -1}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, elapsed, mean, stddev float64) {
		for _, phi := range []float64{
			detector.Phi(elapsed, mean, stddev), detector.Normal.Phi(elapsed), detector.Logistic.Phi(elapsed),
			detector.Normal.Phi(detector.Normal.Z(elapsed)),
		} {
			if math.IsNaN(phi) || math.IsInf(phi, 0) || phi < 0 {
				t.Fatalf("Phi(%v, %v, %v) = %v", elapsed, mean, stddev, phi)
			}
		}
	})
}
