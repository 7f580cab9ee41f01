package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Handlers of different partitions run at the same time, so what they share is guarded: here, a sum. Those of one partition take turns.
func ExampleConsumer_Receive() {
	srv, err := eventhubstest.New(nil) // 4 partitions
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
	defer producer.Close(ctx)
	for _, partition := range []string{"0", "1", "2", "3"} {
		if err := producer.Send(ctx, eventhubs.Event{Body: []byte("25 units"), PartitionID: partition}); err != nil {
			log.Fatal(err)
		}
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	var sum atomic.Int64
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		var units int64
		if _, err := fmt.Sscan(string(e.Body), &units); err != nil {
			return eventhubs.Stop(err) // trying again would not help
		}
		if sum.Add(units) == 100 {
			cancel()
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sum:", sum.Load())
	// Output: sum: 100
}
