package actors_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var (
	chore    = routing.NewType[string, string]("chore")
	errChore = errors.New("not today")
)

// doChore does what its input says.
func doChore(ctx context.Context, what string) (string, error) {
	info, _ := routing.FromContext(ctx)
	switch what {
	case "error":
		return "", routing.Permanent(errChore)
	case "panic":
		panic(errChore)
	case "panic once":
		if info.Attempt == 1 {
			panic(errChore)
		}
	case "hang":
		time.Sleep(time.Hour)
	case "goexit":
		runtime.Goexit()
	case "call":
		return actors.Guard(ctx, "llm", func(context.Context) (string, error) { return "", errChore })
	case "span":
		_, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("user").Start(ctx, "user's own")
		span.End()
		return actors.Guard(ctx, "llm", func(ctx context.Context) (string, error) {
			_, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("user").Start(ctx, "user's call")
			span.End()
			return "", nil
		})
	case "subtask":
		tree, _ := actors.TreeFromContext(ctx)
		return chore.Do(ctx, tree, "plain")
	}
	return what, nil
}

// workshop has something for everything that is measured.
func workshop(agents int) actors.Supervisor {
	always := strategies.AlwaysRestart()
	return actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(always), Children: []actors.Child{
		actors.Breaker{ID: "llm", Config: breaker.Config{FailureThreshold: 1, ResetTimeout: time.Second}},
		actors.Pool(agents, actors.Agent("worker", chore, doChore).With(actors.Lifecycle{Shutdown: time.Second})),
		actors.Supervisor{ID: "pair", Strategy: strategies.OneForAll(always.WithBackoff(strategies.Fixed(time.Second))),
			Children: []actors.Child{answering("a", ""), answering("b", "").With(actors.Lifecycle{Queue: 1})}},
		actors.Supervisor{ID: "weak", Strategy: strategies.OneForOne(strategies.NeverRestart()), Children: []actors.Child{answering("c", "")}},
		actors.Supervisor{ID: "odd", Strategy: strategies.OneForOne(always.WithDecider(func(error) actor.Directive { panic("odd") })),
			Children: []actors.Child{answering("d", "")}},
		actors.Supervisor{ID: "guests", Template: answering("guest", "")},
	}}
}

// upset has everything happen that is measured. while is called before the tree is stopped.
func upset(t *testing.T, while func(*actors.Tree), opts ...actors.Option) {
	tree, err := actors.Start(t.Context(), workshop(1), append(opts,
		actors.WithHub(routing.Options{AttemptTimeout: 10 * time.Second, RetryBackoff: routing.Backoff{Min: time.Second, Max: time.Second, Jitter: -1}}))...)
	require.NoError(t, err)
	send := func(path string, m any) { tree.ActorSystem().Root.Send(tree.PID(path), m) }
	for _, what := range []string{"plain", "error", "panic", "call", "hang"} {
		_, err := chore.Do(t.Context(), tree, what)
		require.Equal(t, what == "plain", err == nil, "%s: %v", what, err)
		time.Sleep(time.Minute)
	}
	for range 2 { // the second is refused
		_, _ = chore.Do(t.Context(), tree, "call", routing.Deadline(time.Now().Add(time.Minute)))
	}
	_, err = chore.Submit(t.Context(), tree, "late", routing.Deadline(time.Now()))
	require.Error(t, err)
	send("root/pair/a", errors.New("first"))
	synctest.Wait()
	send("root/pair/b", "one")
	send("root/pair/b", "too many")
	send("root/weak/c", errors.New("last"))
	send("root/odd/d", errors.New("odd"))
	for i := range 3 {
		_, err := tree.StartInstance(t.Context(), "root/guests", fmt.Sprint("guest", i))
		require.NoError(t, err)
	}
	send("root/guests/guest1", errors.New("rude"))
	time.Sleep(time.Minute)
	for _, k := range []actors.EventKind{actors.Suspected, actors.Hung, actors.Recovered} {
		tree.Publish(actors.Event{Kind: k, Path: "root/worker-1", Node: actors.KindAgent})
	}
	synctest.Wait()
	while(tree)
	_ = tree.Stop(context.Background())
	time.Sleep(2 * time.Hour) // for what hangs
}

