package eventhubsotel

import (
	"cmp"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
)

// Options say where telemetry goes. The zero value of each field, and nil options, are right for most programs.
type Options struct {
	// TracerProvider makes the tracer. Nil means the global one, otel.GetTracerProvider.
	TracerProvider trace.TracerProvider
	// MeterProvider makes the metrics. Nil means the global one, otel.GetMeterProvider.
	MeterProvider metric.MeterProvider
	// ConsumerGroup is the consumer group of handlers, as in eventhubs.ConsumerOptions. "" means "$Default".
	ConsumerGroup string
	// ChildSpans makes the process span of a single event the child of the span that has sent it, so that both are in one
	// trace. False means that it only links to that span, as do the process spans of batches in any case.
	ChildSpans bool
	// CreateSpans gives each event of a Send with several events a span of its own, "create {event hub}", which is what
	// is propagated with it. False means that they all get the context of the call's span.
	CreateSpans bool
}

// Telemetry measures what producers, consumers and checkpoint stores of one event hub do. It is safe for concurrent
// use. There is nothing to close.
type Telemetry struct {
	hub, group  string
	server      []attribute.KeyValue // its address and port
	childSpans  bool
	createSpans bool
	tracer      trace.Tracer
	meter       metric.Meter
	instruments instruments
	sending     sending
	partitions  sync.Map // by id: *partition
	consumers   consumers
}

// New returns the Telemetry for a Config. If NewProducer would refuse the Config, what is exported names no event hub
// and no server. Errors of the providers go to otel.Handle.
func New(cfg eventhubs.Config, o *Options) *Telemetry {
	if o == nil {
		o = &Options{}
	}
	tracers, meters := o.TracerProvider, o.MeterProvider
	if tracers == nil {
		tracers = otel.GetTracerProvider()
	}
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	t := &Telemetry{
		group:      cmp.Or(pasted(o.ConsumerGroup), azeventhubs.DefaultConsumerGroup),
		childSpans: o.ChildSpans, createSpans: o.CreateSpans,
		tracer: tracers.Tracer(scope, trace.WithSchemaURL(schemaURL)),
		meter:  meters.Meter(scope, metric.WithSchemaURL(schemaURL)),
	}
	t.resolve(cfg)
	t.instruments = newInstruments(t.meter)
	t.sending = t.newSending()
	t.consumers.telemetry = t
	return t
}

// resolve finds the names in a Config as package eventhubs does.
func (t *Telemetry) resolve(cfg eventhubs.Config) {
	namespace, port := host(cfg.Namespace), 5671
	t.hub = pasted(cfg.EventHub)
	if cfg.WebSockets {
		port = 443
	}
	if c, err := azeventhubs.ParseConnectionString(pasted(cfg.ConnectionString)); err == nil {
		namespace = c.FullyQualifiedNamespace
		if t.hub == "" && c.EntityPath != nil {
			t.hub = *c.EntityPath
		}
		if c.Emulator {
			port = 5672
		}
	}
	if name, number, err := net.SplitHostPort(namespace); err == nil {
		namespace = name
		if n, err := strconv.Atoi(number); err == nil {
			port = n
		}
	}
	if namespace != "" {
		t.server = []attribute.KeyValue{
			attribute.String(attrServerAddress, namespace), attribute.Int(attrServerPort, port),
		}
	}
}

// pasted drops what may surround a string that was pasted.
func pasted(s string) string { return strings.Trim(strings.TrimSpace(s), `"'`) }

// host is the host of what may be a URL.
func host(s string) string {
	s = pasted(s)
	if _, after, found := strings.Cut(s, "://"); found {
		s = after
	}
	s, _, _ = strings.Cut(s, "/")
	return s
}

// attributes are those of all spans and of the conventions' metrics for an operation, and more.
func (t *Telemetry) attributes(operation, kind string, more ...attribute.KeyValue) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String(attrSystem, system), attribute.String(attrOperationName, operation),
		attribute.String(attrOperationType, kind),
	}
	if t.hub != "" {
		all = append(all, attribute.String(attrDestination, t.hub))
	}
	return append(append(all, t.server...), more...)
}

// own are the attributes of this package's own metrics, and more.
func (t *Telemetry) own(more ...attribute.KeyValue) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String(attrSystem, system), attribute.String(attrDestination, t.hub), attribute.String(attrGroup, t.group),
	}
	if len(t.server) > 0 {
		all = append(all, t.server[0])
	}
	return append(all, more...)
}

// spanName is "operation {event hub}".
func (t *Telemetry) spanName(operation string) string {
	return strings.TrimSpace(operation + " " + t.hub)
}
