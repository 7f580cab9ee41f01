package eventhubs_test

import (
	"bytes"
	"context"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// relay is a namespace in memory with two event hubs, "in" and "out", of one partition each.
type relay struct {
	t   *testing.T
	srv *eventhubstest.Server
	sdk *azeventhubs.ProducerClient // of "in"
	out *eventhubs.Producer
}

func newRelay(t *testing.T) *relay {
	srv := eventhubstest.Start(t, &eventhubstest.Options{
		InMemory: true, Hubs: []eventhubstest.Hub{{Name: "in", Partitions: 1}, {Name: "out", Partitions: 1}},
	})
	sdk, err := azeventhubs.NewProducerClientFromConnectionString(srv.ConnectionString("in"), "",
		&azeventhubs.ProducerClientOptions{NewWebSocketConn: srv.NewWebSocketConn})
	require.NoError(t, err)
	t.Cleanup(func() { _ = sdk.Close(context.Background()) })
	out, err := eventhubs.NewProducer(srv.Config("out"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = out.Close(context.Background()) })
	return &relay{t: t, srv: srv, sdk: sdk, out: out}
}

// put sends a message of AMQP to "in".
func (r *relay) put(m *azeventhubs.AMQPAnnotatedMessage, o *azeventhubs.EventDataBatchOptions) {
	batch, err := r.sdk.NewEventDataBatch(r.t.Context(), o)
	require.NoError(r.t, err)
	require.NoError(r.t, batch.AddAMQPAnnotatedMessage(m, nil))
	require.NoError(r.t, r.sdk.SendEventDataBatch(r.t.Context(), batch, nil))
}

// take receives n events of an event hub.
func (r *relay) take(hub string, n int) []*eventhubs.ReceivedEvent {
	c, err := eventhubs.NewConsumer(r.srv.Config(hub), eventhubs.NewMemoryCheckpointStore(), nil)
	require.NoError(r.t, err)
	defer c.Close(context.Background())
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	var events []*eventhubs.ReceivedEvent
	require.NoError(r.t, c.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if events = append(events, e); len(events) == n {
			cancel()
		}
		return nil
	}))
	require.Len(r.t, events, n)
	return events
}

// sent is a received message without what the service has added.
func sent(e *eventhubs.ReceivedEvent) azeventhubs.AMQPAnnotatedMessage {
	m := *e.RawAMQPMessage
	annotations := map[any]any{}
	for k, v := range m.MessageAnnotations {
		switch k {
		case "x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time":
		default:
			annotations[k] = v
		}
	}
	m.MessageAnnotations, m.DeliveryTag = annotations, nil
	return m
}

