package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A handler of batches writes several events at once, to a database say. All of a batch are from one partition, and in order. An error brings the same
// batch again.
func ExampleConsumer_ReceiveBatch() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}})
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
	if err := producer.Send(ctx, make([]eventhubs.Event, 1000)...); err != nil {
		log.Fatal(err)
	}

	options := &eventhubs.ConsumerOptions{MaxBatch: 200, CheckpointCount: 500}
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	var rows, largest int // handlers of one partition take turns: nothing to guard
	err = consumer.ReceiveBatch(ctx, func(_ context.Context, batch []*eventhubs.ReceivedEvent) error {
		rows += len(batch) // insert into … values …, …, …
		largest = max(largest, len(batch))
		if rows == 1000 {
			cancel()
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rows:", rows)
	fmt.Println("no batch is larger than asked for:", largest <= 200)
	// Output:
	// rows: 1000
	// no batch is larger than asked for: true
}
