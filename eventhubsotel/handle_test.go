package eventhubsotel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
)

func (s *scene) put(events ...eventhubs.Event) {
	for i := range events {
		events[i].PartitionID = "0"
	}
	require.NoError(s, s.server.Send(s.Context(), "hub", events...))
}

func TestHandler(t *testing.T) {
	inScene(t, eventhubsotel.Options{ConsumerGroup: ""}, func(s *scene) {
		require.NoError(s, s.sender().Send(s.Context(), eventhubs.Event{PartitionID: "0", MessageID: "m"}))
		var inside trace.SpanContext
		r := s.receive(s.Context(), s.telemetry.Handler(func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
			inside = trace.SpanContextFromContext(ctx)
			time.Sleep(2 * time.Second)
			return nil
		}), nil)
		time.Sleep(time.Minute)
		require.NoError(s, r.stop())

		sent, span := s.one("send hub"), s.one("process hub")
		require.Equal(s, inside.SpanID(), span.SpanContext.SpanID())
		require.Equal(s, trace.SpanKindConsumer, span.SpanKind)
		require.False(s, span.Parent.IsValid())
		require.Len(s, span.Links, 1)
		require.Equal(s, sent.SpanContext.SpanID(), span.Links[0].SpanContext.SpanID())
		require.True(s, span.Links[0].SpanContext.IsRemote())
		got := attributes(span.Attributes)
		require.NotZero(s, got["server.port"])
		delete(got, "server.port")
		enqueued := s.server.Events("hub", "0")[0].EnqueuedTime.Unix()
		require.Equal(s, map[string]any{
			"messaging.system": "eventhubs", "messaging.operation.name": "process", "messaging.operation.type": "process",
			"messaging.destination.name": "hub", "messaging.destination.partition.id": "0", "messaging.message.id": "m",
			"messaging.consumer.group.name": "$Default", "messaging.eventhubs.message.enqueued_time": enqueued,
			"server.address": s.address(), "eventhubs.attempt": int64(1), "eventhubs.sequence_number": int64(0),
		}, got)
		require.Equal(s, 1.0, s.value("messaging.client.consumed.messages"))
		require.Equal(s, 2.0, s.value("messaging.process.duration", "messaging.consumer.group.name", "$Default"))
	})
}

func TestChildSpans(t *testing.T) {
	inScene(t, eventhubsotel.Options{ChildSpans: true}, func(s *scene) {
		require.NoError(s, s.sender().Send(s.Context(), eventhubs.Event{PartitionID: "0"}))
		s.put(eventhubs.Event{}) // from somebody without tracing
		ctx, ambient := s.tracers.Tracer("").Start(s.Context(), "main")
		r := s.receive(ctx, s.telemetry.Handler(succeed), nil)
		time.Sleep(time.Minute)
		require.NoError(s, r.stop())
		sent, spans := s.one("send hub"), s.named("process hub")
		require.Equal(s, sent.SpanContext.SpanID(), spans[0].Parent.SpanID())
		require.Equal(s, sent.SpanContext.TraceID(), spans[0].SpanContext.TraceID())
		require.Len(s, spans[0].Links, 2, "to the sender and to the span that Receive runs in")
		require.Equal(s, ambient.SpanContext().SpanID(), spans[0].Links[1].SpanContext.SpanID())
		require.Equal(s, ambient.SpanContext().SpanID(), spans[1].Parent.SpanID(), "without a sender's")
	})
}

func succeed(context.Context, *eventhubs.ReceivedEvent) error { return nil }

// What clients have written is read: traceparent before Diagnostic-Id, strings and binary, and only W3C's contexts.
func TestReadContext(t *testing.T) {
	const other = "00-0af7651916cd43dd8448eb211c80319c-aaaaaaaaaaaaaaaa-00"
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		for _, p := range []map[string]any{
			{"traceparent": parent, "Diagnostic-Id": other, "tracestate": "a=b"},
			{"Diagnostic-Id": parent},
			{"traceparent": []byte(parent)},
			{"traceparent": "nonsense", "Diagnostic-Id": parent},
			{"Diagnostic-Id": "|a.b."},
			{"traceparent": int64(1)},
			nil,
		} {
			s.put(eventhubs.Event{Properties: p})
		}
		r := s.receive(s.Context(), s.telemetry.Handler(succeed), nil)
		time.Sleep(time.Minute)
		require.NoError(s, r.stop())
		spans := s.named("process hub")
		require.Len(s, spans, 7)
		for i, span := range spans {
			if i >= 4 {
				require.Empty(s, span.Links, i)
				continue
			}
			require.Len(s, span.Links, 1, i)
			require.Equal(s, "b7ad6b7169203331", span.Links[0].SpanContext.SpanID().String())
		}
		require.Equal(s, "a=b", spans[0].Links[0].SpanContext.TraceState().String())
	})
}

type orderError struct{}

func (*orderError) Error() string { return "no such order" }

func TestAttempts(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.put(eventhubs.Event{})
		r := s.receive(s.Context(), s.telemetry.Handler(func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.Attempt < 3 {
				return &orderError{}
			}
			return nil
		}), nil)
		time.Sleep(time.Minute)
		require.NoError(s, r.stop())
		spans := s.named("process hub")
		require.Len(s, spans, 3, "one for each attempt")
		for i, span := range spans {
			got := attributes(span.Attributes)
			require.Equal(s, int64(i+1), got["eventhubs.attempt"])
			if i == 2 {
				require.Equal(s, codes.Unset, span.Status.Code)
				require.NotContains(s, got, "error.type")
				continue
			}
			require.Equal(s, sdktrace.Status{Code: codes.Error, Description: "no such order"}, span.Status)
			require.Equal(s, "eventhubsotel_test.orderError", got["error.type"])
		}
		require.Len(s, s.points("messaging.client.consumed.messages"), 1, "an event counts once")
		require.Equal(s, 1.0, s.value("messaging.client.consumed.messages"))
		require.Equal(s, 2.0, s.value("eventhubs.process.retries"))
		failed, _ := s.find("messaging.process.duration", "error.type", "eventhubsotel_test.orderError")
		require.Equal(s, uint64(2), failed.count)
	})
}

