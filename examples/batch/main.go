// Command batch writes events in bulk, many at once, and prints a line for each write, until Ctrl-C. It finds event hub and storage in the environment; see
// eventhubs.ConfigFromEnv and eventhubs.BlobConfigFromEnv.
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
		MaxBatch:        500,    // rows of one write at the most; there are fewer when fewer events are there
		Prefetch:        1000,   // read ahead, so that the next batch is there when one is written
		CheckpointCount: 10_000, // no more than that many events of a partition come again after a crash
	}
	consumer, err := eventhubs.NewConsumer(cfg, store, options)
	if err != nil {
		return err
	}
	defer consumer.Close(context.Background())

	fmt.Println("Receiving; Ctrl-C ends it")
	return consumer.ReceiveBatch(ctx, write)
}

// write is where a database's bulk insert would be. All events are from one partition. Sequence number and partition make a key with which an event that comes
// again, after a crash say, finds its row there. An error brings the same events again, after a pause.
func write(_ context.Context, events []*eventhubs.ReceivedEvent) error {
	first, last := events[0], events[len(events)-1]
	_, err := fmt.Printf("Wrote %d rows of partition %s, sequence numbers %d to %d\n", len(events), first.PartitionID, first.SequenceNumber, last.SequenceNumber)
	return err
}
