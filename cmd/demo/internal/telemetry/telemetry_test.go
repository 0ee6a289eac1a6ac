package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/routing"
)

func TestOnlyLoopbackIsServed(t *testing.T) {
	for address, want := range map[string]string{":9464": "127.0.0.1:9464", "localhost:1": "127.0.0.1:1", "127.0.0.9:1": "127.0.0.9:1", "[::1]:1": "[::1]:1"} {
		got, err := loopback(address)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, address := range []string{"0.0.0.0:1", "192.168.0.1:1", "example.org:1", "9464", "[::]:1"} {
		_, err := loopback(address)
		require.Error(t, err, address)
	}
	err := Config{Metrics: "0.0.0.0:1", OTLP: "ftp://x"}.Validate()
	require.ErrorContains(t, err, "0.0.0.0:1")
	require.ErrorContains(t, err, "ftp://x", "all faults are named")
	require.NoError(t, Config{}.Validate())
}

// work is a tree with one task done.
func work(t *testing.T, opened *Telemetry) {
	t.Helper()
	echo := routing.NewType[string, string]("echo")
	tree, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{
		actors.Agent("a", echo, func(_ context.Context, s string) (string, error) { return s, nil }),
	}}, opened.Options()...)
	require.NoError(t, err)
	_, err = echo.Do(t.Context(), tree, "x")
	require.NoError(t, err)
	require.NoError(t, tree.Stop(context.Background()))
}

func TestPrometheusCanScrape(t *testing.T) {
	opened, err := Open(t.Context(), Config{Metrics: ":0"})
	require.NoError(t, err)
	work(t, opened)
	resp, err := http.Get(opened.MetricsURL())
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, errors.Join(err, resp.Body.Close()))
	require.Contains(t, string(text), `mistersmith_tasks_submitted_total{mistersmith_task_type="echo",`)
	require.Contains(t, string(text), "# TYPE mistersmith_task_handler_duration_seconds histogram")

	_, err = Open(t.Context(), Config{Metrics: opened.address})
	require.Error(t, err, "it is taken")
	require.NoError(t, opened.Close(context.Background()))
	_, err = http.Get(opened.MetricsURL())
	require.Error(t, err)
}

func TestTheEnvironmentSaysHowLongAPushMayTake(t *testing.T) {
	for said, want := range map[string]time.Duration{"": exportTimeout, "250": 250 * time.Millisecond, "0": exportTimeout, "-1": exportTimeout, "3s": exportTimeout, "99999999999999": exportTimeout} {
		require.Equal(t, want, timeoutFrom(func(string) string { return said }), said)
	}
}

// patiently gives a machine that has little time for it as much as it needs to tell a collector.
func patiently(t *testing.T) { t.Setenv(TimeoutVariable, "120000") }

func TestCollectorGetsBoth(t *testing.T) {
	patiently(t)
	var mu sync.Mutex
	got := map[string][]byte{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		data, _ := io.ReadAll(body)
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] = append(got[r.URL.Path], data...)
	}))
	defer collector.Close()
	opened, err := Open(t.Context(), Config{OTLP: collector.URL + "/"})
	require.NoError(t, err)
	require.Empty(t, opened.MetricsURL())
	work(t, opened)
	require.NoError(t, opened.Close(context.Background()))
	for path, want := range map[string][]string{"/v1/traces": {"task echo", "attempt echo", "submit echo", "mistersmith-demo"}, "/v1/metrics": {"mistersmith.tasks.settled"}} {
		for _, text := range want {
			require.True(t, bytes.Contains(got[path], []byte(text)), "%s at %s", text, path)
		}
	}
}

