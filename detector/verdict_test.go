package detector_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/mistersmith/mistersmith/detector"
)

func TestVerdictNames(t *testing.T) {
	assert.Equal(t, "healthy", detector.Healthy.String())
	assert.Equal(t, "suspected", detector.Suspected.String())
	assert.Equal(t, "failed", detector.Failed.String())
	assert.Equal(t, "unknown", detector.Verdict(9).String())
}
