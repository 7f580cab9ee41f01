package eventhubsotel

import (
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"
)

// LogHandler wraps a handler of log/slog. A record whose context has a span gets the attributes trace_id and span_id,
// at the top, whatever groups are open. Use it for eventhubs.Config's Logger and your own:
//
//	cfg.Logger = slog.New(eventhubsotel.LogHandler(slog.Default().Handler()))
func LogHandler(next slog.Handler) slog.Handler { return &logHandler{bare: next, next: next} }

// logHandler is a handler that was derived from bare by steps, to next.
type logHandler struct {
	bare, next slog.Handler
	steps      []func(slog.Handler) slog.Handler // nil: no group is open
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return h.next.Handle(ctx, r)
	}
	attributes := []slog.Attr{
		slog.String("trace_id", c.TraceID().String()), slog.String("span_id", c.SpanID().String()),
	}
	if h.steps == nil {
		r = r.Clone()
		r.AddAttrs(attributes...)
		return h.next.Handle(ctx, r)
	}
	next := h.bare.WithAttrs(attributes)
	for _, step := range h.steps {
		next = step(next)
	}
	return next.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	step := func(next slog.Handler) slog.Handler { return next.WithAttrs(attributes) }
	if h.steps == nil {
		next := step(h.next)
		return &logHandler{bare: next, next: next}
	}
	return h.then(step)
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.then(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *logHandler) then(step func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{bare: h.bare, next: step(h.next), steps: append(slices.Clip(h.steps), step)}
}
