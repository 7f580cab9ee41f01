package eventhubsotel

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
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
	measured   measured                // attributes again
	producer   []trace.SpanStartOption // likewise, with a kind
	client     []trace.SpanStartOption
	create     []trace.SpanStartOption
}

func (t *Telemetry) newSending() sending {
	attributes := t.attributes("send", "send")
	starting := func(kind trace.SpanKind, attributes []attribute.KeyValue) []trace.SpanStartOption {
		return []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attributes...)}
	}
	return sending{
		name: t.spanName("send"), createName: t.spanName("create"), attributes: attributes,
		measured: measuring(attributes),
		producer: starting(trace.SpanKindProducer, attributes), client: starting(trace.SpanKindClient, attributes),
		create: starting(trace.SpanKindProducer, t.attributes("create", "create")),
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
	if t.createSpans && len(events) > 1 {
		events = t.create(ctx, events)
	}
	var links []trace.Link
	bare := 0 // events that get the context of the call
	for i := range events {
		if p := properties(events[i].Properties); !p.marked() {
			bare++
		} else if c := p.creator(); c.IsValid() {
			links = append(links, trace.Link{SpanContext: c})
		}
	}
	options := t.sending.producer
	if bare == 0 {
		options = t.sending.client // the conventions: its context is no event's
	}
	options = slices.Clip(options)
	if len(links) > 0 {
		options = append(options, trace.WithLinks(links...))
	}
	if more := describe(events); len(more) > 0 {
		options = append(options, trace.WithAttributes(more...))
	}
	ctx, span := t.tracer.Start(ctx, t.sending.name, options...)
	if bare > 0 {
		events = stamped(span.SpanContext(), events)
	}
	return ctx, span, events
}

// create gives each event without a context a span of its own.
func (t *Telemetry) create(ctx context.Context, events []eventhubs.Event) []eventhubs.Event {
	out := slices.Clone(events)
	for i := range out {
		if !properties(out[i].Properties).marked() {
			_, span := t.tracer.Start(ctx, t.sending.createName, t.sending.create...)
			out[i] = stamped(span.SpanContext(), out[i:i+1])[0]
			span.End()
		}
	}
	return out
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
		t.instruments.operation.Record(ctx, took.Seconds(), t.sending.measured.record...)
		t.instruments.sent.Add(ctx, int64(len(events)), t.sending.measured.add...)
		return
	}
	attributes := slices.Clone(t.sending.attributes)
	if partition != "" {
		attributes = append(attributes, attribute.String(attrPartition, partition))
	}
	failed := 0
	good := measuring(attributes)
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
		bad := measuring(attributes, errorAttribute(kind))
		t.instruments.operation.Record(ctx, took.Seconds(), bad.record...)
		t.instruments.sent.Add(ctx, int64(failed), bad.add...)
	} else {
		t.instruments.operation.Record(ctx, took.Seconds(), good.record...)
	}
	if failed < len(events) {
		t.instruments.sent.Add(ctx, int64(len(events)-failed), good.add...)
	}
}
