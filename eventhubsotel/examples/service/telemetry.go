package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/go-eventhubs/eventhubs/eventhubsotel"
)

// setUp makes the global providers and the logger. Metrics go to the registry. Traces go to the collector that
// OTEL_EXPORTER_OTLP_ENDPOINT names, if it is set; OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER mean what they always do.
func setUp(ctx context.Context, registry *prometheus.Registry) (shutDown func(context.Context) error, err error) {
	slog.SetDefault(slog.New(eventhubsotel.LogHandler(slog.NewJSONHandler(os.Stderr, nil))))
	meters, err := newMeters(registry)
	if err != nil {
		return nil, err
	}
	otel.SetMeterProvider(meters)
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
		return meters.Shutdown, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	otel.SetTracerProvider(tracers)
	return func(ctx context.Context) error { return errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx)) }, nil
}

// newMeters names metrics as Prometheus' users expect it, which is what the dashboard and the alert rules are made for.
func newMeters(registry *prometheus.Registry) (*sdkmetric.MeterProvider, error) {
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo(),
		promexporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		return nil, err
	}
	return sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)), nil
}
