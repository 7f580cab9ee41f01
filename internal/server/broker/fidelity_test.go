package broker_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// everyType holds a value of every AMQP type that go-amqp can send.
func everyType() map[string]any {
	return map[string]any{
		"nil": nil, "true": true, "false": false, "ubyte": uint8(255), "byte": int8(-128), "ushort": uint16(65535),
		"short": int16(-32768),
		"uint0": uint32(0), "uint8": uint32(200), "uint": uint32(math.MaxUint32), "int8": int32(-5),
		"int":    int32(math.MinInt32),
		"ulong0": uint64(0), "ulong8": uint64(200), "ulong": uint64(math.MaxUint64), "long8": int64(7),
		"long":  int64(math.MinInt64),
		"float": float32(1.5), "double": -math.Pi, "infinite": math.Inf(1),
		"timestamp":   time.UnixMilli(1_700_000_000_123).UTC(),
		"before 1970": time.UnixMilli(-5).UTC(), "uuid": goamqp.UUID{1, 2, 3, 15: 16}, "binary": []byte{0, 1, 255},
		"empty binary": []byte{},
		"string":       "Grüße 🚀", "empty": "", "long string": string(make([]byte, 300)),
		"symbol": goamqp.Symbol("a:symbol"),
	}
}

// nested returns values that only annotations may have.
func nested() map[any]any {
	return map[any]any{
		"list": []any{int32(1), "two", nil, []any{true}}, "map": map[string]any{"a": int64(1), "b": map[string]any{"c": "d"}},
		"longs": []int64{1, -1 << 60}, "strings": []string{"a", ""}, "bools": []bool{true, false},
		"uuids":      []goamqp.UUID{{1}, {2}},
		"timestamps": []time.Time{time.UnixMilli(5).UTC()}, "floats": []float32{1, 2}, "symbols": []goamqp.Symbol{"x"},
	}
}

// A message comes back as it was sent: the bare message, the header, and the annotations together with the service's
// own.
func TestMessageKept(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	annotations := goamqp.Annotations{
		"x-opt-mine": "mine", "x-opt-sequence-number": int64(-77), "x-opt-offset": "forged", "x-opt-enqueued-time": now,
	}
	for k, v := range everyType() {
		annotations[k] = v
	}
	for k, v := range nested() {
		annotations[k] = v
	}
	full := goamqp.Message{
		Header: &goamqp.MessageHeader{
			Durable: true, Priority: 7, TTL: time.Minute, FirstAcquirer: true, DeliveryCount: 3,
		},
		DeliveryAnnotations: goamqp.Annotations{"for the hop": "only"},
		Annotations:         annotations,
		Properties: &goamqp.MessageProperties{
			MessageID: "id", UserID: []byte("user"), To: ptr("to"), Subject: ptr("subject"), ReplyTo: ptr("reply"),
			CorrelationID: uint64(9),
			ContentType:   ptr("text/plain"), ContentEncoding: ptr("gzip"), AbsoluteExpiryTime: ptr(now), CreationTime: ptr(now),
			GroupID: ptr("group"), GroupSequence: ptr(uint32(5)), ReplyToGroupID: ptr("rg"),
		},
		ApplicationProperties: everyType(),
		Footer:                goamqp.Annotations{"footer": "kept", "n": int64(1)},
	}
	with := func(change func(*goamqp.Message)) *goamqp.Message {
		m := full
		change(&m)
		return &m
	}
	s := serve(t, broker.Options{})
	c := s.open(t)
	sender, r := c.sender("hub/Partitions/0"), c.mustRead(group, earliest, nil)
	count := 0
	for name, m := range map[string]*goamqp.Message{
		"data":            with(func(m *goamqp.Message) { m.Data = [][]byte{[]byte("body")} }),
		"data sections":   with(func(m *goamqp.Message) { m.Data = [][]byte{[]byte("a"), {}, []byte("b")} }),
		"value":           with(func(m *goamqp.Message) { m.Value = map[string]any{"a": int64(1)} }),
		"string":          with(func(m *goamqp.Message) { m.Value = "text" }),
		"sequence":        with(func(m *goamqp.Message) { m.Sequence = [][]any{{int64(1), "two"}} }),
		"sequences":       with(func(m *goamqp.Message) { m.Sequence = [][]any{{int64(1)}, {"two"}} }),
		"empty":           with(func(m *goamqp.Message) { m.Data = [][]byte{{}} }),
		"nothing but one": {Data: [][]byte{[]byte("bare")}},
	} {
		t.Run(name, func(t *testing.T) {
			inner := packed(t, m)
			for _, send := range []*goamqp.Message{m, inner} {
				require.NoError(t, sender.Send(ctx(t), send, nil))
				got := next(t, r)
				require.EqualValues(t, count, got.Annotations["x-opt-sequence-number"])
				require.NotEqual(t, "forged", got.Annotations["x-opt-offset"])
				require.WithinDuration(t, time.Now(), got.Annotations["x-opt-enqueued-time"].(time.Time), patience)
				count++
				for _, service := range []string{"x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time"} {
					delete(got.Annotations, service)
				}
				want := reread(t, m)
				require.Equal(t, want.Annotations, got.Annotations)
				require.Equal(t, want.Header, got.Header)
				require.Nil(t, got.DeliveryAnnotations)
				require.Equal(t, want.Properties, got.Properties)
				require.Equal(t, want.ApplicationProperties, got.ApplicationProperties)
				require.Equal(t, want.Footer, got.Footer)
				require.Equal(t, want.Data, got.Data)
				require.Equal(t, want.Value, got.Value)
				require.Equal(t, want.Sequence, got.Sequence)
			}
			events, err := s.Events("hub", "0")
			require.NoError(t, err)
			require.True(
				t, bytes.HasSuffix(inner.Data[0], events[count-1].Bare), "differences that go-amqp can't see don't exist either",
			)
		})
	}
}