func TestBatchHandler(t *testing.T) {
	inScene(t, eventhubsotel.Options{ChildSpans: true}, func(s *scene) {
		s.put(eventhubs.Event{MessageID: "a", Properties: map[string]any{"traceparent": parent}},
			eventhubs.Event{}, eventhubs.Event{MessageID: "c", Properties: map[string]any{"Diagnostic-Id": parent}})
		r := s.receive(s.Context(), nil, s.telemetry.BatchHandler(
			func(ctx context.Context, events []*eventhubs.ReceivedEvent) error {
				require.True(s, trace.SpanFromContext(ctx).IsRecording())
				require.Len(s, events, 3)
				return nil
			}))
		time.Sleep(time.Minute)
		require.NoError(s, r.stop())
		span := s.one("process hub")
		require.False(s, span.Parent.IsValid(), "a batch has no one parent")
		require.Equal(s, int64(3), attributes(span.Attributes)["messaging.batch.message_count"])
		require.NotContains(s, attributes(span.Attributes), "messaging.message.id")
		require.Len(s, span.Links, 2)
		require.Equal(s, "a", attributes(span.Links[0].Attributes)["messaging.message.id"])
		require.Equal(s, "c", attributes(span.Links[1].Attributes)["messaging.message.id"])
		require.Equal(s, 3.0, s.value("messaging.client.consumed.messages"))
	})
}

func TestPanic(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.put(eventhubs.Event{})
		r := s.receive(s.Context(), s.telemetry.Handler(func(context.Context, *eventhubs.ReceivedEvent) error {
			panic("no way")
		}), nil)
		err := <-r.ended
		var failed *eventhubs.HandlerError
		require.ErrorAs(s, err, &failed)
		require.Equal(s, "no way", failed.Panic)
		require.Contains(s, string(failed.Stack), "TestPanic", "the stack is the handler's")
		span := s.one("process hub")
		require.Equal(s, codes.Error, span.Status.Code)
		require.Equal(s, "panic", attributes(span.Attributes)["error.type"])
	})
}

// A permanent error ends Receive as ever.
func TestStop(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.put(eventhubs.Event{})
		reason := errors.New("broken for good")
		r := s.receive(s.Context(), s.telemetry.Handler(func(context.Context, *eventhubs.ReceivedEvent) error {
			return eventhubs.Stop(reason)
		}), nil)
		require.ErrorIs(s, <-r.ended, reason)
		require.Equal(s, "_OTHER", attributes(s.one("process hub").Attributes)["error.type"])
	})
}

func TestStall(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.put(eventhubs.Event{})
		r := s.receive(s.Context(), s.telemetry.Handler(func(context.Context, *eventhubs.ReceivedEvent) error {
			time.Sleep(130 * time.Second)
			return nil
		}), nil)
		time.Sleep(3 * time.Minute)
		require.NoError(s, r.stop())
		span := s.one("process hub")
		require.Equal(s, []string{"stalled", "stalled", "stalled"}, eventNames(span))
		for i, after := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute} {
			require.Equal(s, span.StartTime.Add(after), span.Events[i].Time)
		}
	})
}

// The end of its context is in the span of a handler, also if the handler returns at the same time: of many, in all.
func TestDraining(t *testing.T) {
	const many = 100
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.options.DrainTimeout, s.options.Concurrency = 10*time.Second, many
		s.put(make([]eventhubs.Event, many)...)
		r := s.receive(s.Context(), s.telemetry.Handler(func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
			<-ctx.Done()
			return ctx.Err()
		}), nil)
		time.Sleep(5 * time.Second)
		require.NoError(s, r.stop())
		spans := s.named("process hub")
		require.Len(s, spans, many)
		for _, span := range spans {
			require.Equal(s, []string{"draining"}, eventNames(span))
			require.Equal(s, "draining", attributes(span.Attributes)["error.type"])
		}
	})
}

func TestOwnershipLost(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		inner := eventhubs.NewMemoryCheckpointStore()
		s.store = s.telemetry.CheckpointStore(inner)
		s.put(eventhubs.Event{})
		r := s.receive(s.Context(), s.telemetry.Handler(func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
			<-ctx.Done()
			time.Sleep(time.Minute)
			return ctx.Err()
		}), nil)
		time.Sleep(5 * time.Second)
		s.steal(inner)
		time.Sleep(5 * time.Minute)
		require.NoError(s, r.stop())
		span := s.named("process hub")[0]
		require.Equal(s, "ownership lost", span.Events[0].Name)
		require.Equal(s, "ownership_lost", attributes(span.Attributes)["error.type"])
		require.Equal(s, 1.0, s.value("eventhubs.partition.changes", "eventhubs.partition.change", "lost",
			"messaging.destination.partition.id", "0"))
	})
}

// steal has a consumer of another library take the partition.
func (s *scene) steal(store eventhubs.CheckpointStore) {
	list, err := store.ListOwnership(s.Context(), s.namespace(), "hub", "$Default", nil)
	require.NoError(s, err)
	require.Len(s, list, 1)
	list[0].OwnerID = "thief"
	got, err := store.ClaimOwnership(s.Context(), []azeventhubs.Ownership{list[0]}, nil)
	require.NoError(s, err)
	require.Len(s, got, 1)
}