// TestEventIsUnchanged sends on what other SDKs can send, and compares what those who read it get.
func TestEventIsUnchanged(t *testing.T) {
	id := amqp.UUID{0: 1, 15: 2}
	at := time.Date(2026, 11, 25, 10, 0, 0, int(7*time.Millisecond), time.UTC)
	text := func(s string) *string { return &s }
	data := azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("body")}}
	type body = azeventhubs.AMQPAnnotatedMessageBody
	type properties = azeventhubs.AMQPAnnotatedMessageProperties
	for name, m := range map[string]azeventhubs.AMQPAnnotatedMessage{
		"plain": {
			Body: data, Properties: &properties{MessageID: "m", ContentType: text("text/plain"), CorrelationID: uint64(7)},
		},
		"empty body":    {Body: body{Data: [][]byte{{}}}},
		"text":          {Body: body{Value: "a text message"}},
		"empty text":    {Body: body{Value: ""}},
		"number":        {Body: body{Value: math.Pi}},
		"false":         {Body: body{Value: false}},
		"binary value":  {Body: body{Value: []byte("binary")}},
		"map":           {Body: body{Value: map[string]any{"a": int64(1), "b": []any{"c", nil}}}},
		"list":          {Body: body{Value: []any{int32(1), "two", 3.0, nil, at, id}}},
		"null":          {Body: body{Value: amqp.Null{}}},
		"sequence":      {Body: body{Sequence: [][]any{{"a", int32(1)}, {"b"}}}},
		"data sections": {Body: body{Data: [][]byte{[]byte("one"), []byte("two")}}},
		"uuid":          {Body: data, Properties: &properties{MessageID: id, CorrelationID: id}},
		"ulong":         {Body: data, Properties: &properties{MessageID: uint64(12), CorrelationID: uint64(1)}},
		"binary id":     {Body: data, Properties: &properties{MessageID: []byte{1, 2}, CorrelationID: []byte{3}}},
		"typed values": {Body: data, ApplicationProperties: map[string]any{
			"u": id, "t": at, "i": int8(-1), "f": float32(1.5), "b": []byte("x"),
		}},
		"a list as a property": {Body: data, ApplicationProperties: map[string]any{
			"l": []any{"a"}, "m": map[string]any{"b": true},
		}},
		"header": {Body: data, Header: &azeventhubs.AMQPAnnotatedMessageHeader{Durable: true, Priority: 9, TTL: time.Hour}},
		"footer": {Body: data, Footer: map[any]any{"crc": "a1"}},
		"annotations": {Body: data, MessageAnnotations: map[any]any{
			"x-opt-jms-msg-type": int8(5), "iothub-connection-device-id": "d1",
		}},
		"all of the rest": {Body: data, Properties: &properties{
			MessageID: "m", UserID: []byte("u"), To: text("to"), Subject: text("s"), ReplyTo: text("r"),
			ContentEncoding: text("gzip"), AbsoluteExpiryTime: &at, CreationTime: &at,
			GroupID: text("g"), GroupSequence: new(uint32), ReplyToGroupID: text("rg"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRelay(t)
				r.put(&m, nil)
				r.put(&m, &azeventhubs.EventDataBatchOptions{PartitionKey: text("key")})
				for i, e := range r.take("in", 2) {
					event, err := e.Event()
					require.NoError(t, err)
					require.Equal(t, []string{"", "key"}[i], event.PartitionKey)
					require.NoError(t, r.out.Send(t.Context(), event))
				}
				in, out := r.take("in", 2), r.take("out", 2)
				for i := range in {
					require.Equal(t, sent(in[i]), sent(out[i]))
				}
			})
		})
	}
}

// TestEventWithChanges sets fields of an event that has more than Event has fields for.
func TestEventWithChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		subject := "s"
		r.put(&azeventhubs.AMQPAnnotatedMessage{
			Body: azeventhubs.AMQPAnnotatedMessageBody{Value: "text"},
			Properties: &azeventhubs.AMQPAnnotatedMessageProperties{
				MessageID:     amqp.UUID{1},
				CorrelationID: "c",
				Subject:       &subject,
			},
			ApplicationProperties: map[string]any{"a": "b"},
		}, nil)
		in := r.take("in", 1)[0]
		event, err := in.Event()
		require.NoError(t, err)
		require.Nil(t, event.Body)
		event.Properties["more"] = true
		require.NotContains(t, in.Properties, "more")
		more := event
		event.Body, event.MessageID, event.CorrelationID, event.ContentType = []byte("new"), "m", nil, "text/plain"
		event.PartitionKey, event.Properties = "key", map[string]any{"more": true}
		require.NoError(t, r.out.Send(t.Context(), more))
		require.NoError(t, r.out.Send(t.Context(), event))
		require.Equal(t, []byte("new"), event.Body, "Send changes nothing")

		out := r.take("out", 2)
		require.Equal(t, "text", out[0].RawAMQPMessage.Body.Value)
		require.Equal(t, amqp.UUID{1}, out[0].RawAMQPMessage.Properties.MessageID)
		require.Equal(t, map[string]any{"a": "b", "more": true}, out[0].Properties)
		require.Nil(t, out[0].PartitionKey)
		require.Equal(t, "new", string(out[1].Body))
		require.Nil(t, out[1].RawAMQPMessage.Body.Value)
		require.Equal(t, "m", *out[1].MessageID)
		require.Nil(t, out[1].CorrelationID)
		require.Equal(t, "text/plain", *out[1].ContentType)
		require.Equal(t, "key", *out[1].PartitionKey)
		require.Equal(t, map[string]any{"more": true}, out[1].Properties)
		require.Equal(t, "s", *out[1].RawAMQPMessage.Properties.Subject)
	})
}