// reread returns a message as go-amqp decodes it, without the annotations of the service. The Go types can differ from
// those that go-amqp encodes.
func reread(t *testing.T, m *goamqp.Message) *goamqp.Message {
	t.Helper()
	b, err := m.MarshalBinary()
	require.NoError(t, err)
	var again goamqp.Message
	require.NoError(t, again.UnmarshalBinary(b))
	if again.Annotations == nil {
		again.Annotations = goamqp.Annotations{}
	}
	for _, service := range []string{"x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time"} {
		delete(again.Annotations, service)
	}
	return &again
}

// The same holds with the SDK on both sides.
func TestEventKept(t *testing.T) {
	s := serve(t, broker.Options{})
	p := s.producer(t, "hub")
	properties := everyType()
	// not a Go type of the SDK
	delete(properties, "symbol")
	// partition 3
	batch, err := p.NewEventDataBatch(
		ctx(t), &azeventhubs.EventDataBatchOptions{PartitionKey: ptr("sOdeEAsyQoEuEFPGerWO")},
	)
	require.NoError(t, err)
	require.NoError(t, batch.AddEventData(&azeventhubs.EventData{
		Body: []byte("body"), Properties: properties, ContentType: ptr("application/json"), CorrelationID: uint64(5),
		MessageID: ptr("id"),
	}, nil))
	require.NoError(t, batch.AddAMQPAnnotatedMessage(&azeventhubs.AMQPAnnotatedMessage{
		Body: azeventhubs.AMQPAnnotatedMessageBody{Value: "value"}, MessageAnnotations: map[any]any{"mine": int32(5)},
	}, nil))
	require.NoError(t, batch.AddAMQPAnnotatedMessage(&azeventhubs.AMQPAnnotatedMessage{
		Body: azeventhubs.AMQPAnnotatedMessageBody{Sequence: [][]any{{int64(1), "a"}}}, Footer: map[any]any{"foot": "er"},
	}, nil))
	before := time.Now().Truncate(time.Millisecond)
	require.NoError(t, p.SendEventDataBatch(ctx(t), batch, nil))

	pc, err := s.consumer(t, "hub").NewPartitionClient("3", &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{Earliest: ptr(true)},
	})
	require.NoError(t, err)
	events, err := pc.ReceiveEvents(ctx(t), 3, nil)
	require.NoError(t, err)
	require.NoError(t, pc.Close(ctx(t)))
	e := events[0]
	require.Equal(t, "body", string(e.Body))
	require.Equal(t, reread(t, &goamqp.Message{ApplicationProperties: properties}).ApplicationProperties, e.Properties)
	require.Equal(t, "application/json", *e.ContentType)
	require.Equal(t, uint64(5), e.CorrelationID)
	require.Equal(t, "id", *e.MessageID)
	offsets := map[string]bool{}
	for i, e := range events {
		require.EqualValues(t, i, e.SequenceNumber)
		require.Equal(t, "sOdeEAsyQoEuEFPGerWO", *e.PartitionKey)
		require.False(t, e.EnqueuedTime.Before(before))
		offsets[e.Offset] = true
	}
	require.Len(t, offsets, 3)
	require.Equal(t, "value", events[1].RawAMQPMessage.Body.Value)
	require.Equal(t, int32(5), events[1].RawAMQPMessage.MessageAnnotations["mine"])
	require.Equal(t, [][]any{{int64(1), "a"}}, events[2].RawAMQPMessage.Body.Sequence)
	require.Equal(t, map[any]any{"foot": "er"}, events[2].RawAMQPMessage.Footer)
}
