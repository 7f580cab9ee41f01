package broker_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

type batchOf struct {
	key, partition string
	bodies         []string
}

func sendBatch(t *testing.T, p *azeventhubs.ProducerClient, b batchOf) {
	t.Helper()
	o := &azeventhubs.EventDataBatchOptions{}
	if b.key != "" {
		o.PartitionKey = &b.key
	}
	if b.partition != "" {
		o.PartitionID = &b.partition
	}
	batch, err := p.NewEventDataBatch(ctx(t), o)
	require.NoError(t, err)
	for _, body := range b.bodies {
		require.NoError(t, batch.AddEventData(&azeventhubs.EventData{Body: []byte(body)}, nil))
	}
	require.NoError(t, p.SendEventDataBatch(ctx(t), batch, nil))
}

// bodies returns what a partition of "hub" holds.
func bodies(t *testing.T, s *namespace, partition string) (out []string) {
	t.Helper()
	events, err := s.Events("hub", partition)
	require.NoError(t, err)
	for _, e := range events {
		var m goamqp.Message
		require.NoError(t, m.UnmarshalBinary(e.Bare))
		out = append(out, string(m.GetData()))
	}
	return out
}

// packed returns a batch encoded by hand: each of its data sections holds a message.
func packed(t *testing.T, messages ...*goamqp.Message) *goamqp.Message {
	t.Helper()
	batch := &goamqp.Message{Format: 0x80013700}
	for _, m := range messages {
		b, err := m.MarshalBinary()
		require.NoError(t, err)
		batch.Data = append(batch.Data, b)
	}
	return batch
}

func TestBatchLimit(t *testing.T) {
	s := serve(t, broker.Options{})
	require.EqualValues(t, 1_048_576, s.open(t).sender("hub").MaxMessageSize())
	p := s.producer(t, "hub")
	batch, err := p.NewEventDataBatch(ctx(t), &azeventhubs.EventDataBatchOptions{PartitionID: ptr("0")})
	require.NoError(t, err)
	require.ErrorIs(
		t, batch.AddEventData(&azeventhubs.EventData{Body: make([]byte, 1_048_576)}, nil), azeventhubs.ErrEventDataTooLarge,
	)
	n := 0
	for ; ; n++ {
		if err := batch.AddEventData(&azeventhubs.EventData{Body: make([]byte, 10_000)}, nil); err != nil {
			require.ErrorIs(t, err, azeventhubs.ErrEventDataTooLarge)
			break
		}
	}
	require.Equal(t, 104, n)
	require.NoError(t, p.SendEventDataBatch(ctx(t), batch, nil))
	require.Len(t, bodies(t, s, "0"), n)
}

func TestPublishRefused(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	keyed := func(m *goamqp.Message, key any) *goamqp.Message {
		m.Annotations = goamqp.Annotations{"x-opt-partition-key": key}
		return m
	}
	for name, tt := range map[string]struct {
		address   string
		m         *goamqp.Message
		condition string
		why       string
	}{
		"no event": {
			"hub", &goamqp.Message{Format: 0x80013700, Value: "x"}, "amqp:decode-error", "holds no event",
		},
		"not messages": {
			"hub", &goamqp.Message{Format: 0x80013700, Data: [][]byte{[]byte("nonsense")}}, "amqp:decode-error", "event 0",
		},
		"the second is cut off": {
			"hub",
			&goamqp.Message{Format: 0x80013700, Data: [][]byte{{0, 0x53, 0x75, 0xa0, 1, 'x'}, {0, 0x53, 0x75, 0xa0, 2, 'x'}}},
			"amqp:decode-error", "event 1",
		},
		"sections out of order": {
			"hub", &goamqp.Message{Format: 0x80013700, Data: [][]byte{{0, 0x53, 0x75, 0xa0, 1, 'x', 0, 0x53, 0x70, 0x45}}},
			"amqp:decode-error", "event 0",
		},
		"key of another type": {"hub", keyed(goamqp.NewMessage(nil), int64(5)), "amqp:decode-error", "x-opt-partition-key"},
	} {
		t.Run(name, func(t *testing.T) {
			sender := c.sender(tt.address)
			requireCondition(t, sender.Send(ctx(t), tt.m, nil), tt.condition, tt.why)
			require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage([]byte("the link goes on")), nil))
		})
	}
	for _, id := range s.Partitions("hub") { // a batch is stored as a whole or not at all
		for _, body := range bodies(t, s, id) {
			require.Equal(t, "the link goes on", body)
		}
	}
}

// Buffered producers compute the partition of a key, and send the event there together with the key. The partition
// takes precedence over the key.
func TestKeyToPartition(t *testing.T) {
	s := serve(t, broker.Options{})
	sender := s.open(t).sender("hub/Partitions/3")
	for _, m := range []*goamqp.Message{goamqp.NewMessage([]byte("x")), packed(t, goamqp.NewMessage([]byte("x")))} {
		m.Annotations = goamqp.Annotations{"x-opt-partition-key": "k"}
		require.NoError(t, sender.Send(ctx(t), m, nil))
	}
	events, err := s.Events("hub", "3")
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Equal(t, []string{"k", "k"}, []string{events[0].Key, events[1].Key})
}

