package eventhubsotel

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
)

// Sender is a Producer whose Send is traced and measured. It is safe for concurrent use. Close the Producer, not the
// Sender.
type Sender struct {
	telemetry *Telemetry
	producer  *eventhubs.Producer
}

// Sender wraps a Producer.
func (t *Telemetry) Sender(p *eventhubs.Producer) *Sender { return &Sender{telemetry: t, producer: p} }

// sending is what all calls of Send have in common.
type sending struct {
	name       string // of the span
	createName string
	attributes []attribute.KeyValue
	start      trace.SpanStartOption // attributes again
	measured   metric.MeasurementOption
	creating   trace.SpanStartOption
}

func (t *Telemetry) newSending() sending {
	attributes := t.attributes("send", "send")
	return sending{
		name: t.spanName("send"), createName: t.spanName("create"), attributes: attributes,
		start: trace.WithAttributes(attributes...), measured: set(attributes),
		creating: trace.WithAttributes(t.attributes("create", "create")...),
	}
}

// Send is Producer.Send, with a span around it whose context goes with the events. If the context is what makes an
// event too large, the events are sent without it.
func (s *Sender) Send(ctx context.Context, events ...eventhubs.Event) error {
	if len(events) == 0 {
		return s.producer.Send(ctx)
	}
	began := time.Now()
	ctx, span, stamped := s.telemetry.startSend(ctx, events)
	defer span.End() // of a Send that panics as well
	err := s.producer.Send(ctx, stamped...)
	if _, ok := err.(*eventhubs.EventTooLargeError); ok { //nolint:errorlint // inside a SendError, some events were sent
		span.AddEvent("sent without context: it makes an event too large")
		err = s.producer.Send(ctx, events...)
	}
	s.telemetry.sent(ctx, span, events, err, time.Since(began))
	return err
}

// startSend starts the span of a call, and gives the events the contexts that they are to carry.
func (t *Telemetry) startSend(ctx context.Context, events []eventhubs.Event) (
	context.Context, trace.Span, []eventhubs.Event,
) {
	out := slices.Clone(events)
	var links []trace.Link
	bare := 0 // events that get the context of the call
	for i, e := range out {
		if !properties(e.Properties).marked() {
			if !t.createSpans || len(events) == 1 {
				bare++
				continue
			}
			out[i] = t.create(ctx, e)
		}
		if c := properties(out[i].Properties).creator(); c.IsValid() {
			links = append(links, trace.Link{SpanContext: c})
		}
	}
	kind := trace.SpanKindProducer
	if bare == 0 {
		kind = trace.SpanKindClient // the conventions: its context is no event's
	}
	ctx, span := t.tracer.Start(ctx, t.sending.name, t.sending.start, trace.WithSpanKind(kind), trace.WithLinks(links...),
		trace.WithAttributes(describe(events)...))
	if bare > 0 && span.SpanContext().IsValid() {
		for i, e := range out {
			if !properties(e.Properties).marked() {
				out[i] = stamp(ctx, e)
			}
		}
	}
	return ctx, span, out
}

// create gives an event a span of its own.
func (t *Telemetry) create(ctx context.Context, e eventhubs.Event) eventhubs.Event {
	ctx, span := t.tracer.Start(ctx, t.sending.createName, t.sending.creating, trace.WithSpanKind(trace.SpanKindProducer))
	defer span.End()
	if !span.SpanContext().IsValid() {
		return e
	}
	return stamp(ctx, e)
}

// describe are the attributes of a span that depend on the events.
func describe(events []eventhubs.Event) (all []attribute.KeyValue) {
	if len(events) > 1 {
		all = append(all, attribute.Int(attrBatchCount, len(events)))
	} else if id := events[0].MessageID; id != "" {
		all = append(all, attribute.String(attrMessageID, id))
	}
	if id := commonPartition(events); id != "" {
		all = append(all, attribute.String(attrPartition, id))
	}
	return all
}

// commonPartition is the partition that all events name, or "".
func commonPartition(events []eventhubs.Event) string {
	id := events[0].PartitionID
	for _, e := range events[1:] {
		if e.PartitionID != id {
			return ""
		}
	}
	return id
}

// sent notes how a call has ended.
func (t *Telemetry) sent(
	ctx context.Context, span trace.Span, events []eventhubs.Event, err error, took time.Duration,
) {
	partition := commonPartition(events)
	if err == nil && partition == "" {
		t.instruments.operation.Record(ctx, took.Seconds(), t.sending.measured)
		t.instruments.sent.Add(ctx, int64(len(events)), t.sending.measured)
		return
	}
	attributes := slices.Clone(t.sending.attributes)
	if partition != "" {
		attributes = append(attributes, attribute.String(attrPartition, partition))
	}
	failed := 0
	good := set(attributes)
	if err != nil {
		failed = len(events)
		kind := errorType(err)
		var some *eventhubs.SendError
		if errors.As(err, &some) {
			failed = len(some.Unacknowledged)
			span.SetAttributes(attribute.Int(attrUnacknowledged, failed))
		}
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(errorAttribute(kind))
		bad := with(attributes, errorAttribute(kind))
		t.instruments.operation.Record(ctx, took.Seconds(), bad)
		t.instruments.sent.Add(ctx, int64(failed), bad)
	} else {
		t.instruments.operation.Record(ctx, took.Seconds(), good)
	}
	if failed < len(events) {
		t.instruments.sent.Add(ctx, int64(len(events)-failed), good)
	}
}