// collect reads all metrics by name.
func collect(t *testing.T, reader sdkmetric.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &all))
	byName := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		require.Equal(t, actors.Scope, scope.Scope.Name)
		require.Equal(t, attribute.NewSet(attribute.String("mistersmith.tree", "root")), scope.Scope.Attributes)
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// points lists the points of a metric: "attribute=value … : number", or the count of a histogram.
func points(m metricdata.Metrics) (lines []string) {
	add := func(set attribute.Set, n any) {
		var words []string
		for _, kv := range set.ToSlice() {
			words = append(words, strings.TrimPrefix(string(kv.Key), "mistersmith.")+"="+kv.Value.String())
		}
		lines = append(lines, strings.Join(words, " ")+": "+fmt.Sprint(n))
	}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, fmt.Sprintf("%d, %.3fs", p.Count, p.Sum))
		}
	}
	sort.Strings(lines)
	return lines
}

// Each metric counts what it says, once, and those of a tree that has ended stay.
func TestTelemetryCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		levels := map[string][]string{}
		upset(t, func(*actors.Tree) {
			for name, m := range collect(t, reader) {
				levels[name] = points(m)
			}
		}, actors.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
		got := map[string][]string{}
		for name, m := range collect(t, reader) {
			got[name] = points(m)
		}
		for name, want := range map[string][]string{
			"mistersmith.restarts": {
				"node.kind=actor node.path=root/guests/*: 1", "node.kind=actor node.path=root/odd/d: 1", "node.kind=actor node.path=root/pair/a: 1",
				"node.kind=actor node.path=root/pair/b: 1", "node.kind=actor node.path=root/weak/c: 1", "node.kind=agent node.path=root/worker-1: 6",
				"node.kind=supervisor node.path=root/weak: 1",
			},
			"mistersmith.failures": {
				"failure.class=crash failure.context=child_terminated node.kind=actor node.path=root/guests/*: 1",
				"failure.class=crash failure.context=child_terminated node.kind=actor node.path=root/odd/d: 1",
				"failure.class=crash failure.context=child_terminated node.kind=actor node.path=root/pair/a: 1",
				"failure.class=crash failure.context=child_terminated node.kind=actor node.path=root/weak/c: 1",
				"failure.class=crash failure.context=child_terminated node.kind=agent node.path=root/worker-1: 6",
				"failure.class=shutdown failure.context=child_terminated node.kind=supervisor node.path=root/weak: 1",
				"failure.class=shutdown failure.context=shutdown node.kind=actor node.path=root/weak/c: 1",
			},
			"mistersmith.recovery.duration": {"node.kind=actor node.path=root/pair/a: 1, 1.000s"},
			"mistersmith.backoff.duration":  {"node.kind=actor node.path=root/pair/a: 1, 1.000s"},
			"mistersmith.group_restarts":    {"node.kind=actor node.path=root/pair/a strategy=one_for_all: 1"},
			"mistersmith.escalations":       {"node.kind=supervisor node.path=root/weak: 1"},
			"mistersmith.abandonments":      {"node.kind=agent node.path=root/worker-1: 3"},
			"mistersmith.faults":            {"node.kind=supervisor node.path=root/odd: 1"},
			"mistersmith.suspicions": {"node.kind=agent node.path=root/worker-1 suspicion=hung: 1", "node.kind=agent node.path=root/worker-1 suspicion=recovered: 1",
				"node.kind=agent node.path=root/worker-1 suspicion=suspected: 1"},
			"mistersmith.breaker.calls": {"breaker.result=failed node.path=root/llm: 9", "breaker.result=ignored node.path=root/llm: 0",
				"breaker.result=rejected node.path=root/llm: 1", "breaker.result=succeeded node.path=root/llm: 0", "breaker.result=timed out node.path=root/llm: 0"},
			"mistersmith.tasks.submitted": {"task.type=chore: 7"},
			"mistersmith.tasks.refused":   {": 1"},
			"mistersmith.tasks.settled":   {"task.state=done task.type=chore: 1", "task.state=failed task.type=chore: 4", "task.state=quarantined task.type=chore: 2"},
			"mistersmith.task.attempts": {"task.outcome=crashed task.type=chore: 3", "task.outcome=done task.type=chore: 1", "task.outcome=error task.type=chore: 11",
				"task.outcome=timed out task.type=chore: 3"},
			"mistersmith.task.late_results":   {"task.type=chore: 3"},
			"mistersmith.task.queue.duration": {"task.type=chore: 18, 0.000s"},
			"mistersmith.task.handler.duration": {"task.outcome=crashed task.type=chore: 3, 0.000s", "task.outcome=done task.type=chore: 1, 0.000s",
				"task.outcome=error task.type=chore: 11, 0.000s", "task.outcome=timed out task.type=chore: 3, 30.000s"},
			"mistersmith.events.missed": {": 0"},
		} {
			assert.Equal(t, want, got[name], name)
		}
		assert.Contains(t, got["mistersmith.queue.dropped"], "node.kind=actor node.path=root/pair/b: 1")
		assert.Subset(t, got["mistersmith.breaker.transitions"], []string{"breaker.state=half-open node.kind=breaker node.path=root/llm: 9",
			"breaker.state=open node.kind=breaker node.path=root/llm: 9"}, "and perhaps that it is stopped with the tree")
		for name, want := range map[string][]string{
			"mistersmith.nodes": {"node.kind=actor node.status=running: 7", "node.kind=agent node.status=running: 1", "node.kind=breaker node.status=running: 1",
				"node.kind=root node.status=running: 1", "node.kind=supervisor node.status=running: 4"},
			"mistersmith.breaker.state": {"breaker.state=closed node.path=root/llm: 0", "breaker.state=disabled node.path=root/llm: 0", "breaker.state=forced-open node.path=root/llm: 0",
				"breaker.state=half-open node.path=root/llm: 1", "breaker.state=open node.path=root/llm: 0", "breaker.state=stopped node.path=root/llm: 0"},
			"mistersmith.tasks.unsettled": {"task.state=leased: 0", "task.state=waiting: 0"},
			"mistersmith.abandoned":       {": 3"},
		} {
			assert.Equal(t, want, levels[name], name)
			assert.Empty(t, got[name], "of a tree that has ended there is nothing now: %s", name)
		}
		assert.Contains(t, levels["mistersmith.queue.depth"], "node.kind=actor node.path=root/guests/*: 0")
	})
}