// The key of a batch is that of its events. An event in the batch may have its own key, as with the Python SDK.
func TestKeyOfBatch(t *testing.T) {
	s := serve(t, broker.Options{})
	own := goamqp.NewMessage([]byte("b"))
	own.Annotations = goamqp.Annotations{"x-opt-partition-key": "own"}
	none := goamqp.NewMessage([]byte("c"))
	none.Annotations = goamqp.Annotations{"x-opt-partition-key": nil}
	batch := packed(t, goamqp.NewMessage([]byte("a")), own, none)
	batch.Annotations = goamqp.Annotations{"x-opt-partition-key": "sOdeEAsyQoEuEFPGerWO"} // hash -6503
	c := s.open(t)
	require.NoError(t, c.sender("hub").Send(ctx(t), batch, nil))
	require.Equal(t, []string{"sOdeEAsyQoEuEFPGerWO", "own", "sOdeEAsyQoEuEFPGerWO"}, keysIn(t, s, "hub", 3))
}

func TestUnknownPlaces(t *testing.T) {
	c := serve(t, broker.Options{}).open(t)
	const outOfRange = "com.microsoft:argument-out-of-range"
	for address, condition := range map[string]string{
		"hub/Partitions/4": outOfRange, "hub/Partitions/-1": outOfRange, "hub/Partitions/x": outOfRange,
		"hub/Partitions/00": outOfRange,
		"none":              "amqp:not-found", "none/Partitions/0": "amqp:not-found", "hub/nonsense": "amqp:not-found",
		"": "amqp:not-found",
	} {
		_, err := c.sess.NewSender(ctx(t), address, nil)
		requireCondition(t, err, condition)
	}
	for address, condition := range map[string]string{
		"hub/ConsumerGroups/$Default/Partitions/4": outOfRange, "hub/ConsumerGroups/none/Partitions/0": "amqp:not-found",
		"none/ConsumerGroups/$Default/Partitions/0": "amqp:not-found", "hub": "amqp:not-allowed",
		"hub/Partitions/0":            "amqp:not-allowed",
		"hub/ConsumerGroups/$Default": "amqp:not-allowed", "hub/ConsumerGroups/$Default/nonsense/0": "amqp:not-found",
	} {
		_, err := c.reader(address, "", nil)
		requireCondition(t, err, condition)
	}
}

// Addresses are paths or whole URLs, and names have no case.
func TestAddresses(t *testing.T) {
	s := serve(t, broker.Options{Hubs: []broker.Hub{{Name: "My-Hub", Partitions: 2, ConsumerGroups: []string{"Group"}}}})
	c := s.open(t)
	for i, base := range []string{"", "/", "amqps://host/", "amqp://host:5672/", "sb://HOST/"} {
		for j, hub := range []string{"My-Hub", "my-hub", "MY-HUB"} {
			body := strconv.Itoa(i*10 + j)
			c.send(base+hub+"/Partitions/1", body)
			c.send(base+hub+"/partitions/1/", body)
			for _, group := range []string{"$Default", "$default", "Group", "GROUP"} {
				r := c.mustRead(base+hub+"/ConsumerGroups/"+group+"/Partitions/1", earliest, nil)
				require.Equal(t, "0", string(next(t, r).GetData()))
				require.NoError(t, r.Close(ctx(t)))
			}
			code, _ := statusOf(c.request(base+hub+"/$management", &goamqp.Message{ApplicationProperties: map[string]any{
				"operation": "READ", "type": "com.microsoft:eventhub", "name": hub,
			}}))
			require.Equal(t, int32(200), code)
		}
	}
}

// Events of one sender keep their order in a partition, whatever other senders do.
func TestOrder(t *testing.T) {
	s := serve(t, broker.Options{})
	const senders, each = 4, 200
	var all sync.WaitGroup
	for i := range senders {
		c := s.open(t)
		sender := c.sender("hub/Partitions/0")
		all.Go(func() {
			for j := range each {
				m := goamqp.NewMessage(fmt.Appendf(nil, "%d %d", i, j))
				if j%3 == 0 {
					m = packed(t, m)
				}
				if err := sender.Send(ctx(t), m, &goamqp.SendOptions{Settled: j%2 == 0}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	// nobody waits for messages that are sent settled
	require.Eventually(t, func() bool { return len(bodies(t, s, "0")) == senders*each }, patience, 1e6)
	last := map[string]int{}
	for _, body := range bodies(t, s, "0") {
		who, n, _ := strings.Cut(body, " ")
		require.Equal(t, strconv.Itoa(last[who]), n)
		last[who]++
	}
	events, err := s.Events("hub", "0")
	require.NoError(t, err)
	for i, e := range events {
		require.EqualValues(t, i, e.SequenceNumber)
		require.False(t, i > 0 && (e.Offset <= events[i-1].Offset || e.Enqueued.Before(events[i-1].Enqueued)))
	}
}

func TestSizes(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	r := c.mustRead(group, earliest, nil)
	sender := c.sender("hub/Partitions/0")
	for _, n := range []int{0, 1, 255, 256, 64 << 10, 1_000_000, 1_048_576 - 9, 70_000} {
		body := bytes.Repeat([]byte{'a', 'b', 'c', 'd', 'e', 'f', 'g'}, n/7+1)[:n]
		require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage(body), nil))
		got := next(t, r)
		require.Len(t, got.Data, 1)
		require.True(t, bytes.Equal(body, got.Data[0]), n)
	}
}
