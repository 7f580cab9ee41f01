package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The SDK's client is there for all that this package doesn't do: asking which partitions there are, say.
func ExampleProducer_Client() {
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
	hub, err := producer.Client().GetEventHubProperties(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hub.PartitionIDs)
	// Output: [0 1 2 3]
}
