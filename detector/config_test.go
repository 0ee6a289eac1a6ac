package detector_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/detector"
)

func TestZeroConfigHasTheDefaults(t *testing.T) {
	assert.Equal(t, detector.Config{
		Threshold: 8, FirstEstimate: time.Second, MinStdDev: 100 * ms, Window: 1000, Curve: detector.Normal,
	}, newAccrual(t, detector.Config{}).Config())
}

func TestInvalidConfigIsRefused(t *testing.T) {
	for want, cfg := range map[string]detector.Config{
		"Threshold is -1: must be between 0 (default) and 1000":           {Threshold: -1},
		"Threshold is NaN: must be between 0 (default) and 1000":          {Threshold: math.NaN()},
		"Threshold is +Inf: must be between 0 (default) and 1000":         {Threshold: math.Inf(1)},
		"FirstEstimate is -1ns: must be between 0 (default) and 24h0m0s":  {FirstEstimate: -1},
		"MinStdDev is -1s: must be between 0 (default) and 24h0m0s":       {MinStdDev: -time.Second},
		"AcceptablePause is 25h0m0s: must be between 0 (default) and 24h": {AcceptablePause: 25 * time.Hour},
		"Window is -1: must be between 0 (default) and 4000":              {Window: -1},
		"Window is 4001: must be between 0 (default) and 4000":            {Window: 4001},
		"Curve is 2: must be Normal or Logistic":                          {Curve: 2},
	} {
		t.Run(want, func(t *testing.T) {
			d, err := detector.NewAccrual(cfg)
			assert.Nil(t, d)
			assert.ErrorContains(t, err, want)
		})
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	_, err := detector.NewAccrual(detector.Config{Threshold: -1, FirstEstimate: -1, MinStdDev: -1, AcceptablePause: -1, Window: -1, Curve: 9})
	require.Error(t, err)
	for _, field := range []string{"Threshold", "FirstEstimate", "MinStdDev", "AcceptablePause", "Window", "Curve"} {
		assert.ErrorContains(t, err, field)
	}
}

func TestInvalidDeadlineIsRefused(t *testing.T) {
	_, err := detector.NewDeadline(0, -time.Second)
	assert.ErrorContains(t, err, "interval is 0: must be positive")
	assert.ErrorContains(t, err, "pause is -1s")
	_, err = detector.NewDeadline(-1, 0)
	assert.ErrorContains(t, err, "interval is -1ns")
}

func TestCurveNames(t *testing.T) {
	assert.Equal(t, "normal", detector.Normal.String())
	assert.Equal(t, "logistic", detector.Logistic.String())
	assert.Equal(t, "unknown", detector.Curve(7).String())
}
