package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// An event whose handler fails comes again after a pause, and the later events of its partition wait for it. Backoff sets the pause, and may give up: Receive
// then ends with a HandlerError.
func ExampleConsumer_Receive_retry() {
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
	err = producer.Send(ctx,
		eventhubs.Event{Body: []byte("fails once"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("fails always"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}

	options := &eventhubs.ConsumerOptions{Backoff: func(attempt int, _ error) time.Duration {
		if attempt == 3 {
			return -1 // give up
		}
		return time.Duration(attempt) * time.Millisecond
	}}
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(ctx)
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		fmt.Printf("%s: attempt %d\n", e.Body, e.Attempt)
		if e.Attempt == 1 || string(e.Body) == "fails always" {
			return errors.New("database is busy")
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// fails once: attempt 1
	// fails once: attempt 2
	// fails always: attempt 1
	// fails always: attempt 2
	// fails always: attempt 3
	// eventhubs: receive: handler of partition 0 at sequence number 1: database is busy
}
