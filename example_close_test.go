package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Close ends a Receive that runs elsewhere as the end of its context does, and waits for it: for a program that stops its parts one after the other. The example
// service in the examples folder does it like this.
func ExampleConsumer_Close() {
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
	if err := producer.Send(ctx, eventhubs.Event{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	handling, received := make(chan struct{}), make(chan error, 1)
	go func() {
		received <- consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			close(handling)
			fmt.Printf("handled %s\n", e.Body)
			return nil
		})
	}()
	<-handling
	fmt.Println("Close:", consumer.Close(ctx))
	fmt.Println("Receive:", <-received)
	// Output:
	// handled order 1
	// Close: <nil>
	// Receive: <nil>
}
