package actors_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

// traced runs a test with the workshop's tree, and returns the spans of all that happened.
func traced(t *testing.T, hub routing.Options, test func(t *testing.T, tree *actors.Tree, tracer trace.Tracer)) (spans tracetest.SpanStubs) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		exporter := tracetest.NewInMemoryExporter()
		provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
		tree := begin(t, workshop(2), actors.WithTracerProvider(provider), actors.WithHub(hub))
		test(t, tree, provider.Tracer("user"))
		_ = tree.Stop(context.Background())
		spans = exporter.GetSpans()
	})
	return spans
}

// drawn draws spans as a tree: name, status, and the values of the attributes asked for.
func drawn(spans tracetest.SpanStubs, keys ...string) string {
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	var b strings.Builder
	var draw func(parent trace.SpanID, indent string)
	draw = func(parent trace.SpanID, indent string) {
		for _, s := range spans {
			if s.Parent.SpanID() != parent {
				continue
			}
			b.WriteString(indent + s.Name)
			for _, key := range keys {
				for _, kv := range s.Attributes {
					if string(kv.Key) == "mistersmith."+key {
						b.WriteString(" " + kv.Value.String())
					}
				}
			}
			if s.Status.Code == codes.Error {
				b.WriteString(" !" + s.Status.Description)
			}
			b.WriteByte('\n')
			draw(s.SpanContext.SpanID(), indent+"  ")
		}
	}
	draw(trace.SpanID{}, "")
	return b.String()
}

var quickRetry = routing.Options{RetryBackoff: routing.Backoff{Min: time.Second, Max: time.Second, Jitter: -1}, PreferOther: -1}

// submit is above the attempts even if the clock stands still.
func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

func TestTelemetryTracesATaskFromSubmitToEnd(t *testing.T) {
	spans := traced(t, quickRetry, func(t *testing.T, tree *actors.Tree, tracer trace.Tracer) {
		ctx, span := tracer.Start(t.Context(), "request")
		_, err := chore.Do(ctx, tree, "panic once", routing.ID("x"))
		require.NoError(t, err)
		span.End()
	})
	require.Equal(t, sortedLines(`request
  task chore x done 2 true
    submit chore x true
    attempt chore x 1 crashed !crashed: panic: not today
    attempt chore x 2 done
`), sortedLines(drawn(spans, "task.id", "task.state", "task.attempt", "task.outcome", "task.new")))
	for _, s := range spans {
		switch {
		case s.Name == "attempt chore" && s.Status.Code == codes.Error:
			require.Equal(t, trace.SpanKindConsumer, s.SpanKind)
			require.Len(t, s.Events, 1)
			require.Contains(t, fmt.Sprint(s.Events[0].Attributes), "doChore", "the stack")
			require.Contains(t, fmt.Sprint(s.Attributes), "root/worker-")
		case s.Name == "submit chore":
			require.Equal(t, trace.SpanKindProducer, s.SpanKind)
		case s.Name == "task chore":
			require.Equal(t, "retried", s.Events[0].Name)
			require.Equal(t, time.Second, s.EndTime.Sub(s.StartTime), "the backoff is in it")
		}
	}
}

