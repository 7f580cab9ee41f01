package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Stop ends Receive with an error that trying again can't mend. The event is not processed: the next consumer begins with it.
func ExampleStop() {
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
		eventhubs.Event{Body: []byte("v1 order"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("v2 order"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(ctx)
	errTooNew := errors.New("written by a newer version: upgrade this program")
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if string(e.Body) != "v1 order" {
			return eventhubs.Stop(errTooNew)
		}
		fmt.Printf("%s\n", e.Body)
		return nil
	})
	var stopped *eventhubs.HandlerError
	if errors.As(err, &stopped) {
		fmt.Println("stopped at partition", stopped.PartitionID, "sequence number", stopped.SequenceNumber)
	}
	fmt.Println(errors.Is(err, errTooNew))
	// Output:
	// v1 order
	// stopped at partition 0 sequence number 1
	// true
}
