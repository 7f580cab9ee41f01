package eventhubstest_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A hub with 1,024 partitions: its properties, and a reader for each on one connection, as a Processor has them.
func TestManyPartitions(t *testing.T) {
	const n = 1024
	s := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: n}}})
	p, c := producer(t, s.Config("hub")), consumer(t, s.Config("hub"))
	hub, err := c.GetEventHubProperties(ctx(t), nil)
	require.NoError(t, err)
	require.Len(t, hub.PartitionIDs, n)
	start := time.Now()
	for i := range n { // batches without a key go to the partitions in turn
		batch, err := p.NewEventDataBatch(ctx(t), nil)
		require.NoError(t, err)
		require.NoError(t, batch.AddEventData(&azeventhubs.EventData{Body: []byte(strconv.Itoa(i))}, nil))
		require.NoError(t, p.SendEventDataBatch(ctx(t), batch, nil))
	}
	t.Logf("%d batches sent after %v", n, time.Since(start))
	start = time.Now()
	var all sync.WaitGroup
	slots := make(chan struct{}, 32)
	readers := make([]*azeventhubs.PartitionClient, n)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			id := strconv.Itoa(i)
			pc, err := c.NewPartitionClient(id, &azeventhubs.PartitionClientOptions{
				OwnerLevel: ptr(int64(0)), Prefetch: 10, StartPosition: azeventhubs.StartPosition{Earliest: ptr(true)},
			})
			if err != nil {
				t.Error(err)
				return
			}
			readers[i] = pc
			if events, err := pc.ReceiveEvents(ctx(t), 1, nil); err != nil || string(events[0].Body) != id {
				t.Errorf("partition %s: %v %v", id, events, err)
			}
		})
	}
	all.Wait()
	t.Logf("%d readers have an event after %v", n, time.Since(start))
	for _, id := range []string{"0", "511", "1023"} { // they are all still there
		i, err := strconv.Atoi(id)
		require.NoError(t, err)
		require.NoError(t, send(ctx(t), p, id, "more"))
		events, err := readers[i].ReceiveEvents(ctx(t), 1, nil)
		require.NoError(t, err)
		require.Equal(t, "more", string(events[0].Body))
	}
	s.Close() // closing 1,024 readers one by one would take longer
}
