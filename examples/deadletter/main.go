// Command deadletter handles orders, until Ctrl-C. One that can't be handled is sent, with the reason, to another event hub of the namespace, the one that
// DEAD_LETTER_HUB names, and the orders behind it go on. For the rest of the environment see eventhubs.ConfigFromEnv and eventhubs.BlobConfigFromEnv.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-eventhubs/eventhubs"
)

// tries is how often an event is tried. Between them Receive waits, 100 ms at first: see eventhubs.ConsumerOptions.Backoff.
const tries = 3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := receive(ctx); err != nil {
		log.Fatal(err)
	}
}

func receive(ctx context.Context) error {
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		return err
	}
	blobs, err := eventhubs.BlobConfigFromEnv()
	if err != nil {
		return err
	}
	store, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
	if err != nil {
		return err
	}
	dead := cfg
	dead.EventHub = cmp.Or(os.Getenv("DEAD_LETTER_HUB"), "dead-letters")
	producer, err := eventhubs.NewProducer(dead, nil)
	if err != nil {
		return err
	}
	defer producer.Close(context.Background())
	consumer, err := eventhubs.NewConsumer(cfg, store, nil)
	if err != nil {
		return err
	}
	defer consumer.Close(context.Background())

	fmt.Println("Receiving; Ctrl-C ends it")
	return consumer.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		err := handle(ctx, e)
		if err == nil || e.Attempt < tries || ctx.Err() != nil { // ctx: the event isn't to blame
			return err
		}
		// If this fails too, the event comes again, and goes through both once more: it is never lost.
		return producer.Send(ctx, deadLetter(e, err))
	})
}

func handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	var order struct{ ID, Amount int }
	if err := json.Unmarshal(e.Body, &order); err != nil {
		return err
	}
	_, err := fmt.Printf("Order %d: %d units\n", order.ID, order.Amount)
	return err
}

// deadLetter is an event as it was, with why it could not be handled, and where it is in its own event hub.
func deadLetter(e *eventhubs.ReceivedEvent, reason error) eventhubs.Event {
	letter := e.Event()
	letter.Properties["reason"] = reason.Error()
	letter.Properties["partition"], letter.Properties["sequence"] = e.PartitionID, e.SequenceNumber
	return letter
}
