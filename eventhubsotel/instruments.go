package eventhubsotel

import (
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// durations are the buckets that the conventions prescribe, in seconds.
var durations = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// instruments are the metrics that calls write to. Those of Observe are made there.
type instruments struct {
	operation metric.Float64Histogram
	sent      metric.Int64Counter
	consumed  metric.Int64Counter
	process   metric.Float64Histogram
	retries   metric.Int64Counter
	store     metric.Float64Histogram
	changes   metric.Int64Counter
}

func newInstruments(m metric.Meter) instruments {
	histogram := func(name, description string) metric.Float64Histogram {
		return made(m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description),
			metric.WithExplicitBucketBoundaries(durations...)))
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		return made(m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description)))
	}
	return instruments{
		operation: histogram(metricOperationDuration,
			"Duration of messaging operation initiated by a producer or consumer client."),
		sent:     counter(metricSent, "{message}", "Number of messages producer attempted to send to the broker."),
		consumed: counter(metricConsumed, "{message}", "Number of messages that were delivered to the application."),
		process:  histogram(metricProcessDuration, "Duration of processing operation."),
		retries:  counter(metricRetries, "{attempt}", "Calls of the handler with events that it has failed with before."),
		store:    histogram(metricStoreDuration, "Duration of calls to the checkpoint store."),
		changes:  counter(metricChanges, "{partition}", "Partitions that changed hands, or are about to."),
	}
}

// made hands an instrument on. Meters return one that does nothing beside an error.
func made[T any](instrument T, err error) T {
	if err != nil {
		otel.Handle(err)
	}
	return instrument
}

// set makes the option that has an observation carry these attributes.
func set(attributes []attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

// measured are the options that have a measurement carry attributes. They are made once where that is possible, since
// attributes are sorted, and arguments allocated.
type measured struct {
	record []metric.RecordOption
	add    []metric.AddOption
}

func measuring(attributes []attribute.KeyValue, more ...attribute.KeyValue) measured {
	o := set(append(slices.Clip(attributes), more...))
	return measured{[]metric.RecordOption{o}, []metric.AddOption{o}}
}
