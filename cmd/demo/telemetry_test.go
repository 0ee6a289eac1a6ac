package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/telemetry"
)

// Telemetry is beside the work: a collector that isn't there is told of, and changes nothing.
func TestRunWithoutItsCollector(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	code, stdout, stderr := demo("--input", project(t, oneFile), "--chaos", "off", "--out", t.TempDir(), "--otlp", gone.URL, "--metrics", ":0")
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

// A collector is told how many tokens each call to the model took, and what is looked up in the tree, which is gone at the end.
func TestACollectorIsToldAll(t *testing.T) {
	t.Setenv(telemetry.TimeoutVariable, "120000") // a machine that has little time for it
	var mu sync.Mutex
	got := map[string][]byte{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		assert.NoError(t, err)
		got[r.URL.Path] = append(got[r.URL.Path], data...)
	}))
	defer collector.Close()
	code, _, stderr := demo("--input", project(t, oneFile), "--chaos", "off", "--out", t.TempDir(), "--otlp", collector.URL)
	require.Equal(t, summary.ExitOK, code, stderr)
	mu.Lock()
	defer mu.Unlock()
	require.Contains(t, string(got["/v1/traces"]), "gen_ai.usage.input_tokens")
	require.Contains(t, string(got["/v1/traces"]), "gen_ai.usage.output_tokens")
	for _, name := range []string{"gen_ai.client.token.usage", "mistersmith.abandoned", "mistersmith.nodes", "mistersmith.queue.depth", "mistersmith.tasks.unsettled"} {
		require.Contains(t, string(got["/v1/metrics"]), name)
	}
}
