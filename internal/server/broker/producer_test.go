package broker_test

import (
	"math"
	"testing"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// Names of idempotent publishing.
const (
	idempotent = "com.microsoft:idempotent-producer"
	producerID = "com.microsoft:producer-id"
	epoch      = "com.microsoft:producer-epoch"
	sequence   = "com.microsoft:producer-sequence-number"

	outOfOrder = "com.microsoft:out-of-order-sequence"
	stolen     = "com.microsoft:producer-epoch-stolen"
	outOfRange = "com.microsoft:argument-out-of-range"
)

// producing opens a link to a partition for idempotent publishing.
func producing(c *client, partition string, properties map[string]any) (*goamqp.Sender, error) {
	return c.session().NewSender(ctx(c.t), "hub/Partitions/"+partition, &goamqp.SenderOptions{
		DesiredCapabilities: []string{idempotent}, Properties: properties,
	})
}

// mustProduce is producing, and returns the properties of the service's answer.
func mustProduce(c *client, partition string, properties map[string]any) (*goamqp.Sender, map[string]any) {
	c.t.Helper()
	s, err := producing(c, partition, properties)
	require.NoError(c.t, err)
	return s, s.Properties()
}

// numberedBatch returns a batch of consecutively numbered events. Each byte of bodies is the body of one.
func numberedBatch(t *testing.T, bodies string, first int32) *goamqp.Message {
	t.Helper()
	var messages []*goamqp.Message
	for i, body := range bodies {
		messages = append(messages, &goamqp.Message{
			Annotations: goamqp.Annotations{sequence: first + int32(i)}, Data: [][]byte{[]byte(string(body))},
		})
	}
	return packed(t, messages...)
}

// If a link leaves something out about its producer, the service supplies it.
func TestProducerProperties(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	_, first := mustProduce(c, "0", nil)
	require.Len(t, first, 3)
	require.Equal(t, int16(0), first[epoch])
	require.Equal(t, int32(0), first[sequence])
	_, second := mustProduce(c, "0", map[string]any{producerID: nil, epoch: nil, sequence: nil})
	require.NotEqual(t, first[producerID], second[producerID])
	_, partly := mustProduce(c, "0", map[string]any{producerID: nil, epoch: int16(3), sequence: nil})
	require.Equal(t, int16(3), partly[epoch])
	require.Equal(t, int32(0), partly[sequence])
	all := map[string]any{producerID: int64(7), epoch: int16(2), sequence: int32(40)}
	_, known := mustProduce(c, "1", all)
	require.Equal(t, all, known)
	_, again := mustProduce(c, "1", map[string]any{producerID: int64(7), epoch: nil, sequence: nil})
	require.Equal(t, all, again)
	_, elsewhere := mustProduce(c, "0", map[string]any{producerID: int64(7), epoch: nil, sequence: nil})
	require.Equal(t, map[string]any{producerID: int64(7), epoch: int16(0), sequence: int32(0)}, elsewhere)

	require.Empty(t, c.sender("hub/Partitions/0").Properties(), "it has not asked for idempotence")
	gateway, err := c.session().NewSender(ctx(t), "hub", &goamqp.SenderOptions{DesiredCapabilities: []string{idempotent}})
	require.NoError(t, err)
	require.Empty(t, gateway.Properties(), "it names no partition")
}

func TestProducerPropertiesRefused(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	for name, tt := range map[string]struct {
		properties map[string]any
		condition  string
	}{
		"negative epoch":      {map[string]any{epoch: int16(-1)}, outOfRange},
		"large epoch":         {map[string]any{epoch: int32(math.MaxInt16 + 1)}, outOfRange},
		"negative id":         {map[string]any{producerID: int64(-1)}, outOfRange},
		"negative sequence":   {map[string]any{sequence: int32(-1)}, outOfRange},
		"sequence of a long":  {map[string]any{sequence: int64(math.MaxInt32 + 1)}, outOfRange},
		"an id that is text":  {map[string]any{producerID: "7"}, "amqp:invalid-field"},
		"an unsigned epoch":   {map[string]any{epoch: uint16(1)}, "amqp:invalid-field"},
		"a sequence of bytes": {map[string]any{sequence: []byte{1}}, "amqp:invalid-field"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := producing(c, "0", tt.properties)
			requireCondition(t, err, tt.condition)
		})
	}
}

