package eventhubsotel

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
)

// stalledAfter is how long a handler runs before its span says that it has stalled; and again after twice that time,
// four times, and so on, as in the log of package eventhubs.
const stalledAfter = 30 * time.Second

// The events of process spans.
const (
	eventStalled  = "stalled"
	eventLost     = "ownership lost"
	eventDraining = "draining"
)

// Handler wraps a handler. Each call, so each attempt, has a span, which is in the context that h gets. It links to the
// span that has sent the event; see Options.ChildSpans. If the context of Receive has a span, that is its parent.
// Nil stays nil, which Receive refuses.
func (t *Telemetry) Handler(h eventhubs.Handler) eventhubs.Handler {
	if h == nil {
		return nil // Receive says so
	}
	return func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		var links []trace.Link
		creator := properties(e.Properties).creator()
		if creator.IsValid() {
			links = []trace.Link{linkTo(creator, e, false)}
		}
		if creator.IsValid() && t.childSpans {
			if ambient := trace.SpanContextFromContext(ctx); ambient.IsValid() {
				links = append(links, trace.Link{SpanContext: ambient})
			}
			ctx = trace.ContextWithRemoteSpanContext(ctx, creator)
		}
		ctx, call := t.startCall(ctx, e, e, 1, links)
		defer call.end()
		if call.span.IsRecording() {
			call.span.SetAttributes(append(messageAttributes(e), call.attributes()...)...)
		}
		call.err = h(ctx, e)
		call.returned = true
		return call.err
	}
}

// BatchHandler wraps a batch handler. Each call has a span, which links to the spans that have sent the events. Nil
// stays nil, which ReceiveBatch refuses.
func (t *Telemetry) BatchHandler(h eventhubs.BatchHandler) eventhubs.BatchHandler {
	if h == nil {
		return nil
	}
	return func(ctx context.Context, events []*eventhubs.ReceivedEvent) error {
		var links []trace.Link
		for _, e := range events {
			if c := properties(e.Properties).creator(); c.IsValid() {
				links = append(links, linkTo(c, e, true))
			}
		}
		ctx, call := t.startCall(ctx, events[0], events[len(events)-1], len(events), links)
		defer call.end()
		if call.span.IsRecording() {
			call.span.SetAttributes(append(call.attributes(), attribute.Int(attrBatchCount, len(events)))...)
		}
		call.err = h(ctx, events)
		call.returned = true
		return call.err
	}
}

// linkTo links to the creator of an event. In a batch, what is the event's own stands at the link.
func linkTo(creator trace.SpanContext, e *eventhubs.ReceivedEvent, batch bool) trace.Link {
	l := trace.Link{SpanContext: creator}
	if batch {
		l.Attributes = messageAttributes(e)
	}
	return l
}

func messageAttributes(e *eventhubs.ReceivedEvent) (all []attribute.KeyValue) {
	if e.MessageID != nil && *e.MessageID != "" {
		all = append(all, attribute.String(attrMessageID, *e.MessageID))
	}
	if e.EnqueuedTime != nil {
		all = append(all, attribute.Int64(attrEnqueuedTime, e.EnqueuedTime.Unix()))
	}
	return all
}

// call is one call of a handler.
type call struct {
	telemetry *Telemetry
	partition *partition
	ctx       context.Context //nolint:containedctx // the call ends with it
	span      trace.Span
	began     time.Time
	first     *eventhubs.ReceivedEvent
	last      *eventhubs.ReceivedEvent
	count     int
	watch     *watch // nil: the span isn't recorded

	err      error
	returned bool // false: the handler has panicked, or called runtime.Goexit
}

func (t *Telemetry) startCall(
	ctx context.Context, first, last *eventhubs.ReceivedEvent, count int, links []trace.Link,
) (context.Context, *call) {
	c := &call{
		telemetry: t, partition: t.partition(first.PartitionID), began: time.Now(), first: first, last: last, count: count,
	}
	options := slices.Clip(c.partition.start)
	if len(links) > 0 {
		options = append(options, trace.WithLinks(links...))
	}
	c.ctx, c.span = t.tracer.Start(ctx, c.partition.spanName, options...)
	c.partition.takes(first, c.began)
	if c.span.IsRecording() {
		c.watch = watchSpan(ctx, c.span, c.began)
	}
	return c.ctx, c
}

// attributes are those of the span that no other call has.
func (c *call) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int(attrAttempt, c.first.Attempt), attribute.Int64(attrSequence, c.first.SequenceNumber),
	}
}

// end is deferred. It doesn't recover: a panic goes on with the stack that it has.
func (c *call) end() {
	if c.watch != nil {
		c.watch.stop()
	}
	kind, text := "", ""
	switch {
	case !c.returned:
		kind, text = "panic", "the handler panicked"
	case c.err != nil:
		text = c.err.Error()
		if kind = errorType(c.err); c.ctx.Err() != nil && errors.Is(c.err, c.ctx.Err()) {
			kind = errorType(context.Cause(c.ctx))
		}
	}
	if kind != "" {
		c.span.SetStatus(codes.Error, text)
		c.span.SetAttributes(errorAttribute(kind))
	}
	c.partition.handled(c, kind)
	c.measure(kind)
	c.span.End()
}

// measure writes the metrics of a call. Events count as consumed once, not once an attempt.
func (c *call) measure(kind string) {
	in, m := &c.telemetry.instruments, c.partition.measured
	if kind != "" {
		m = measuring(c.partition.attributes, errorAttribute(kind))
	}
	in.process.Record(c.ctx, time.Since(c.began).Seconds(), m.record...)
	if c.first.Attempt <= 1 {
		in.consumed.Add(c.ctx, int64(c.count), m.add...)
	} else {
		in.retries.Add(c.ctx, 1, c.partition.own)
	}
}

// watch adds to a span what happens while a handler runs.
type watch struct {
	span   trace.Span
	began  time.Time
	ctx    context.Context //nolint:containedctx // the one that is watched
	unhook func() bool     // of ctx
	ended  func()          // adds the event that says why ctx has ended, once

	timerMu sync.Mutex
	timer   *time.Timer // nil: it is stopped
	next    time.Duration
}

func watchSpan(ctx context.Context, span trace.Span, began time.Time) *watch {
	w := &watch{span: span, began: began, ctx: ctx, next: stalledAfter}
	w.ended = sync.OnceFunc(w.addCause)
	w.unhook = context.AfterFunc(ctx, w.ended)
	w.timerMu.Lock()
	defer w.timerMu.Unlock()
	w.timer = time.AfterFunc(w.next, w.stalled)
	return w
}

// stalled is called by the timer.
func (w *watch) stalled() {
	w.timerMu.Lock()
	defer w.timerMu.Unlock()
	if w.timer == nil {
		return
	}
	w.span.AddEvent(eventStalled, trace.WithAttributes(
		attribute.Float64("eventhubs.running", time.Since(w.began).Seconds())))
	w.timer.Reset(w.next) // twice the time it had
	w.next *= 2
}

func (w *watch) addCause() {
	switch cause := context.Cause(w.ctx); {
	case errors.Is(cause, eventhubs.ErrOwnershipLost):
		w.span.AddEvent(eventLost)
	case errors.Is(cause, eventhubs.ErrDraining):
		w.span.AddEvent(eventDraining)
	}
}

// stop ends the watch. The handler may have returned because its context has ended: then the event is waited for.
func (w *watch) stop() {
	w.timerMu.Lock()
	w.timer.Stop()
	w.timer = nil
	w.timerMu.Unlock()
	if !w.unhook() || w.ctx.Err() != nil {
		w.ended()
	}
}
