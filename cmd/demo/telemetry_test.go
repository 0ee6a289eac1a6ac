package main

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// Telemetry is beside the work: a collector that isn't there is told of, and changes nothing.
func TestRunWithoutItsCollector(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	code, stdout, stderr := demo("--input", project(t, oneFile), "--out", t.TempDir(), "--otlp", gone.URL, "--metrics", ":0")
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Contains(t, stdout, "verdict    ok")
	require.Contains(t, stderr, "telemetry is lost")
	require.Contains(t, stderr, "metrics are served url=http://127.0.0.1:")
}

func TestTelemetryUsageErrors(t *testing.T) {
	for _, args := range [][]string{{"--metrics", "0.0.0.0:9464"}, {"--metrics", "9464"}, {"--otlp", "127.0.0.1:4318"}} {
		code, stdout, stderr := demo(args...)
		require.Equal(t, summary.ExitUsage, code, args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, args[1])
	}
}
