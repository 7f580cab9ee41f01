package eventhubs_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func TestSendArrivesAsItWasGiven(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, srv.Config("hub"))
	sent := eventhubs.Event{
		Body: []byte("body"), PartitionID: "2", ContentType: "text/plain", MessageID: "m-1", CorrelationID: "c-1",
		Properties: map[string]any{"string": "s", "int": int64(7), "bool": true, "float": 1.5, "time": time.UnixMilli(1700000000000)},
	}
	require.NoError(t, p.Send(t.Context(), sent, eventhubs.Event{PartitionID: "2"}))
	stored := srv.Events("hub", "2")
	require.Len(t, stored, 2)
	require.Equal(t, sent, stored[0].Event)
	require.Empty(t, stored[1].Body)
	require.NotEmpty(t, stored[1].MessageID, "the SDK makes one up")

	var got *eventhubs.ReceivedEvent
	c := newConsumer(t, srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := c.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		got = e
		return eventhubs.Stop(nil)
	})
	require.ErrorContains(t, err, "handler of partition 2 at sequence number 0: stopped by the handler")
	require.Equal(t, "2", got.PartitionID)
	require.Equal(t, 1, got.Attempt)
	require.Equal(t, sent.Body, got.Body)
	require.Equal(t, sent.Properties, got.Properties)
	require.Equal(t, sent.ContentType, *got.ContentType)
	require.Equal(t, sent.MessageID, *got.MessageID)
	require.Equal(t, sent.CorrelationID, got.CorrelationID)
}

// TestSendKeepsOrder sends more than fits into one batch, to keys, to a partition and to wherever.
func TestSendKeepsOrder(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, srv.Config("hub"))
	var events []eventhubs.Event
	for i := range 6000 { // of 1 KB: at least two batches for each of the three destinations
		e := eventhubs.Event{Body: fmt.Appendf(nil, "%06d %01000d", i, 0)}
		switch i % 3 {
		case 0:
			e.PartitionKey = "key"
		case 1:
			e.PartitionID = "3"
		}
		events = append(events, e)
	}
	require.NoError(t, p.Send(t.Context(), events[:4000]...))
	require.NoError(t, p.Send(t.Context(), events[4000:]...))

	last := map[string]string{}
	all := srv.AllEvents("hub")
	require.Len(t, all, len(events))
	onPartition := 0
	for _, e := range all {
		var i int
		_, err := fmt.Sscanf(string(e.Body), "%d", &i)
		require.NoError(t, err)
		switch i % 3 {
		case 0:
			require.Equal(t, "key", e.PartitionKey)
			require.Greater(t, string(e.Body), last["key"])
			last["key"] = string(e.Body)
		case 1:
			require.Equal(t, "3", e.PartitionID)
			require.Greater(t, string(e.Body), last["3"])
			last["3"] = string(e.Body)
			onPartition++
		}
	}
	require.Equal(t, 2000, onPartition)
}

func TestSendErrorNamesWhatWasNotAcknowledged(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, srv.Config("hub"))
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Partition: "1", Condition: "amqp:resource-limit-exceeded", Description: "the event hub is full"})
	err := p.Send(t.Context(),
		eventhubs.Event{Body: []byte("0"), PartitionID: "0"}, eventhubs.Event{Body: []byte("1"), PartitionID: "1"},
		eventhubs.Event{Body: []byte("2"), PartitionID: "2"}, eventhubs.Event{Body: []byte("3"), PartitionID: "1"})
	var failed *eventhubs.SendError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, []int{1, 3}, failed.Unsent)
	require.ErrorContains(t, err, "eventhubs: send hub: ")
	require.ErrorContains(t, err, "the event hub is full")
	require.Len(t, srv.Events("hub", "0"), 1)
	require.Len(t, srv.Events("hub", "2"), 1)
	require.Empty(t, srv.Events("hub", "1"))
}

func TestSendEndsWithItsContext(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, srv.Config("hub"))
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, After: true}) // the answer is lost
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Send(ctx, eventhubs.Event{}) }()
	require.Eventually(t, func() bool { return len(srv.AllEvents("hub")) == 1 }, patience, time.Millisecond)
	cancel()
	err := <-ended
	require.ErrorIs(t, err, context.Canceled)
	var failed *eventhubs.SendError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, []int{0}, failed.Unsent)
}

// An answer that is lost has the batch be sent again, and holds nothing up.
func TestSendAnswerLost(t *testing.T) {
	srv := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}})
	cfg := srv.Config("hub")
	cfg.Retry = quickRetry
	for name, event := range map[string]eventhubs.Event{"anywhere": {}, "to a partition": {PartitionID: "0"}} {
		t.Run(name, func(t *testing.T) {
			p := newProducer(t, eventhubs.WithBatchTimeout(cfg, 200*time.Millisecond))
			require.NoError(t, p.Send(t.Context(), event))
			before := len(srv.Events("hub", "0"))
			srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, After: true})
			require.NoError(t, p.Send(t.Context(), event))
			require.Len(t, srv.Events("hub", "0"), before+2, "it was stored twice")
			require.NoError(t, p.Send(t.Context(), event))
		})
	}
}
