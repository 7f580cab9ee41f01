package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A service ends Receive with its context, which ends with SIGTERM. The handler that is running finishes, a checkpoint covers its event, the partitions are
// given back, and Receive returns nil: the process that starts next goes on with the event after it.
func ExampleConsumer_Receive_shutdown() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(context.Background())
	err = producer.Send(context.Background(),
		eventhubs.Event{Body: []byte("first"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("second"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}
	store := eventhubs.NewMemoryCheckpointStore()

	service := func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		consumer, err := eventhubs.NewConsumer(srv.Config("hub"), store, nil)
		if err != nil {
			log.Fatal(err)
		}
		defer consumer.Close(context.Background()) // not ctx: it has ended by then
		err = consumer.Receive(ctx, func(handling context.Context, e *eventhubs.ReceivedEvent) error {
			stop() // stands for the signal
			fmt.Printf("%s: told to end: %v, the handler may finish: %v\n", e.Body, ctx.Err() != nil, handling.Err() == nil)
			return nil
		})
		fmt.Println("Receive has returned", err)
	}
	service()
	service()
	// Output:
	// first: told to end: true, the handler may finish: true
	// Receive has returned <nil>
	// second: told to end: true, the handler may finish: true
	// Receive has returned <nil>
}
