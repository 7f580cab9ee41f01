package eventhubsotel_test

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestSendOne(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		event := eventhubs.Event{PartitionID: "0", MessageID: "m", Properties: map[string]any{"a": int64(1)}}
		require.NoError(s, s.sender().Send(s.Context(), event))
		require.Equal(s, map[string]any{"a": int64(1)}, event.Properties, "the caller's")

		span := s.one("send hub")
		require.Equal(s, trace.SpanKindProducer, span.SpanKind)
		require.Equal(s, codes.Unset, span.Status.Code)
		got := attributes(span.Attributes)
		delete(got, "server.port")
		require.Equal(s, map[string]any{
			"messaging.system": "eventhubs", "messaging.operation.name": "send", "messaging.operation.type": "send",
			"messaging.destination.name": "hub", "messaging.destination.partition.id": "0", "messaging.message.id": "m",
			"server.address": s.address(),
		}, got)
		require.Equal(s, "https://opentelemetry.io/schemas/1.44.0", span.InstrumentationScope.SchemaURL)

		stored := s.server.Events("hub", "0")[0]
		w3c := "00-" + span.SpanContext.TraceID().String() + "-" + span.SpanContext.SpanID().String() + "-01"
		require.Equal(s, map[string]any{"a": int64(1), "traceparent": w3c, "Diagnostic-Id": w3c}, stored.Properties)

		require.Equal(s, 1.0, s.value("messaging.client.sent.messages", "messaging.destination.partition.id", "0"))
		p, ok := s.find("messaging.client.operation.duration", "messaging.operation.name", "send")
		require.True(s, ok)
		require.Equal(s, uint64(1), p.count)
		require.NotContains(s, p.attributes, "error.type")
	})
}

func TestSendSeveral(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		theirs := eventhubs.Event{PartitionID: "0", Properties: map[string]any{"Diagnostic-Id": parent}}
		require.NoError(s, s.sender().Send(s.Context(), eventhubs.Event{PartitionID: "0"}, theirs))
		span := s.one("send hub")
		require.Equal(s, trace.SpanKindProducer, span.SpanKind)
		require.Equal(s, int64(2), attributes(span.Attributes)["messaging.batch.message_count"])
		require.Len(s, span.Links, 1, "to the context that an event has brought")
		require.Equal(s, "b7ad6b7169203331", span.Links[0].SpanContext.SpanID().String())
		stored := s.server.Events("hub", "0")
		require.Contains(s, stored[0].Properties["traceparent"], span.SpanContext.SpanID().String())
		require.Equal(s, map[string]any{"Diagnostic-Id": parent}, stored[1].Properties, "left alone")
		require.Equal(s, 2.0, s.value("messaging.client.sent.messages"))
	})
}

// An event that has a context already keeps it, and the span of the call creates none.
func TestSendForwarded(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		require.NoError(s, s.sender().Send(s.Context(),
			eventhubs.Event{PartitionID: "0", Properties: map[string]any{"traceparent": parent, "tracestate": "a=b"}}))
		span := s.one("send hub")
		require.Equal(s, trace.SpanKindClient, span.SpanKind)
		require.Equal(s, "a=b", span.Links[0].SpanContext.TraceState().String())
		require.Equal(s, map[string]any{"traceparent": parent, "tracestate": "a=b"},
			s.server.Events("hub", "0")[0].Properties)
	})
}

func TestCreateSpans(t *testing.T) {
	inScene(t, eventhubsotel.Options{CreateSpans: true}, func(s *scene) {
		require.NoError(s, s.sender().Send(s.Context(), eventhubs.Event{PartitionID: "0"}, eventhubs.Event{PartitionID: "0"}))
		created, span := s.named("create hub"), s.one("send hub")
		require.Len(s, created, 2)
		require.Equal(s, trace.SpanKindClient, span.SpanKind)
		for i, c := range created {
			require.Equal(s, trace.SpanKindProducer, c.SpanKind)
			require.Equal(s, c.SpanContext.SpanID(), span.Links[i].SpanContext.SpanID())
			require.Contains(s, s.server.Events("hub", "0")[i].Properties["traceparent"], c.SpanContext.SpanID().String())
		}
	})
}

// What isn't sampled is propagated, as not sampled; with no span at all nothing is.
func TestSendUnsampled(t *testing.T) {
	inScene(t, eventhubsotel.Options{TracerProvider: sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.NeverSample()))}, func(s *scene) {
		require.NoError(s, s.sender().Send(s.Context(), eventhubs.Event{PartitionID: "0"}))
		require.Empty(s, s.spans.GetSpans())
		require.Regexp(s, "-00$", s.server.Events("hub", "0")[0].Properties["traceparent"])
	})
}

func TestSendWithoutProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := startServer(t)
		p, err := eventhubs.NewProducer(srv.Config("hub"), nil)
		require.NoError(t, err)
		defer p.Close(t.Context())
		sender := eventhubsotel.New(srv.Config("hub"), nil).Sender(p)
		require.NoError(t, sender.Send(t.Context(), eventhubs.Event{PartitionID: "0"}))
		require.NoError(t, sender.Send(t.Context()))
		require.Empty(t, srv.Events("hub", "0")[0].Properties)
	})
}

func TestSendFails(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		sender := s.sender()
		s.server.Fault(eventhubstest.Fault{
			On: eventhubstest.OnPublish, Condition: "amqp:not-allowed", Description: "no", Times: 1,
		})
		err := sender.Send(s.Context(), eventhubs.Event{PartitionID: "0"}, eventhubs.Event{PartitionID: "0"})
		require.Error(s, err)
		span := s.one("send hub")
		require.Equal(s, codes.Error, span.Status.Code)
		require.Equal(s, err.Error(), span.Status.Description)
		require.Equal(s, "amqp:not-allowed", attributes(span.Attributes)["error.type"])
		require.Equal(s, int64(2), attributes(span.Attributes)["eventhubs.unacknowledged"])
		require.Equal(s, 2.0, s.value("messaging.client.sent.messages", "error.type", "amqp:not-allowed"))
	})
}

// Some events of a call may have been sent.
func TestSendFailsInPart(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		require.NoError(s, s.server.AddPartitions("hub", 1))
		sender := s.sender()
		s.server.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Partition: "1", Condition: "amqp:not-allowed"})
		err := sender.Send(s.Context(), eventhubs.Event{PartitionID: "0"}, eventhubs.Event{PartitionID: "1"})
		require.Error(s, err)
		require.Equal(s, int64(1), attributes(s.one("send hub").Attributes)["eventhubs.unacknowledged"])
		require.Equal(s, 1.0, s.value("messaging.client.sent.messages", "error.type", "amqp:not-allowed"))
		require.Equal(s, 1.0, s.value("messaging.client.sent.messages", "error.type", nil))
	})
}

// The context never keeps an event from being sent that is small enough without it.
func TestSendLarge(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		sender := s.sender()
		size := 0
		for _, body := range []int{1 << 20, 1<<20 - 100, 1<<20 - 200, 1<<20 - 300} {
			e := eventhubs.Event{PartitionID: "0", Body: bytes.Repeat([]byte("x"), body), MessageID: "m"}
			if sender.Send(s.Context(), e) == nil {
				size = body
				break
			}
		}
		require.NotZero(s, size)
		last := s.named("send hub")
		span := last[len(last)-1]
		require.Equal(s, []string{"sent without context: it makes an event too large"}, eventNames(span))
		require.Empty(s, s.server.Events("hub", "0")[0].Properties)
		require.Equal(s, "event_too_large", attributes(last[0].Attributes)["error.type"])
	})
}
