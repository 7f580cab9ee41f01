package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// deadLetter has a handler tried so many times with an event. Then it sends the event, with the reason, to another event hub, and the partition goes on.
// If that fails too, the event comes again: it is never lost.
func deadLetter(to *eventhubs.Producer, tries int, h eventhubs.Handler) eventhubs.Handler {
	return func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		err := h(ctx, e)
		if err == nil || e.Attempt < tries || ctx.Err() != nil { // ctx: the event isn't to blame
			return err
		}
		letter := e.Event()
		letter.Properties["reason"], letter.Properties["partition"], letter.Properties["sequence"] = err.Error(), e.PartitionID, e.SequenceNumber
		return to.Send(ctx, letter)
	}
}

// Event Hubs has no dead-letter queue; another event hub makes one.
func ExampleConsumer_Receive_deadLetter() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "orders"}, {Name: "dead-letters"}}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	orders, err := eventhubs.NewProducer(srv.Config("orders"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer orders.Close(ctx)
	deadLetters, err := eventhubs.NewProducer(srv.Config("dead-letters"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer deadLetters.Close(ctx)
	err = orders.Send(ctx,
		eventhubs.Event{Body: []byte("{"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("{}"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("orders"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.Receive(ctx, deadLetter(deadLetters, 2, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if string(e.Body) != "{}" {
			return errors.New("not JSON")
		}
		fmt.Printf("order %s\n", e.Body)
		cancel()
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range srv.AllEvents("dead-letters") {
		fmt.Printf("dead letter %s: %s (sequence number %d)\n", e.Body, e.Properties["reason"], e.Properties["sequence"])
	}
	// Output:
	// order {}
	// dead letter {: not JSON (sequence number 0)
}