// A collector that isn't there costs a few seconds at most, and is told of.
func TestCollectorThatIsNotThere(t *testing.T) {
	patiently(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	opened, err := Open(t.Context(), Config{OTLP: gone.URL})
	require.NoError(t, err)
	work(t, opened)
	began := time.Now()
	require.Error(t, opened.Close(context.Background()))
	require.Less(t, time.Since(began), time.Minute, "it isn't tried again and again")
}

func TestNothingIsOpenedUnasked(t *testing.T) {
	opened, err := Open(t.Context(), Config{})
	require.NoError(t, err)
	require.Empty(t, opened.Options())
	answer, err := opened.Chat(t.Context(), model.Client{Model: "m"}, "t", 1, func(context.Context, func()) (model.Completion, error) {
		return model.Completion{Text: "yes"}, nil
	})
	require.NoError(t, err)
	require.Equal(t, "yes", answer.Text)
	require.False(t, opened.Wanted())
	require.NoError(t, opened.Close(t.Context()))
}

func keys(of attribute.Set) []string {
	var all []string
	for _, kv := range of.ToSlice() {
		all = append(all, string(kv.Key))
	}
	return all
}

// The page lists what is told of a model call: the span and the metrics, with all attributes they may have.
func TestTelemetryOfModelCallsIsThatOfThePage(t *testing.T) {
	reader, spans := sdkmetric.NewManualReader(), tracetest.NewInMemoryExporter()
	c, err := newChats(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	require.NoError(t, err)
	opened := &Telemetry{chats: c}
	client := model.Client{Model: "m", BaseURL: "http://127.0.0.1:80/v1"}
	for _, fails := range []error{nil, &model.StatusError{Code: 500}, &model.OverloadedError{Code: 429}, &model.CutError{}, &model.FormatError{}, context.DeadlineExceeded, fmt.Errorf("%w", context.Canceled), io.EOF} {
		_, err := opened.Chat(t.Context(), client, "t", 2, func(_ context.Context, chunk func()) (model.Completion, error) {
			chunk()
			chunk()
			if fails != nil {
				return model.Completion{}, fails
			}
			return model.Completion{Text: "ab", Tokens: model.Tokens{Input: 30, Output: 2}}, nil
		})
		require.Equal(t, fails, err)
	}
	for _, operation := range []string{"embeddings", "text_completion"} {
		for _, fails := range []error{nil, io.EOF} {
			_, err := opened.Request(t.Context(), operation, client, "t", 2, func(context.Context) (model.Reply, error) {
				return model.Reply{Body: []byte(`{"usage":{"prompt_tokens":30,"completion_tokens":2}}`)}, fails
			})
			require.Equal(t, fails, err)
		}
	}
	found := map[string]map[string]bool{}
	var kinds []string
	note := func(name string, set attribute.Set) {
		if found[name] == nil {
			found[name] = map[string]bool{}
		}
		for _, key := range keys(set) {
			found[name][key] = true
		}
	}
	for _, s := range spans.GetSpans() {
		set := attribute.NewSet(s.Attributes...)
		note("`"+strings.TrimSuffix(s.Name, "m")+"M` | span, client |", set)
		if s.Name != "chat m" {
			continue
		}
		v, _ := set.Value("error.type")
		kinds = append(kinds, v.AsString())
		n, _ := set.Value(chunksKey)
		require.EqualValues(t, 2, n.AsInt64())
		if in, told := set.Value("gen_ai.usage.input_tokens"); told {
			out, _ := set.Value("gen_ai.usage.output_tokens")
			require.Equal(t, []int64{30, 2}, []int64{in.AsInt64(), out.AsInt64()})
			require.Empty(t, v.AsString(), "a call that failed tells of no tokens")
		}
	}
	require.Equal(t, []string{"", "500", "429", "cut", "format", "timeout", "cancelled", "_OTHER"}, kinds)
	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &data))
	for _, m := range data.ScopeMetrics[0].Metrics {
		row := "`" + m.Name + "` | histogram | `" + m.Unit + "`"
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				note(row, p.Attributes)
			}
		case metricdata.Histogram[int64]:
			for _, p := range data.DataPoints {
				note(row, p.Attributes)
				kind, _ := p.Attributes.Value("gen_ai.token.type")
				require.Equal(t, map[string]int64{"input": 30, "output": 2}[kind.AsString()], p.Sum/int64(p.Count))
			}
		}
	}
	text, err := os.ReadFile("../../../../docs/TELEMETRY.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(text), "## Model calls")
	rows := 0
	for _, line := range strings.Split(section, "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "| "), "|")
		name := strings.TrimSpace(strings.Join(cells[:3], "|"))
		listed := strings.Fields(strings.ReplaceAll(cells[3], "`", " "))
		assert.Equal(t, listed, slices.Sorted(maps.Keys(found[name])), name)
	}
	require.Len(t, found, rows)
}
