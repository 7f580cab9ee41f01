package eventhubsotel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs/eventhubsotel"
)

func TestLogHandler(t *testing.T) {
	t.Parallel()
	traced := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2},
	}))
	const traceID, spanID = "01000000000000000000000000000000", "0200000000000000"
	for name, c := range map[string]struct {
		ctx  context.Context
		log  func(*slog.Logger) *slog.Logger
		want map[string]any
	}{
		"no span": {t.Context(), func(l *slog.Logger) *slog.Logger { return l }, map[string]any{"n": 1.0}},
		"span": {traced, func(l *slog.Logger) *slog.Logger { return l.With("a", 1) }, map[string]any{
			"a": 1.0, "n": 1.0, "trace_id": traceID, "span_id": spanID,
		}},
		"group": {traced, func(l *slog.Logger) *slog.Logger {
			return l.With("a", 1).WithGroup("").WithGroup("g").With("b", 2)
		}, map[string]any{
			"a": 1.0, "g": map[string]any{"b": 2.0, "n": 1.0}, "trace_id": traceID, "span_id": spanID,
		}},
		"group, no span": {t.Context(), func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") }, map[string]any{
			"g": map[string]any{"n": 1.0},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			l := c.log(slog.New(eventhubsotel.LogHandler(slog.NewJSONHandler(&out, nil))))
			l.DebugContext(c.ctx, "not shown")
			l.InfoContext(c.ctx, "shown", "n", 1)
			var got map[string]any
			require.NoError(t, json.Unmarshal(out.Bytes(), &got), out.String())
			for _, k := range []string{"time", "level", "msg"} {
				delete(got, k)
			}
			require.Equal(t, c.want, got)
		})
	}
}
