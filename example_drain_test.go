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

// The context of a handler says when to leave off, and why. What a handler hands on the context to (a database, an HTTP client, a Producer) then ends too.
func ExampleHandler() {
	srv, err := eventhubstest.New(nil)
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
	if err := producer.Send(ctx, eventhubs.Event{}); err != nil {
		log.Fatal(err)
	}

	options := &eventhubs.ConsumerOptions{DrainTimeout: 10 * time.Millisecond} // 30 seconds, if left out
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.Receive(ctx, func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
		cancel()     // the program is told to end
		<-ctx.Done() // a query that takes too long
		switch err := context.Cause(ctx); {
		case errors.Is(err, eventhubs.ErrDraining):
			fmt.Println("DrainTimeout has passed: the event comes again, to the next consumer")
		case errors.Is(err, eventhubs.ErrOwnershipLost):
			fmt.Println("another consumer reads the partition: it gets the event too")
		}
		return ctx.Err()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: DrainTimeout has passed: the event comes again, to the next consumer
}
