// Command batch writes events in bulk, many at once, and prints a line for each write, until Ctrl-C or SIGTERM. It
// finds event hub and storage in the environment; see eventhubs.ConfigFromEnv and eventhubs.BlobConfigFromEnv.
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
	options := &eventhubs.ConsumerOptions{
		ConsumerGroup: os.Getenv("EVENT_HUB_CONSUMER_GROUP"), InstanceID: os.Getenv("INSTANCE_ID"),

		MaxBatch:        500,    // rows of one write at the most; there are fewer when fewer events are there
		Prefetch:        1000,   // read ahead, so that the next batch is there when one is written
		CheckpointCount: 10_000, // no more events of a partition than that are repeated after a crash
	}
	consumer, err := eventhubs.NewConsumer(cfg, store, options)
	if err != nil {
		return err
	}
	defer consumer.Close(context.Background())

	fmt.Println("Receiving; Ctrl-C ends it")
	return consumer.ReceiveBatch(ctx, write)
}

// write is where a database's bulk insert would be. All events are from one partition. Partition and sequence number
// make a key, by which an event that is repeated, after a crash say, finds its row. After an error the same events come
// again.
func write(_ context.Context, events []*eventhubs.ReceivedEvent) error {
	first, last := events[0], events[len(events)-1]
	_, err := fmt.Printf("Wrote %d rows of partition %s, sequence numbers %d to %d\n",
		len(events), first.PartitionID, first.SequenceNumber, last.SequenceNumber)
	return err
}