// The counts of instances that came and went only ever rise.
func TestTelemetryKeepsTheCountsOfThoseThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		slow := actors.Actor("slow", func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(string); ok {
					time.Sleep(time.Second)
				}
			})
		}).With(actors.Lifecycle{Queue: 1})
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "guests", Template: slow}}},
			actors.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
		for i, want := range []string{": 2", ": 4", ": 6"} {
			path, err := tree.StartInstance(t.Context(), "root/guests", "guest")
			require.NoError(t, err)
			_ = path
			for range 4 { // one is handled, one waits
				tree.ActorSystem().Root.Send(tree.PID("root/guests/guest"), "work")
				synctest.Wait()
			}
			if i > 0 { // not only what was seen while it was there counts
				require.Contains(t, points(collect(t, reader)["mistersmith.queue.dropped"]), "node.kind=actor node.path=root/guests/*"+want)
			}
			require.NoError(t, tree.TerminateChild(t.Context(), "root/guests/guest"))
			require.Contains(t, points(collect(t, reader)["mistersmith.queue.dropped"]), "node.kind=actor node.path=root/guests/*"+want)
		}
	})
}

// recorded is a provider that notes which instruments are made.
type recorded struct {
	noop.MeterProvider
	rows []string
}

type recordedMeter struct {
	noop.Meter
	to *recorded
}

func (r *recorded) Meter(string, ...metric.MeterOption) metric.Meter { return recordedMeter{to: r} }

func (m recordedMeter) note(name, kind, unit string) {
	m.to.rows = append(m.to.rows, fmt.Sprintf("`%s` | %s | `%s`", name, kind, unit))
}

func (m recordedMeter) Int64Counter(name string, o ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	m.note(name, "counter", metric.NewInt64CounterConfig(o...).Unit())
	return noop.Int64Counter{}, nil
}

func (m recordedMeter) Float64Histogram(name string, o ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	m.note(name, "histogram", metric.NewFloat64HistogramConfig(o...).Unit())
	return noop.Float64Histogram{}, nil
}

