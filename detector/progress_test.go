package detector_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/mistersmith/mistersmith/detector"
)

func TestProgress(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		progress detector.Progress
		now      time.Duration
		want     detector.Verdict
		silent   time.Duration
	}{
		"idle for a day":                       {detector.Progress{Limit: s}, 24 * time.Hour, detector.Healthy, 0},
		"busy":                                 {detector.Progress{Busy: true, Last: 10 * s, Limit: 2 * s}, 10900 * ms, detector.Healthy, 900 * ms},
		"half its limit":                       {detector.Progress{Busy: true, Last: 10 * s, Limit: 2 * s}, 11 * s, detector.Suspected, s},
		"just within it":                       {detector.Progress{Busy: true, Last: 10 * s, Limit: 2 * s}, 12*s - 1, detector.Suspected, 2*s - 1},
		"hung":                                 {detector.Progress{Busy: true, Last: 10 * s, Limit: 2 * s}, 12 * s, detector.Failed, 2 * s},
		"a limit below the floor":              {detector.Progress{Busy: true, Limit: ms}, 100 * ms, detector.Healthy, 100 * ms},
		"at the floor":                         {detector.Progress{Busy: true, Limit: ms}, 250 * ms, detector.Failed, 250 * ms},
		"no limit":                             {detector.Progress{Busy: true}, time.Hour, detector.Healthy, time.Hour},
		"suspended":                            {detector.Progress{Busy: true, Suspended: true, Limit: s}, time.Hour, detector.Healthy, 0},
		"granted a minute":                     {detector.Progress{Busy: true, Limit: s, Until: 60 * s}, 60 * s, detector.Healthy, 0},
		"back from it, and silent":             {detector.Progress{Busy: true, Limit: s, Until: 60 * s}, 61 * s, detector.Failed, s},
		"progress after what was granted":      {detector.Progress{Busy: true, Last: 70 * s, Limit: s, Until: 60 * s}, 70100 * ms, detector.Healthy, 100 * ms},
		"a stamp later than the reading":       {detector.Progress{Busy: true, Last: 70 * s, Limit: s}, 60 * s, detector.Healthy, 0},
		"a stamp before the beginning of time": {detector.Progress{Busy: true, Last: math.MinInt64, Until: math.MinInt64, Limit: s}, s, detector.Failed, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			verdict, silent := tt.progress.Judge(tt.now)
			assert.Equal(t, tt.want, verdict)
			assert.Equal(t, tt.silent, silent)
		})
	}
}

func TestVerdictNames(t *testing.T) {
	assert.Equal(t, "healthy", detector.Healthy.String())
	assert.Equal(t, "suspected", detector.Suspected.String())
	assert.Equal(t, "failed", detector.Failed.String())
	assert.Equal(t, "unknown", detector.Verdict(9).String())
}
