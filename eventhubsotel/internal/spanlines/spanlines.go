// Package spanlines writes spans as lines of JSON, for programs that compare traces, and for readers.
package spanlines

import (
	"context"
	"encoding/json"
	"io"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Span is what one line says about a span. Fields without a value are left out.
type Span struct {
	Name       string         `json:"name"`
	Kind       string         `json:"kind"` // "producer", "consumer", "client" or "internal"
	TraceID    string         `json:"trace_id"`
	SpanID     string         `json:"span_id"`
	ParentID   string         `json:"parent_id,omitempty"`
	Links      []Link         `json:"links,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Events     []string       `json:"events,omitempty"` // their names
	Error      string         `json:"error,omitempty"`
}

// Link is what a span links to.
type Link struct {
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
}

// Exporter writes a line for each span that ends. Give it to sdktrace.WithSyncer.
type Exporter struct {
	outMu sync.Mutex
	out   *json.Encoder
}

// New returns an Exporter that writes to out. Nothing else may write to out at the same time.
func New(out io.Writer) *Exporter { return &Exporter{out: json.NewEncoder(out)} }

// ExportSpans writes a line for each span.
func (e *Exporter) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.outMu.Lock()
	defer e.outMu.Unlock()
	for _, s := range spans {
		if err := e.out.Encode(Of(s)); err != nil {
			return err
		}
	}
	return nil
}

// Shutdown does nothing.
func (e *Exporter) Shutdown(context.Context) error { return nil }

// Of returns the line for a span.
func Of(s sdktrace.ReadOnlySpan) Span {
	out := Span{
		Name: s.Name(), Kind: s.SpanKind().String(), Error: s.Status().Description,
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
	}
	if p := s.Parent(); p.IsValid() {
		out.ParentID = p.SpanID().String()
	}
	for _, l := range s.Links() {
		out.Links = append(out.Links, linkOf(l.SpanContext))
	}
	for _, a := range s.Attributes() {
		if out.Attributes == nil {
			out.Attributes = map[string]any{}
		}
		out.Attributes[string(a.Key)] = a.Value.AsInterface()
	}
	for _, e := range s.Events() {
		out.Events = append(out.Events, e.Name)
	}
	return out
}

func linkOf(c trace.SpanContext) Link { return Link{c.TraceID().String(), c.SpanID().String()} }
