package eventhubs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A handler's context tells it when to stop, and why. Whatever the handler passes the context to (a database, an HTTP
// client, a Producer) then stops too.
func ExampleHandler() {
	srv, err := eventhubstest.New(nil)
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
	defer producer.Close(context.Background())
	if err := producer.Send(ctx, eventhubs.Event{}); err != nil {
		log.Fatal(err)
	}

	options := &eventhubs.ConsumerOptions{DrainTimeout: 10 * time.Millisecond} // 30 seconds, if left out
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.Receive(ctx, func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
		cancel()     // the program is told to stop
		<-ctx.Done() // a query that takes too long
		switch err := context.Cause(ctx); {
		case errors.Is(err, eventhubs.ErrDraining):
			fmt.Println("DrainTimeout has passed: the next consumer gets the event again")
		case errors.Is(err, eventhubs.ErrOwnershipLost):
			fmt.Println("another consumer reads the partition: it gets the event too")
		}
		return ctx.Err()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: DrainTimeout has passed: the next consumer gets the event again
}

// A handler that fails gets the event again after a pause, while the later events of its partition wait. Backoff sets
// the pause. It may give up: Receive then returns a HandlerError.
func ExampleConsumer_Receive_retry() {
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
		eventhubs.Event{Body: []byte("fails once"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("fails always"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}

	options := &eventhubs.ConsumerOptions{Backoff: func(attempt int, _ error) time.Duration {
		if attempt == 3 {
			return -1 // give up
		}
		return time.Duration(attempt) * time.Millisecond
	}}
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(ctx)
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		fmt.Printf("%s: attempt %d\n", e.Body, e.Attempt)
		if e.Attempt == 1 || string(e.Body) == "fails always" {
			return errors.New("database is busy")
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// fails once: attempt 1
	// fails once: attempt 2
	// fails always: attempt 1
	// fails always: attempt 2
	// fails always: attempt 3
	// eventhubs: receive: handler of partition 0 at sequence number 1: database is busy
}

// Stop ends Receive when a retry would not help. The event is not processed: the next consumer starts with it.
func ExampleStop() {
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
		eventhubs.Event{Body: []byte("v1 order"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("v2 order"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(ctx)
	errTooNew := errors.New("written by a newer version: upgrade this program")
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if string(e.Body) != "v1 order" {
			return eventhubs.Stop(errTooNew)
		}
		fmt.Printf("%s\n", e.Body)
		return nil
	})
	var stopped *eventhubs.HandlerError
	if errors.As(err, &stopped) {
		fmt.Println("stopped at partition", stopped.PartitionID, "sequence number", stopped.SequenceNumber)
	}
	fmt.Println(errors.Is(err, errTooNew))
	// Output:
	// v1 order
	// stopped at partition 0 sequence number 1
	// true
}

// A panic in a handler does not end the process before the other partitions have written their checkpoints. Receive
// returns it as a HandlerError, which says where it happened.
func ExampleHandlerError() {
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
	if err := producer.Send(ctx, eventhubs.Event{Body: []byte("{}"), PartitionID: "2"}); err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(ctx)
	var totals map[string]int
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		totals[string(e.Body)]++ // the map was never made
		return nil
	})
	var failed *eventhubs.HandlerError
	if errors.As(err, &failed) && failed.Panic != nil {
		fmt.Println("partition", failed.PartitionID, "sequence number", failed.SequenceNumber, "panic:", failed.Panic)
	}
	// Output: partition 2 sequence number 0 panic: assignment to entry in nil map
}

// Event Hubs has no dead-letter queue; another event hub can be one. After two failures an event is sent there, and its
// partition moves on. With ConsumerOptions.Concurrency only events of the same key wait until then.
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

// A batch is written as a whole. When that has failed twice, its events are written one by one, and those that fail
// become dead letters. Writes must tolerate repeats: a batch that fails comes again as a whole.
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
	options := &eventhubs.ConsumerOptions{MaxBatch: 3, BatchWait: time.Minute} // the example wants one batch
	consumer, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), options)
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
