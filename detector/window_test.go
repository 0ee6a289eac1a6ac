package detector

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// milliseconds makes a window out of samples, around the default origin.
func milliseconds(limit int, samples ...float64) *window {
	w := newWindow(limit, time.Second)
	for _, s := range samples {
		w.add(time.Duration(s * float64(time.Millisecond)))
	}
	return &w
}

func TestWindowVectors(t *testing.T) {
	tests := map[string]struct {
		limit          int
		samples        []float64
		mean, variance float64
	}{
		"five samples":           {20, []float64{100, 200, 125, 340, 130}, 179, 7584},
		"one sample":             {20, []float64{100}, 100, 0},
		"full":                   {3, []float64{100, 110, 90}, 100, 66.6667},
		"one forgotten":          {3, []float64{100, 110, 90, 140}, 113.3333, 422.2222},
		"two forgotten":          {3, []float64{100, 110, 90, 140, 80}, 103.3333, 688.8889},
		"one to five, four wide": {4, []float64{1, 2, 3, 4, 5}, 3.5, 1.25},
		"nothing":                {4, nil, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := milliseconds(tt.limit, tt.samples...)
			assert.InDelta(t, tt.mean, w.mean()/1e6, 1e-4)
			assert.InDelta(t, tt.variance, math.Pow(w.stddev()/1e6, 2), 1e-4)
		})
	}
}

func TestWindowHoldsTheLargestSums(t *testing.T) {
	w := newWindow(maxWindow, 0)
	for range 3 * maxWindow {
		w.add(math.MaxInt64)
	}
	assert.Equal(t, uint64(maxWindow)<<52, w.squares)
	assert.Zero(t, w.stddev(), "all alike, however large: no cancellation is left over")
	for i := range maxWindow {
		if i%2 == 0 {
			w.add(math.MinInt64)
		} else {
			w.add(math.MaxInt64)
		}
	}
	assert.Zero(t, w.mean())
	assert.InDelta(t, float64(maxDeviation)*1000, w.stddev(), 1)
}

// The model keeps every sample and computes with integers of any size.
func TestWindowAgreesWithBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 50).Draw(t, "limit")
		origin := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "origin"))
		interval := rapid.OneOf(
			rapid.Int64Range(0, int64(2*time.Minute)), rapid.Int64Range(999e6, 1001e6), rapid.Int64(),
		)
		w := newWindow(limit, origin)
		var kept []*big.Int
		for _, x := range rapid.SliceOfN(interval, 1, 200).Draw(t, "intervals") {
			w.add(time.Duration(x))
			kept = append(kept, modelDeviation(x, int64(origin)))
			kept = kept[max(0, len(kept)-limit):]

			sum, squares := new(big.Int), new(big.Int)
			for _, d := range kept {
				sum.Add(sum, d)
				squares.Add(squares, new(big.Int).Mul(d, d))
			}
			if len(w.samples) != len(kept) || w.sum != sum.Int64() || w.squares != squares.Uint64() {
				t.Fatalf("%d samples, Σd = %d, Σd² = %d; want %d, %v, %v", len(w.samples), w.sum, w.squares, len(kept), sum, squares)
			}
			n := big.NewInt(int64(len(kept)))
			numerator := new(big.Int).Sub(new(big.Int).Mul(n, squares), new(big.Int).Mul(sum, sum))
			root, _ := new(big.Float).Sqrt(new(big.Float).SetInt(numerator)).Float64()
			if want := 1000 * root / float64(len(kept)); math.Abs(w.stddev()-want) > 1e-12*want {
				t.Fatalf("stddev %v, want %v", w.stddev(), want)
			}
		}
	})
}

// modelDeviation is the interval off the origin, in microseconds, rounded half away from zero and capped.
func modelDeviation(interval, origin int64) *big.Int {
	d := new(big.Int).Sub(big.NewInt(interval), big.NewInt(origin))
	half := big.NewInt(500 * int64(max(d.Sign(), -1)))
	if d.Sign() == 0 {
		half.SetInt64(0)
	}
	d.Quo(d.Add(d, half), big.NewInt(1000))
	if limit := big.NewInt(maxDeviation); d.CmpAbs(limit) > 0 {
		limit.Mul(limit, big.NewInt(int64(d.Sign())))
		return limit
	}
	return d
}
