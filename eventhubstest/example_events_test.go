package eventhubstest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// To test a program that sends, look at what the partitions hold.
func ExampleServer_Events() {
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
		eventhubs.Event{Body: []byte("first"), PartitionID: "2", Properties: map[string]any{"kind": "order"}},
		eventhubs.Event{Body: []byte("second"), PartitionID: "2"})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range srv.Events("hub", "2") {
		fmt.Printf("%d: %s %v\n", e.SequenceNumber, e.Body, e.Properties)
	}
	// Output:
	// 0: first map[kind:order]
	// 1: second map[]
}