// TestEventThatCannotBeSentOn has an annotation whose name go-amqp decodes and does not encode.
func TestEventThatCannotBeSentOn(t *testing.T) {
	e := &eventhubs.ReceivedEvent{PartitionID: "3", ReceivedEventData: &azeventhubs.ReceivedEventData{
		SequenceNumber: 9,
		RawAMQPMessage: &azeventhubs.AMQPAnnotatedMessage{
			Body: azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{nil}}, MessageAnnotations: map[any]any{uint64(1): "a"},
		},
	}}
	_, err := e.Event()
	require.ErrorContains(t, err, "eventhubs: event 9 of partition 3 can't be sent on unchanged: it can't be encoded: ")

	e.RawAMQPMessage = nil
	e.Properties = map[string]any{"a": "\xff"}
	_, err = e.Event()
	require.ErrorContains(t, err, `can't be sent on unchanged: it has a property "a" that is not valid UTF-8`)
}

// TestPlainEvent has nothing that Event has no field for.
func TestPlainEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		plain := eventhubs.Event{
			Body: []byte("all"), PartitionKey: "key", ContentType: "text/plain", MessageID: "m", CorrelationID: "c",
			Properties: map[string]any{"a": int64(1)},
		}
		require.NoError(t, r.srv.Send(t.Context(), "in", plain))
		event, err := r.take("in", 1)[0].Event()
		require.NoError(t, err)
		require.Equal(t, plain, event)
	})
}

// recorder is a connection that keeps what is written to it.
type recorder struct {
	net.Conn
	mu      sync.Mutex
	written bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written.Write(b)
	return r.Conn.Write(b)
}

// TestNullIsSentOn looks at the bytes, as go-amqp decodes a body that is null as if there were none.
func TestNullIsSentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		r.put(&azeventhubs.AMQPAnnotatedMessage{Body: azeventhubs.AMQPAnnotatedMessageBody{Value: amqp.Null{}}}, nil)
		event, err := r.take("in", 1)[0].Event()
		require.NoError(t, err)
		cfg, record := r.srv.Config("out"), &recorder{}
		dial := cfg.DialContext
		cfg.DialContext = func(ctx context.Context, network, address string) (_ net.Conn, err error) {
			record.Conn, err = dial(ctx, network, address)
			return record, err
		}
		p, err := eventhubs.NewProducer(cfg, nil)
		require.NoError(t, err)
		require.NoError(t, p.Send(t.Context(), event))
		require.NoError(t, p.Close(t.Context()))
		require.True(t, bytes.Contains(record.written.Bytes(), []byte{0x00, 0x53, 0x77, 0x40}), "amqp-value: null")
	})
}

// TestEventOfATest has an event that was made, and not received.
func TestEventOfATest(t *testing.T) {
	e := &eventhubs.ReceivedEvent{
		ReceivedEventData: &azeventhubs.ReceivedEventData{EventData: azeventhubs.EventData{Body: []byte("b")}},
	}
	event, err := e.Event()
	require.NoError(t, err)
	require.Equal(t, eventhubs.Event{Body: []byte("b"), Properties: map[string]any{}}, event)
}

// TestEventWithoutData is an error: a test may make an event that has none.
func TestEventWithoutData(t *testing.T) {
	_, err := (&eventhubs.ReceivedEvent{PartitionID: "0"}).Event()
	require.EqualError(t, err, "eventhubs: the received event can't be sent on: its ReceivedEventData is nil")
}

// TestLargeEventIsSentOn has a body that is an AMQP value, of nearly the size that one message may have.
func TestLargeEventIsSentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		r.put(
			&azeventhubs.AMQPAnnotatedMessage{
				Body: azeventhubs.AMQPAnnotatedMessageBody{Value: strings.Repeat("x", 1<<20-1000)},
			},
			nil,
		)
		event, err := r.take("in", 1)[0].Event()
		require.NoError(t, err)
		require.NoError(t, r.out.Send(t.Context(), event))
		require.Len(t, r.take("out", 1)[0].RawAMQPMessage.Body.Value, 1<<20-1000)
		event.Properties["long"] = strings.Repeat("y", 1000)
		err = r.out.Send(t.Context(), eventhubs.Event{Body: []byte("good")}, event)
		var tooLarge *eventhubs.EventTooLargeError
		require.ErrorAs(t, err, &tooLarge)
		require.Equal(t, 1, tooLarge.Index)
		require.Greater(t, tooLarge.Size, 1<<20)
		require.Len(t, r.srv.AllEvents("out"), 1, "nothing was sent")
	})
}
