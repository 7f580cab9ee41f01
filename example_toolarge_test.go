package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// An event that is too large for the service fails the whole call before anything is sent: leave it out, or shrink it, and send the rest.
func ExampleEventTooLargeError() {
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
	err = producer.Send(ctx, eventhubs.Event{Body: []byte("small")}, eventhubs.Event{Body: make([]byte, 2<<20)})
	var tooLarge *eventhubs.EventTooLargeError
	if errors.As(err, &tooLarge) {
		fmt.Printf("event %d has more than %d bytes\n", tooLarge.Index, tooLarge.Limit)
	}
	fmt.Println("stored:", len(srv.AllEvents("hub")))
	// Output:
	// event 1 has more than 1048576 bytes
	// stored: 0
}
