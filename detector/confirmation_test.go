package detector_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/mistersmith/mistersmith/detector"
)

// memberlist's vectors.
func TestConfirmationsShortenTheWait(t *testing.T) {
	c := detector.Confirmation{Min: 2 * time.Second, Max: 30 * time.Second, Enough: 3}
	for _, tt := range []struct {
		n             int
		elapsed, left time.Duration
	}{{0, 0, 30 * time.Second}, {1, 2 * time.Second, 14 * time.Second}, {2, 3 * time.Second, 4810 * ms}, {3, 4 * time.Second, -2 * time.Second},
		{9, 0, 2 * time.Second}, {-1, 0, 30 * time.Second}} {
		assert.InDelta(t, tt.left, c.Remaining(tt.n, tt.elapsed), float64(5*ms), "%+v", tt)
	}
	assert.Equal(t, time.Second, detector.Confirmation{Min: time.Second, Max: time.Hour}.Remaining(0, 0))
}
