package actors_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mistersmith/mistersmith/actors"
)

// BenchmarkTelemetry is a task on its way through a tree, with and without somebody who wants to know.
func BenchmarkTelemetry(b *testing.B) {
	meters := actors.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())))
	traces := actors.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample())))
	for _, way := range []struct {
		name string
		opts []actors.Option
	}{{"off", nil}, {"metrics", []actors.Option{meters}}, {"traces", []actors.Option{traces}}, {"both", []actors.Option{meters, traces}}} {
		b.Run(way.name, func(b *testing.B) {
			tree, err := actors.Start(b.Context(), workshop(1), way.opts...)
			require.NoError(b, err)
			defer func() { _ = tree.Stop(context.Background()) }()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := chore.Do(b.Context(), tree, "plain"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
