package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Send takes as many events as there are. It makes the batches, and returns when the service has accepted the last one.
func ExampleProducer_Send() {
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

	events := make([]eventhubs.Event, 10_000) // more than fit into one batch
	for i := range events {
		events[i].Body = fmt.Appendf(nil, `{"order": %d, "note": "%200s"}`, i, "")
	}
	if err := producer.Send(ctx, events...); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored:", len(srv.AllEvents("hub")))
	// Output: stored: 10000
}
