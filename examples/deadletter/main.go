// Command deadletter handles orders, until Ctrl-C or SIGTERM. An order that can't be handled is sent, with the reason,
// to another event hub of the namespace, the one that DEAD_LETTER_HUB names, and the orders after it are handled. For
// the rest of the environment see eventhubs.ConfigFromEnv and eventhubs.BlobConfigFromEnv.
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

// attempts is how often an event is tried. In between Receive waits, 100 ms at first: see ConsumerOptions.Backoff.
const attempts = 3

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
	deadLetters, err := eventhubs.NewProducer(cfg.Hub(cmp.Or(os.Getenv("DEAD_LETTER_HUB"), "dead-letters")), nil)
	if err != nil {
		return err
	}
	defer deadLetters.Close(context.Background())
	options := &eventhubs.ConsumerOptions{
		ConsumerGroup: os.Getenv("EVENT_HUB_CONSUMER_GROUP"), InstanceID: os.Getenv("INSTANCE_ID"),
		// While an order is retried, only those with the same partition key wait for it. Those without a key don't.
		Concurrency: 8,
	}
	consumer, err := eventhubs.NewConsumer(cfg, store, options)
	if err != nil {
		return err
	}
	defer consumer.Close(context.Background())

	fmt.Println("Receiving; Ctrl-C ends it")
	return consumer.Receive(ctx, eventhubs.DeadLetter(deadLetters, attempts, handle))
}

func handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	var order struct{ ID, Amount int }
	if err := json.Unmarshal(e.Body, &order); err != nil {
		return err
	}
	_, err := fmt.Printf("Order %d: %d units\n", order.ID, order.Amount)
	return err
}