// What user code starts with its context is where it belongs.
func TestTelemetryTracesWhatHandlersDo(t *testing.T) {
	spans := traced(t, quickRetry, func(t *testing.T, tree *actors.Tree, _ trace.Tracer) {
		for _, what := range []string{"span", "subtask"} {
			_, err := chore.Do(t.Context(), tree, what)
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		_, err := chore.Do(t.Context(), tree, "call", routing.Deadline(time.Now().Add(time.Second/2)))
		require.Error(t, err)
	})
	require.Equal(t, sortedLines(`task chore
  submit chore
  attempt chore
    user's own
    call llm succeeded
      user's call
task chore
  submit chore
  attempt chore
    task chore
      submit chore
      attempt chore
task chore !expired
  submit chore
  attempt chore !error: not today
    call llm failed !not today
`), sortedLines(drawn(spans, "breaker.result")))
	traces := map[trace.TraceID]bool{}
	for _, s := range spans {
		traces[s.SpanContext.TraceID()] = true
	}
	require.Len(t, traces, 3, "one for each task that isn't a subtask")
}

// However a task and its attempts end, their spans do, before Stop returns.
func TestTelemetryEndsEverySpan(t *testing.T) {
	hub := quickRetry
	hub.AttemptTimeout, hub.QuarantineAfter = 10*time.Second, 2
	spans := traced(t, hub, func(t *testing.T, tree *actors.Tree, _ trace.Tracer) {
		for _, what := range []string{"error", "panic", "hang", "goexit"} {
			_, err := chore.Do(t.Context(), tree, what, routing.ID(what))
			require.Error(t, err)
			time.Sleep(5 * time.Second)
		}
		_, err := chore.Submit(t.Context(), tree, "hang", routing.ID("killed"))
		require.NoError(t, err)
		_, err = chore.Submit(t.Context(), tree, "hang", routing.ID("cancelled"))
		require.NoError(t, err)
		synctest.Wait()
		tree.Hub().Cancel("cancelled", errChore)
	})
	lines := sortedLines(drawn(spans, "task.id", "task.state", "task.attempt", "task.outcome"))
	for _, want := range []string{
		"task chore error failed 1 !not today", "  attempt chore error 1 error !error: not today",
		"task chore panic quarantined 2 !panic: not today",
		"task chore hang quarantined 2 !attempt timed out", "  attempt chore hang 2 timed out !timed out: attempt timed out",
		"  attempt chore goexit 1 crashed !crashed: " + actors.ErrGoexit.Error(),
		"task chore cancelled cancelled 1 !not today", "  attempt chore cancelled 1 cancelled !cancelled: not today",
	} {
		assert.Contains(t, lines, want)
	}
	for id, spans := range map[string]int{"error": 3, "panic": 4, "hang": 4, "goexit": 4, "killed": 3, "cancelled": 3} {
		n := 0
		for _, line := range lines {
			if strings.Contains(line, "chore "+id+" ") || strings.HasSuffix(line, "submit chore "+id) {
				n++
			}
		}
		assert.Equal(t, spans, n, "%s in\n%s", id, strings.Join(lines, "\n"))
	}
}

func TestTelemetryTracesSubmitsThatMakeNoTask(t *testing.T) {
	hub := quickRetry
	hub.Capacity = 1
	spans := traced(t, hub, func(t *testing.T, tree *actors.Tree, _ trace.Tracer) {
		require.NoError(t, tree.Hub().Declare("idle"))
		idle := routing.NewType[string, string]("idle")
		_, err := idle.Submit(t.Context(), tree, "", routing.ID("x"))
		require.NoError(t, err)
		_, err = idle.Submit(t.Context(), tree, "", routing.ID("x"))
		require.NoError(t, err)
		_, err = idle.Submit(t.Context(), tree, "")
		require.Error(t, err)
	})
	lines := sortedLines(drawn(spans, "task.new", "task.id", "task.state"))
	require.Len(t, lines, 6)
	require.Contains(t, lines, "task idle false x", "it is another's, and goes on")
	require.Contains(t, lines, "  submit idle false x")
	require.Contains(t, lines, "  submit idle true x")
	for _, name := range []string{"task idle false !", "  submit idle false !"} {
		require.True(t, slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, name) }), "%s in %q", name, lines)
	}
}

// Subscribers and the user's own callbacks see nothing of the traces, but what the user's own Carry took along.
func TestTelemetryLeavesTheUsersCarryAlone(t *testing.T) {
	type request struct{}
	var carried, told []any
	hub := quickRetry
	hub.Carry = func(ctx context.Context, taskType string) (any, func(string, bool, error)) {
		return ctx.Value(request{}), func(id string, fresh bool, err error) { told = append(told, id, fresh, err) }
	}
	hub.OnEvent = func(e routing.Event) {
		if e.Task != "" {
			carried = append(carried, e.Carried)
		}
	}
	traced(t, hub, func(t *testing.T, tree *actors.Tree, _ trace.Tracer) {
		s := tree.Subscribe(100, actors.TaskChanged)
		_, err := chore.Do(context.WithValue(t.Context(), request{}, "mine"), tree, "plain", routing.ID("x"))
		require.NoError(t, err)
		synctest.Wait()
		for _, e := range read(s) {
			carried = append(carried, e.Task.Carried)
		}
	})
	require.Equal(t, []any{"mine", "mine", "mine", "mine", "mine", "mine"}, carried)
	require.Equal(t, []any{"x", true, error(nil)}, told)
}

// The page lists every span with its kind and attributes.
func TestTelemetrySpansAreThoseOfThePage(t *testing.T) {
	type row struct{ kind, attributes string }
	listed, found := map[string]row{}, map[string]row{}
	for _, cells := range page(t, "Traces") {
		listed[strings.Fields(strings.Trim(cells[0], "`"))[0]] = row{cells[1], strings.Join(words(cells[2]), " ")}
	}
	spans := traced(t, quickRetry, func(t *testing.T, tree *actors.Tree, _ trace.Tracer) {
		_, err := chore.Do(t.Context(), tree, "call", routing.MaxAttempts(1))
		require.Error(t, err)
	})
	for _, s := range spans {
		var keys []string
		for _, kv := range s.Attributes {
			keys = append(keys, string(kv.Key))
		}
		slices.Sort(keys)
		name, _, _ := strings.Cut(s.Name, " ")
		found[name] = row{s.SpanKind.String(), strings.Join(keys, " ")}
	}
	require.Equal(t, listed, found)
}
