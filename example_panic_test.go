package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A panic in a handler does not end the process before the other partitions have written their checkpoints: Receive returns it, with where it happened.
func ExampleHandlerError() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	ctx := context.Background()
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	if err := producer.Send(ctx, eventhubs.Event{Body: []byte("{}"), PartitionID: "2"}); err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(ctx)
	var totals map[string]int
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		totals[string(e.Body)]++ // the map was never made
		return nil
	})
	var failed *eventhubs.HandlerError
	if errors.As(err, &failed) && failed.Panic != nil {
		fmt.Println("partition", failed.PartitionID, "sequence number", failed.SequenceNumber, "panic:", failed.Panic)
	}
	// Output: partition 2 sequence number 0 panic: assignment to entry in nil map
}
