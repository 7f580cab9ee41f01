// Command recv prints events as they come, until Ctrl-C or SIGTERM: the twin of the Python quickstart's recv.py.
// Started again, it resumes after the last event that it has printed. It finds event hub and storage in the
// environment; see eventhubs.ConfigFromEnv and eventhubs.BlobConfigFromEnv.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-eventhubs/eventhubs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
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
	// With a name that outlives the process, it has its partitions back at once after a crash, and not after a minute.
	options := &eventhubs.ConsumerOptions{
		ConsumerGroup: os.Getenv("EVENT_HUB_CONSUMER_GROUP"), InstanceID: os.Getenv("INSTANCE_ID"),
	}
	consumer, err := eventhubs.NewConsumer(cfg, store, options)
	if err != nil {
		return err
	}
	defer consumer.Close(context.Background())

	fmt.Println("Receiving; Ctrl-C ends it")
	return consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		fmt.Printf("Received event %q from partition %s (sequence number %d)\n", e.Body, e.PartitionID, e.SequenceNumber)
		return nil
	})
}
