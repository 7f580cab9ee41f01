package eventhubsotel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
)

// The library's own records have the ids of the span in whose context they are written: of the handler's call where
// that is at hand, and of what Receive runs in otherwise.
func TestLibraryLogs(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		var out bytes.Buffer
		s.cfg.Logger = slog.New(eventhubsotel.LogHandler(slog.NewJSONHandler(&out, nil)))
		dead, err := eventhubs.NewProducer(s.cfg, nil)
		require.NoError(s, err)
		defer dead.Close(context.Background())
		s.put(eventhubs.Event{})
		ctx, ambient := s.tracers.Tracer("").Start(s.Context(), "main")
		r := s.receive(ctx, s.telemetry.Handler(eventhubs.DeadLetter(dead, 2,
			func(_ context.Context, e *eventhubs.ReceivedEvent) error {
				if e.SequenceNumber > 0 { // the dead letter
					return nil
				}
				return &orderError{}
			})), nil)
		time.Sleep(time.Minute)
		require.NoError(s, r.stop())
		ids := map[string]any{}
		for lines := json.NewDecoder(&out); lines.More(); {
			var record map[string]any
			require.NoError(s, lines.Decode(&record))
			ids[record["msg"].(string)] = record["span_id"]
		}
		require.Equal(s, s.named("process hub")[1].SpanContext.SpanID().String(),
			ids["eventhubs: an event was sent as a dead letter"])
		require.Equal(s, ambient.SpanContext().SpanID().String(),
			ids["eventhubs: the handler failed: retrying"])
	})
}

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
