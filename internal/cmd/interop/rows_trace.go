package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// span is a line that a tracing program prints: see eventhubsotel/internal/spanlines, and trace of the other languages.
type span struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	TraceID  string   `json:"trace_id"`
	SpanID   string   `json:"span_id"`
	ParentID string   `json:"parent_id"`
	Links    []spanID `json:"links"`
}

type spanID struct {
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
}

// tracer runs tracing programs of several languages against a namespace of their own.
type tracer struct {
	scene  *scene
	server *eventhubstest.Server
}

// The hubs of a tracer's namespace.
const (
	firstHub  = "in"
	secondHub = "out"
)

func (s *scene) tracer() (*tracer, error) {
	hubs := []eventhubstest.Hub{{Name: firstHub, Partitions: 1}, {Name: secondHub, Partitions: 1}}
	server, err := eventhubstest.New(&eventhubstest.Options{Hubs: hubs})
	if err != nil {
		return nil, err
	}
	return &tracer{s, server}, nil
}

// traceToOurs has a client send with its own OpenTelemetry, and ours handle the event in the same trace.
func traceToOurs(ctx context.Context, s *scene) error {
	t, err := s.tracer()
	if err != nil {
		return err
	}
	defer t.server.Close()
	sent, err := t.client(ctx, s.name, firstHub, "send", "producer")
	if err != nil {
		return err
	}
	handled, err := t.ours(ctx, "handle")
	if err != nil {
		return err
	}
	return continues(kindOfSpan(handled, "consumer"), sent)
}

// traceFromOurs does the reverse.
func traceFromOurs(ctx context.Context, s *scene) error {
	t, err := s.tracer()
	if err != nil {
		return err
	}
	defer t.server.Close()
	sent, err := t.ours(ctx, "send", "traced")
	if err != nil {
		return err
	}
	processed, err := t.client(ctx, s.name, firstHub, "receive", "consumer")
	if err != nil {
		return err
	}
	return s.follows(s.name, processed, kindOfSpan(sent, "producer"))
}

// traceThrough follows one event from a client through a handler and a sender of ours to JavaScript.
func traceThrough(ctx context.Context, s *scene) error {
	if s.clients["js"] == nil {
		return unsupported("js is not there to receive")
	}
	t, err := s.tracer()
	if err != nil {
		return err
	}
	defer t.server.Close()
	sent, err := t.client(ctx, s.name, firstHub, "send", "producer")
	if err != nil {
		return err
	}
	ours, err := t.ours(ctx, "-to", secondHub, "handle")
	if err != nil {
		return err
	}
	last, err := t.client(ctx, "js", secondHub, "receive", "consumer")
	if err != nil {
		return err
	}
	handled, relayed := kindOfSpan(ours, "consumer"), kindOfSpan(ours, "producer")
	s.transcript = []string{
		fmt.Sprintf("%s: %s", s.name, sent.Name),
		fmt.Sprintf("  ours: %s (child)", handled.Name),
		fmt.Sprintf("    ours: %s (child)", relayed.Name),
		fmt.Sprintf("      js: %s (link)", last.Name),
	}
	return failures(continues(handled, sent), continues(relayed, handled), s.follows("js", last, relayed))
}

// follows wants a client's span to be a child of another one. JavaScript's span is for a batch, so it must link to the
// other one instead.
func (s *scene) follows(client string, after, before span) error {
	if client != "js" {
		return continues(after, before)
	}
	if before.SpanID == "" || !slices.Contains(after.Links, spanID{before.TraceID, before.SpanID}) {
		return fmt.Errorf("span %q (%+v) does not link to %q (%+v)", after.Name, after, before.Name, before)
	}
	s.note("its span links to that of the sender: it is for a batch")
	return nil
}

// continues wants a span to be a child of another one, in the same trace.
func continues(after, before span) error {
	if before.SpanID == "" || after.TraceID != before.TraceID || after.ParentID != before.SpanID {
		return fmt.Errorf("span %q (%+v) does not continue %q (%+v)", after.Name, after, before.Name, before)
	}
	return nil
}

func kindOfSpan(spans []span, kind string) (s span) {
	for _, s := range spans {
		if s.Kind == kind {
			return s
		}
	}
	return s
}

// client runs a client's program and returns its span of a kind.
func (t *tracer) client(ctx context.Context, client, hub, what, kind string) (span, error) {
	script := filepath.Join(t.scene.tools.drivers, client, runScript)
	spans, err := t.run(ctx, client, hub, script, "trace", what)
	if err != nil {
		return span{}, err
	}
	if s := kindOfSpan(spans, kind); s.SpanID != "" {
		return s, nil
	}
	return span{}, fmt.Errorf("%s has printed no span of the kind %s: %+v", client, kind, spans)
}

func (t *tracer) ours(ctx context.Context, args ...string) ([]span, error) {
	return t.run(ctx, "ours", firstHub, filepath.Join(t.scene.tools.programs, "tracedriver"), args...)
}

// run runs a program until it ends, and returns the spans that it prints.
func (t *tracer) run(ctx context.Context, name, hub, command string, args ...string) (spans []span, err error) {
	p, err := startProgram(name, variables(t.server.Env(hub)...), command, args...)
	if err != nil {
		return nil, err
	}
	defer p.close()
	lines, err := p.rest(ctx, false)
	for _, line := range lines {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var s span
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			return nil, fmt.Errorf("%s prints %s: %w", name, brief([]byte(line)), err)
		}
		spans = append(spans, s)
	}
	return spans, err
}