// A batch that is repeated is acknowledged and stored once. A batch after a gap is refused, and so is an old one that
// is not among the recent batches.
func TestPublishOnce(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	p, _ := mustProduce(c, "0", nil)
	send := func(bodies string, first int32) error { return p.Send(ctx(t), numberedBatch(t, bodies, first), nil) }
	require.NoError(t, send("ab", 1))
	require.NoError(t, send("ab", 1))
	requireCondition(t, send("d", 4), outOfOrder, "'4'", "'3'")
	requireCondition(t, send("b", 2), outOfOrder)  // part of a batch
	requireCondition(t, send("bc", 2), outOfOrder) // a new event and an old one
	require.NoError(t, send("c", 3))
	require.NoError(t, send("ab", 1))
	for i, body := range "defg" {
		require.NoError(t, send(string(body), int32(4+i)))
	}
	requireCondition(t, send("ab", 1), outOfOrder) // only five batches are recognized
	require.NoError(t, send("c", 3))
	require.Equal(t, []string{"a", "b", "c", "d", "e", "f", "g"}, bodies(t, s, "0"))

	// A new link does not know whether the last batch was stored.
	properties := p.Properties()
	properties[sequence] = int32(6)
	again, answer := mustProduce(c, "0", properties)
	require.Equal(t, int32(6), answer[sequence])
	require.NoError(t, again.Send(ctx(t), numberedBatch(t, "g", 7), nil))
	require.NoError(t, again.Send(ctx(t), numberedBatch(t, "h", 8), nil))
	require.Equal(t, "abcdefgh", joined(bodies(t, s, "0")))
	// Events keep the annotations of the producer, like all annotations.
	require.Equal(t, int32(1), next(t, c.mustRead(group, earliest, nil)).Annotations[sequence])
}

func joined(texts []string) (out string) {
	for _, text := range texts {
		out += text
	}
	return out
}

// Batches whose numbers make no sense are refused as a whole.
func TestPublishOnceRefused(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	p, _ := mustProduce(c, "0", nil)
	event := func(number any) *goamqp.Message {
		return &goamqp.Message{Annotations: goamqp.Annotations{sequence: number}, Data: [][]byte{{}}}
	}
	bare := goamqp.NewMessage([]byte("x"))
	requireCondition(t, p.Send(ctx(t), packed(t, event(int32(1)), event(int32(3))), nil), outOfOrder, "event 1")
	requireCondition(t, p.Send(ctx(t), packed(t, event(int32(1)), event(int32(1))), nil), outOfOrder)
	requireCondition(t, p.Send(ctx(t), packed(t, event(int32(1)), bare), nil), "com.microsoft:argument-error", "event 1")
	requireCondition(t, p.Send(ctx(t), bare, nil), "com.microsoft:argument-error", "event 0")
	requireCondition(t, p.Send(ctx(t), packed(t, event(int64(1))), nil), "com.microsoft:argument-error")
	require.Empty(t, bodies(t, s, "0"))
	require.NoError(t, p.Send(ctx(t), event(int32(1)), nil), "a message without a batch is one event")
	require.NoError(t, c.sender("hub/Partitions/0").Send(ctx(t), packed(t, event(int32(9))), nil), "others don't count")
	require.Len(t, bodies(t, s, "0"), 2)
}

// A link with a higher epoch takes over the producer.
func TestProducerEpoch(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	old, properties := mustProduce(c, "0", nil)
	require.NoError(t, old.Send(ctx(t), numberedBatch(t, "a", 1), nil))
	higher := map[string]any{producerID: properties[producerID], epoch: int16(1), sequence: int32(1)}
	taken, answer := mustProduce(c, "0", higher)
	require.Equal(t, higher, answer)
	requireCondition(t, old.Send(ctx(t), numberedBatch(t, "b", 2), nil), stolen, "'1'", "'0'")
	require.NoError(t, taken.Send(ctx(t), numberedBatch(t, "b", 2), nil))
	_, err := producing(c, "0", properties)
	requireCondition(t, err, stolen)

	// It continues after the last event if it gives no number, and may begin elsewhere.
	higher = map[string]any{producerID: properties[producerID], epoch: int16(2), sequence: nil}
	next, answer := mustProduce(c, "0", higher)
	require.Equal(t, int32(2), answer[sequence])
	require.NoError(t, next.Send(ctx(t), numberedBatch(t, "c", 3), nil))
	higher[epoch], higher[sequence] = int16(3), int32(math.MaxInt32-1)
	next, _ = mustProduce(c, "0", higher)
	require.NoError(t, next.Send(ctx(t), numberedBatch(t, "d", math.MaxInt32), nil))
	require.NoError(t, next.Send(ctx(t), numberedBatch(t, "e", 0), nil), "numbers wrap around to 0")
	require.Equal(t, "abcde", joined(bodies(t, s, "0")))
}

// A batch whose acknowledgement was lost is sent again, and stored once.
func TestPublishOnceAfterLostAnswer(t *testing.T) {
	virtual(t, broker.Options{}, func(t *testing.T, s *namespace) {
		c := s.open(t)
		p, properties := mustProduce(c, "0", nil)
		s.AddFault(broker.Fault{On: broker.OnPublish, After: true, DropConnection: true, Times: 1})
		require.Error(t, p.Send(ctx(t), numberedBatch(t, "ab", 1), nil))
		p, _ = mustProduce(s.open(t), "0", properties)
		require.NoError(t, p.Send(ctx(t), numberedBatch(t, "ab", 1), nil))
		require.Equal(t, "ab", joined(bodies(t, s, "0")))
	})
}

// A partition forgets the producers that published longest ago. If they come back, it believes what they say of
// themselves.
func TestProducersForgotten(t *testing.T) {
	first, last, kept := broker.RememberProducers(20_000)
	require.False(t, first)
	require.True(t, last)
	require.Equal(t, 10_000, kept)
}
