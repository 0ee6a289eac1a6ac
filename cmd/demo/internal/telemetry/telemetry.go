// Package telemetry brings a run's metrics and traces to where the user wants them: to a Prometheus that scrapes, to a collector that speaks OTLP, or to both.
//
//	t, err := telemetry.Open(ctx, telemetry.Config{Metrics: "127.0.0.1:9464", OTLP: "http://127.0.0.1:4318"})
//	tree, err := actors.Start(ctx, spec, t.Options()...)
//	answer, err := t.Chat(ctx, client, id, attempt, ask)   // a model call, as OpenTelemetry's conventions for generative AI want it told
//	err = t.Push(ctx)                                                  // before the tree stops: what is looked up in it is gone then
//	err = t.Close(ctx)                                                 // after the tree has stopped
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/mistersmith/mistersmith/actors"
)

// exportEvery is how often metrics are pushed.
const exportEvery = 5 * time.Second

// TimeoutVariable is where OpenTelemetry looks for how long one push to a collector may take, in milliseconds.
const TimeoutVariable = "OTEL_EXPORTER_OTLP_TIMEOUT"

// exportTimeout limits one push, if [TimeoutVariable] doesn't say otherwise; the last one is made when the run is over, and shouldn't keep the user.
const exportTimeout = 3 * time.Second

func timeoutFrom(getenv func(string) string) time.Duration {
	if n, err := strconv.Atoi(getenv(TimeoutVariable)); err == nil && n > 0 && n <= math.MaxInt32 {
		return time.Duration(n) * time.Millisecond
	}
	return exportTimeout
}

// Config says where telemetry goes. The zero value is nowhere.
type Config struct {
	Metrics string // loopback address on which Prometheus may scrape, such as 127.0.0.1:9464, or :9464 for the same
	OTLP    string // base URL of a collector that speaks OTLP over HTTP
	Logger  *slog.Logger
}

// Validate names everything that is wrong.
func (c Config) Validate() error {
	var faults []error
	if c.Metrics != "" {
		if _, err := loopback(c.Metrics); err != nil {
			faults = append(faults, err)
		}
	}
	if c.OTLP != "" {
		u, err := url.Parse(c.OTLP)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			faults = append(faults, fmt.Errorf("collector %q: want http(s)://host[:port][/path]", c.OTLP))
		}
	}
	return errors.Join(faults...)
}

// loopback completes an address, and refuses one that others could reach: metrics tell what goes on.
func loopback(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("metrics address %q: want host:port, such as 127.0.0.1:9464", address)
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "", host == "localhost":
		host = "127.0.0.1"
	case err != nil || !ip.IsLoopback():
		return "", fmt.Errorf("metrics address %q: only loopback, such as 127.0.0.1:%s", address, port)
	}
	return net.JoinHostPort(host, port), nil
}

// Telemetry is where it goes. Make one with Open; its methods may be called from any goroutine.
type Telemetry struct {
	timeout time.Duration // of a push
	address string        // where metrics are served; empty if they aren't
	server  *http.Server
	meters  *sdkmetric.MeterProvider // nil when nobody wants metrics
	tracers *sdktrace.TracerProvider // nil when nobody wants traces
	chats   chats
}

// Wanted reports whether anything is recorded at all.
func (t *Telemetry) Wanted() bool { return t.meters != nil || t.tracers != nil }

// Open opens what the configuration asks for. An address that can't be served is an error; a collector that can't be reached is only logged, for it may come.
func Open(ctx context.Context, c Config) (*Telemetry, error) {
	t := &Telemetry{timeout: timeoutFrom(os.Getenv)}
	if err := t.open(ctx, c); err != nil {
		return nil, errors.Join(err, t.Close(ctx))
	}
	var meters metric.MeterProvider = metricnoop.MeterProvider{}
	var tracers trace.TracerProvider = tracenoop.TracerProvider{}
	if t.meters != nil {
		meters = t.meters
	}
	if t.tracers != nil {
		tracers = t.tracers
	}
	var err error
	if t.chats, err = newChats(meters, tracers); err != nil {
		return nil, errors.Join(err, t.Close(ctx))
	}
	return t, nil
}

func (t *Telemetry) open(ctx context.Context, c Config) error {
	if c.Metrics == "" && c.OTLP == "" {
		return nil
	}
	if c.Logger != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { c.Logger.Warn("telemetry is lost", "error", err) }))
	}
	about, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("mistersmith-demo")), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	metrics := []sdkmetric.Option{sdkmetric.WithResource(about)}
	if c.Metrics != "" {
		registry := prometheus.NewRegistry()
		reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
		if err != nil {
			return fmt.Errorf("telemetry: %w", err)
		}
		metrics = append(metrics, sdkmetric.WithReader(reader))
		if err := t.serve(c.Metrics, registry); err != nil {
			return err
		}
	}
	if c.OTLP != "" {
		pushed, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(endpoint(c.OTLP, "metrics")), otlpmetrichttp.WithTimeout(t.timeout),
			otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{}))
		if err != nil {
			return fmt.Errorf("telemetry: %w", err)
		}
		metrics = append(metrics, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(pushed, sdkmetric.WithInterval(exportEvery), sdkmetric.WithTimeout(t.timeout))))
		spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint(c.OTLP, "traces")), otlptracehttp.WithTimeout(t.timeout),
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
		if err != nil {
			return fmt.Errorf("telemetry: %w", err)
		}
		t.tracers = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(spans, sdktrace.WithMaxQueueSize(1<<16), sdktrace.WithExportTimeout(t.timeout)))
	}
	t.meters = sdkmetric.NewMeterProvider(metrics...)
	return nil
}

// endpoint is where a collector takes one kind of data.
func endpoint(base, kind string) string { return strings.TrimRight(base, "/") + "/v1/" + kind }

// serve serves the registry at /metrics.
func (t *Telemetry) serve(address string, registry *prometheus.Registry) error {
	address, err := loopback(address)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.address = listener.Addr().String()
	t.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = t.server.Serve(listener) }() // it ends with Close
	return nil
}

// MetricsURL is where metrics can be scraped, or empty.
func (t *Telemetry) MetricsURL() string {
	if t.address == "" {
		return ""
	}
	return "http://" + t.address + "/metrics"
}

// Options are what a tree is started with.
func (t *Telemetry) Options() (options []actors.Option) {
	if t.meters != nil {
		options = append(options, actors.WithMeterProvider(t.meters))
	}
	if t.tracers != nil {
		options = append(options, actors.WithTracerProvider(t.tracers))
	}
	return options
}

// Push sends the metrics to the collector, if there is one, as they are now. That it doesn't take them is an error.
func (t *Telemetry) Push(ctx context.Context) error {
	if t.meters == nil {
		return nil
	}
	return t.meters.ForceFlush(ctx)
}

// Close sends what hasn't been sent yet, and ends all. A collector that doesn't take it is an error.
func (t *Telemetry) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*t.timeout)
	defer cancel()
	var errs []error
	if t.tracers != nil {
		errs = append(errs, t.tracers.Shutdown(ctx))
	}
	if t.meters != nil {
		errs = append(errs, t.meters.Shutdown(ctx))
	}
	if t.server != nil {
		errs = append(errs, t.server.Close())
	}
	return errors.Join(errs...)
}
