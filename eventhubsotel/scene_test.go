package eventhubsotel_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// scene is a local namespace in virtual time, and telemetry in memory.
type scene struct {
	*testing.T
	server    *eventhubstest.Server
	cfg       eventhubs.Config
	spans     *tracetest.InMemoryExporter
	tracers   *sdktrace.TracerProvider
	reader    *sdkmetric.ManualReader
	meters    *sdkmetric.MeterProvider
	telemetry *eventhubsotel.Telemetry
	store     eventhubs.CheckpointStore // nil: each consumer has one of its own
	options   eventhubs.ConsumerOptions
}

// inScene runs a test in a bubble.
func inScene(t *testing.T, o eventhubsotel.Options, test func(s *scene)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{T: t, server: startServer(t)}
		s.cfg = s.server.Config("hub")
		s.cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
		s.spans, s.reader = tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
		s.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
		s.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
		if o.TracerProvider == nil {
			o.TracerProvider = s.tracers
		}
		o.MeterProvider = s.meters
		s.telemetry = eventhubsotel.New(s.cfg, &o)
		test(s)
	})
}

// startServer starts a namespace in memory whose event hub has one partition.
func startServer(t *testing.T) *eventhubstest.Server {
	return eventhubstest.Start(t, &eventhubstest.Options{
		InMemory: true, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}},
	})
}

func (s *scene) sender() *eventhubsotel.Sender {
	p, err := eventhubs.NewProducer(s.cfg, nil)
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, p.Close(context.Background())) })
	return s.telemetry.Sender(p)
}

// namespace is how clients name the server's.
func (s *scene) namespace() string {
	c, err := azeventhubs.ParseConnectionString(s.cfg.ConnectionString)
	require.NoError(s, err)
	return c.FullyQualifiedNamespace
}

// address is its host.
func (s *scene) address() string {
	host, _, _ := strings.Cut(s.namespace(), ":")
	return host
}

// receiver is a consumer that is receiving.
type receiver struct {
	*eventhubs.Consumer
	s     *scene
	ended chan error
}

// receive has a consumer receive with a handler, or with a batch handler, until the test ends.
func (s *scene) receive(ctx context.Context, h eventhubs.Handler, batch eventhubs.BatchHandler) *receiver {
	store := s.store
	if store == nil {
		store = eventhubs.NewMemoryCheckpointStore()
	}
	c, err := eventhubs.NewConsumer(s.cfg, store, &s.options)
	require.NoError(s, err)
	r := &receiver{c, s, make(chan error, 1)}
	go func() {
		if batch != nil {
			r.ended <- c.ReceiveBatch(ctx, batch)
		} else {
			r.ended <- c.Receive(ctx, h)
		}
	}()
	s.Cleanup(func() { require.NoError(s, c.Close(context.Background())) })
	return r
}

// stop closes the consumer and returns what Receive has returned.
func (r *receiver) stop() error {
	require.NoError(r.s, r.Close(context.Background()))
	return <-r.ended
}

// named are the spans of a name, in the order in which they have ended.
func (s *scene) named(name string) (all tracetest.SpanStubs) {
	for _, span := range s.spans.GetSpans() {
		if span.Name == name {
			all = append(all, span)
		}
	}
	return all
}

// one is the only span of a name.
func (s *scene) one(name string) tracetest.SpanStub {
	s.Helper()
	all := s.named(name)
	require.Len(s, all, 1, name)
	return all[0]
}

func attributes(all []attribute.KeyValue) map[string]any {
	out := map[string]any{}
	for _, a := range all {
		out[string(a.Key)] = a.Value.AsInterface()
	}
	return out
}

func eventNames(span tracetest.SpanStub) (all []string) {
	for _, e := range span.Events {
		all = append(all, e.Name)
	}
	return all
}

// point is a measurement.
type point struct {
	attributes map[string]any
	value      float64 // of a histogram, the sum
	count      uint64  // of a histogram
}

// points collects the metrics, and returns the measurements of one.
func (s *scene) points(name string) (all []point) {
	s.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(s, s.reader.Collect(context.Background(), &data))
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == name {
				all = append(all, pointsOf(m)...)
			}
		}
	}
	return all
}

func pointsOf(m metricdata.Metrics) (all []point) {
	add := func(set attribute.Set, value float64, count uint64) {
		all = append(all, point{attributes(set.ToSlice()), value, count})
	}
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, float64(p.Value), 0)
		}
	case metricdata.Gauge[int64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, float64(p.Value), 0)
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, p.Value, 0)
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			add(p.Attributes, p.Sum, p.Count)
		}
	}
	return all
}

// value is the measurement of a metric that has all of these attributes: pairs of names and values.
func (s *scene) value(name string, where ...any) float64 {
	s.Helper()
	p, ok := s.find(name, where...)
	require.True(s, ok, "%s %v: there are %v", name, where, s.points(name))
	return p.value
}

func (s *scene) find(name string, where ...any) (point, bool) {
	s.Helper()
	for _, p := range s.points(name) {
		fits := true
		for i := 0; i < len(where); i += 2 {
			fits = fits && p.attributes[where[i].(string)] == where[i+1]
		}
		if fits {
			return p, true
		}
	}
	return point{}, false
}
