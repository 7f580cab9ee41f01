package eventhubstest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// One event hub gets another partition. Another is deleted and created again.
func ExampleServer_AddPartitions() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "orders", Partitions: 1}}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	if err := srv.AddPartitions("orders", 1); err != nil {
		log.Fatal(err)
	}
	err = srv.Send(context.Background(), "orders", eventhubs.Event{Body: []byte("apples"), PartitionID: "1"})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range srv.AllEvents("orders") {
		fmt.Printf("%s in partition %s, number %d\n", e.Body, e.PartitionID, e.SequenceNumber)
	}
	if err := srv.Reset("orders"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(srv.AllEvents("orders")), "events")
	// Output:
	// apples in partition 1, number 0
	// 0 events
}

// A connection that breaks between two calls of Send costs no event.
func ExampleServer_DropConnections() {
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
	fmt.Println(producer.Send(ctx, eventhubs.Event{PartitionID: "0"}))
	srv.DropConnections()
	fmt.Println(producer.Send(ctx, eventhubs.Event{PartitionID: "0"}))
	fmt.Println(len(srv.AllEvents("hub")), "events")
	// Output:
	// <nil>
	// <nil>
	// 2 events
}
