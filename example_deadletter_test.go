package eventhubs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Event Hubs has no dead-letter queue; another event hub makes one. After two failures an event goes there, and its
// partition moves on.
func ExampleDeadLetter() {
	hubs := []eventhubstest.Hub{{Name: "orders"}, {Name: "dead-letters"}}
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: hubs})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := srv.Config("orders")
	err = srv.Send(ctx, "orders",
		eventhubs.Event{Body: []byte("{"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("{}"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}

	deadLetters, err := eventhubs.NewProducer(cfg.Hub("dead-letters"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer deadLetters.Close(context.Background())
	consumer, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	handler := func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		var order struct{}
		if err := json.Unmarshal(e.Body, &order); err != nil {
			return err
		}
		fmt.Printf("order %s\n", e.Body)
		cancel() // the example ends here
		return nil
	}
	if err := consumer.Receive(ctx, eventhubs.DeadLetter(deadLetters, 2, handler)); err != nil {
		log.Fatal(err)
	}
	for _, e := range srv.AllEvents("dead-letters") {
		fmt.Printf("dead letter %s: %s (partition %s, sequence number %d)\n", e.Body, e.Properties["dead_letter_reason"],
			e.Properties["dead_letter_partition"], e.Properties["dead_letter_sequence_number"])
	}
	// Output:
	// order {}
	// dead letter {: unexpected end of JSON input (partition 0, sequence number 0)
}

// A batch is written as a whole, until that has failed twice. Then its events are written one by one, and those that
// can't be written become dead letters. Writing must bear repeats: a batch that fails comes again as a whole.
func ExampleDeadLetter_batch() {
	hubs := []eventhubstest.Hub{{Name: "rows", Partitions: 1}, {Name: "dead-letters"}}
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: hubs})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := srv.Config("rows")
	err = srv.Send(ctx, "rows",
		eventhubs.Event{Body: []byte("a")}, eventhubs.Event{Body: []byte("broken")}, eventhubs.Event{Body: []byte("b")})
	if err != nil {
		log.Fatal(err)
	}

	table := map[int64]string{} // by sequence number
	write := func(events ...*eventhubs.ReceivedEvent) error {
		for _, e := range events {
			if string(e.Body) == "broken" {
				return errors.New("not a row") // a database would roll back
			}
		}
		for _, e := range events {
			table[e.SequenceNumber] = string(e.Body)
		}
		return nil
	}

	deadLetters, err := eventhubs.NewProducer(cfg.Hub("dead-letters"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer deadLetters.Close(context.Background())
	consumer, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	one := eventhubs.DeadLetter(deadLetters, 2, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		return write(e)
	})
	err = consumer.ReceiveBatch(ctx, func(ctx context.Context, batch []*eventhubs.ReceivedEvent) error {
		if err := write(batch...); err == nil || batch[0].Attempt < 2 {
			return err
		}
		for _, e := range batch {
			if err := one(ctx, e); err != nil {
				return err
			}
		}
		cancel() // the example ends here
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rows:", table)
	for _, e := range srv.AllEvents("dead-letters") {
		fmt.Printf("dead letter %s: %s\n", e.Body, e.Properties["dead_letter_reason"])
	}
	// Output:
	// rows: map[0:a 2:b]
	// dead letter broken: not a row
}
