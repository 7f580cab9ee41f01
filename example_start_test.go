package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Start says where to begin in a partition without a checkpoint. A partition that has one resumes after it, whatever
// Start says. The zero value means the earliest event.
func ExampleConsumerOptions_start() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 2}}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(context.Background())
	err = producer.Send(ctx,
		eventhubs.Event{Body: []byte("a"), PartitionID: "0"}, eventhubs.Event{Body: []byte("b"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("c"), PartitionID: "1"}, eventhubs.Event{Body: []byte("d"), PartitionID: "1"})
	if err != nil {
		log.Fatal(err)
	}

	start, last := eventhubs.Since(time.Now().Add(-time.Hour)), int64(1) // or Earliest(), or Latest()
	start.PerPartition = map[string]azeventhubs.StartPosition{"1": {SequenceNumber: &last, Inclusive: true}}
	options := &eventhubs.ConsumerOptions{Start: start}
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	var received atomic.Int32
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		fmt.Printf("partition %s: %s\n", e.PartitionID, e.Body)
		if received.Add(1) == 3 {
			cancel()
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// partition 0: a
	// partition 0: b
	// partition 1: d
}
