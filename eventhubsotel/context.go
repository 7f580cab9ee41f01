package eventhubsotel

import (
	"context"
	"maps"
	"slices"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
)

// The application properties that carry a context. .NET writes all three (azure-sdk-for-net,
// Azure.Core/src/Shared/MessagingClientDiagnostics.cs), as does Python (azure-eventhub, _tracing.py); JavaScript writes
// and reads the second only (@azure/event-hubs, diagnostics/instrumentEventData.js).
const (
	propertyParent     = "traceparent"
	propertyDiagnostic = "Diagnostic-Id"
	propertyState      = "tracestate"
)

// properties are an event's application properties, as a carrier of W3C trace contexts. Older clients write binary.
type properties map[string]any

func (p properties) Get(key string) string {
	switch v := p[key].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

func (p properties) Set(key, value string) { p[key] = value }

func (p properties) Keys() []string { return nil } // propagation.TraceContext has no use for them

// marked reports whether somebody has given the event a context. Whether we understand it or not, it is theirs.
func (p properties) marked() bool {
	_, parent := p[propertyParent]
	_, diagnostic := p[propertyDiagnostic]
	return parent || diagnostic
}

// legacy are properties whose traceparent is in Diagnostic-Id.
type legacy struct{ properties }

func (l legacy) Get(key string) string {
	if key == propertyParent {
		key = propertyDiagnostic
	}
	return l.properties.Get(key)
}

// creator is the context that an event was sent in. It is not valid if there is none.
func (p properties) creator() trace.SpanContext {
	if !p.marked() {
		return trace.SpanContext{}
	}
	w3c := propagation.TraceContext{}
	for _, carrier := range []propagation.TextMapCarrier{p, legacy{p}} {
		if c := trace.SpanContextFromContext(w3c.Extract(context.Background(), carrier)); c.IsValid() {
			return c
		}
	}
	return trace.SpanContext{}
}

// stamped returns the events with a context in each of them that has none. The caller's events keep their own
// properties. Without a valid context they are what it returns.
func stamped(c trace.SpanContext, events []eventhubs.Event) []eventhubs.Event {
	if !c.IsValid() {
		return events
	}
	added := make(properties, 3)
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), c), added)
	added[propertyDiagnostic] = added[propertyParent]
	out := slices.Clone(events)
	for i := range out {
		if own := out[i].Properties; !properties(own).marked() {
			all := make(map[string]any, len(own)+len(added))
			maps.Copy(all, own)
			maps.Copy(all, added)
			out[i].Properties = all
		}
	}
	return out
}
