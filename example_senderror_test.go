package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A SendError lists what was not acknowledged, so that no more than that is sent again. Send has tried for a minute by then, unless it is nothing that
// waiting could mend.
func ExampleSendError() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Partition: "1", Times: 1, Condition: "amqp:resource-limit-exceeded"})

	ctx := context.Background()
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	events := []eventhubs.Event{
		{Body: []byte("a"), PartitionID: "0"},
		{Body: []byte("b"), PartitionID: "1"},
		{Body: []byte("c"), PartitionID: "0"},
		{Body: []byte("d"), PartitionID: "1"},
	}
	err = producer.Send(ctx, events...)
	var failed *eventhubs.SendError
	if errors.As(err, &failed) {
		fmt.Println("Some were not acknowledged; those alone are sent again.")
		var again []eventhubs.Event
		for _, i := range failed.Unacknowledged {
			again = append(again, events[i])
		}
		err = producer.Send(ctx, again...)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored:", len(srv.AllEvents("hub")))
	// Output:
	// Some were not acknowledged; those alone are sent again.
	// stored: 4
}
