package eventhubsotel

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
)

// partition is what the handler's calls for one partition have in common, and what they tell Observe.
type partition struct {
	spanName   string
	attributes []attribute.KeyValue
	start      []trace.SpanStartOption // attributes again
	measured   measured
	own        metric.MeasurementOption // of this package's own metrics

	reading, checkpointing metric.MeasurementOption // own, and what fails

	atHandMu sync.Mutex
	atHand   map[int64]taken // events, or first events of batches, that the handler has not succeeded with
	last     time.Time       // when the event was enqueued that was handled last
}

// taken is an event at hand.
type taken struct{ enqueued, began time.Time }

func (t *Telemetry) partition(id string) *partition {
	if p, ok := t.partitions.Load(id); ok {
		return p.(*partition)
	}
	attributes := t.attributes("process", "process",
		attribute.String(attrGroup, t.group), attribute.String(attrPartition, id))
	p := &partition{
		spanName: t.spanName("process"), attributes: attributes, measured: measuring(attributes),
		start: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...),
		},
		own: set(t.own(attribute.String(attrPartition, id))), atHand: map[int64]taken{},
		reading:       set(t.own(attribute.String(attrPartition, id), attribute.String(attrFailure, "reading"))),
		checkpointing: set(t.own(attribute.String(attrPartition, id), attribute.String(attrFailure, "checkpointing"))),
	}
	actual, _ := t.partitions.LoadOrStore(id, p)
	return actual.(*partition)
}

// takes notes that the handler is called with an event.
func (p *partition) takes(e *eventhubs.ReceivedEvent, now time.Time) {
	if e.EnqueuedTime == nil {
		return
	}
	p.atHandMu.Lock()
	defer p.atHandMu.Unlock()
	if was, ok := p.atHand[e.SequenceNumber]; ok && e.Attempt > 1 {
		now = was.began
	}
	p.atHand[e.SequenceNumber] = taken{*e.EnqueuedTime, now}
}

// handled notes how a call has ended. An event that the handler has failed with stays at hand until it comes again.
func (p *partition) handled(c *call, kind string) {
	if kind != "" && c.returned && c.ctx.Err() == nil {
		return
	}
	p.atHandMu.Lock()
	defer p.atHandMu.Unlock()
	delete(p.atHand, c.first.SequenceNumber)
	if e := c.last.EnqueuedTime; kind == "" && e != nil && e.After(p.last) {
		p.last = *e
	}
}

// oldest says when the oldest event at hand was enqueued, and the one that was handled last; zero: there is none.
// Events that were taken before the partition was, are not at hand any more.
func (p *partition) oldest(since time.Time) (atHand, last time.Time) {
	p.atHandMu.Lock()
	defer p.atHandMu.Unlock()
	for sequence, t := range p.atHand {
		if t.began.Before(since) {
			delete(p.atHand, sequence)
			continue
		}
		if atHand.IsZero() || t.enqueued.Before(atHand) {
			atHand = t.enqueued
		}
	}
	return atHand, p.last
}
