package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Send two events and receive them. For a namespace in Azure, take the Config from ConfigFromEnv and the store from
// NewBlobCheckpointStore; the rest stays the same.
func Example() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "orders", Partitions: 1}}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	cfg, store := srv.Config("orders"), eventhubs.NewMemoryCheckpointStore()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	producer, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	err = producer.Send(ctx,
		eventhubs.Event{Body: []byte("First event"), PartitionKey: "customer-3"},
		eventhubs.Event{Body: []byte("Second event"), PartitionKey: "customer-3"})
	if err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(cfg, store, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		fmt.Printf("%s from partition %s\n", e.Body, e.PartitionID)
		if e.SequenceNumber == 1 {
			cancel() // these were all events; a real program runs until it is told to stop
		}
		return nil // the event is processed
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// First event from partition 0
	// Second event from partition 0
}