func (m recordedMeter) Int64ObservableUpDownCounter(name string, o ...metric.Int64ObservableUpDownCounterOption) (metric.Int64ObservableUpDownCounter, error) {
	m.note(name, "observed level", metric.NewInt64ObservableUpDownCounterConfig(o...).Unit())
	return noop.Int64ObservableUpDownCounter{}, nil
}

func (m recordedMeter) Int64ObservableCounter(name string, o ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	m.note(name, "observed counter", metric.NewInt64ObservableCounterConfig(o...).Unit())
	return noop.Int64ObservableCounter{}, nil
}

// page reads the rows of the table below a heading of docs/TELEMETRY.md, cell by cell.
func page(t *testing.T, heading string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("../docs/TELEMETRY.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	require.True(t, ok, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	for _, line := range strings.Split(section, "\n") {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// words are those in backticks, with the prefix that the page leaves out.
func words(cell string) []string {
	list := []string{}
	for _, w := range strings.Fields(cell) {
		list = append(list, "mistersmith."+strings.Trim(w, "`"))
	}
	slices.Sort(list)
	return list
}

// The page lists the instruments that are made, in their order, with the attributes that their points have.
func TestTelemetryMetricsAreThoseOfThePage(t *testing.T) {
	var listed []string
	attributes := map[string][]string{}
	for _, cells := range page(t, "Metrics") {
		listed = append(listed, strings.Join(cells[:3], " | "))
		attributes[strings.Trim(cells[0], "`")] = words(cells[3])
	}
	synctest.Test(t, func(t *testing.T) {
		provider := &recorded{}
		tree := begin(t, actors.Supervisor{ID: "root"}, actors.WithMeterProvider(provider))
		_ = tree
		require.Equal(t, listed, provider.rows)

		reader := sdkmetric.NewManualReader()
		found := map[string][]string{}
		note := func() {
			for name, m := range collect(t, reader) {
				keys := map[string]bool{}
				for _, line := range points(m) {
					for _, pair := range strings.Split(line[:strings.LastIndex(line, ": ")], " ") {
						if key, _, ok := strings.Cut(pair, "="); ok {
							keys["mistersmith."+key] = true
						}
					}
				}
				found[name] = slices.AppendSeq([]string{}, maps.Keys(keys))
				slices.Sort(found[name])
			}
		}
		upset(t, func(*actors.Tree) { note() }, actors.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
		note()
		require.Equal(t, attributes, found)
	})
}

// The page lists every event, in its order, and only metrics that there are.
func TestTelemetryEventsAreThoseOfThePage(t *testing.T) {
	metrics := map[string]bool{}
	for _, cells := range page(t, "Metrics") {
		metrics[cells[0]] = true
	}
	var listed, known []string
	for _, cells := range page(t, "Events") {
		listed = append(listed, strings.Trim(cells[0], "`"))
		for _, name := range strings.Fields(cells[1]) {
			require.True(t, metrics[name], name)
		}
	}
	for k := actors.Starting; k <= actors.SnapshotFailed; k++ {
		known = append(known, k.String())
	}
	require.Equal(t, known, listed)
	require.Panics(t, func() { _ = (actors.SnapshotFailed + 1).String() }, "it is the last")
}

// broken is a provider that fails in the ways that a provider can.
type broken struct {
	noop.MeterProvider
	refuses bool
}

type brokenMeter struct {
	noop.Meter
	broken
}

type brokenCounter struct{ noop.Int64Counter }

func (b broken) Meter(string, ...metric.MeterOption) metric.Meter { return brokenMeter{broken: b} }

func (m brokenMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	if m.refuses {
		return nil, errChore
	}
	return brokenCounter{}, nil
}

func (brokenCounter) Add(context.Context, int64, ...metric.AddOption) { panic("broken") }

func TestTelemetrySurvivesItsProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := actors.Start(t.Context(), workshop(1), actors.WithMeterProvider(broken{refuses: true}))
		require.ErrorIs(t, err, errChore)
		var invalid *actors.SpecError
		require.ErrorAs(t, err, &invalid)
		upset(t, func(tree *actors.Tree) { require.Zero(t, tree.Hub().Counts().EventPanics) }, actors.WithMeterProvider(broken{}))
	})
}
