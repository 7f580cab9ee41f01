package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// readers notes which consumer has read last from which partition.
type readers struct {
	mu sync.Mutex
	of map[string]string
}

func (r *readers) handler(consumer string) eventhubs.Handler {
	return func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.of[e.PartitionID] = consumer
		return nil
	}
}

// share is how many partitions each consumer reads, fewest first.
func (r *readers) share() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := map[string]int{}
	for _, consumer := range r.of {
		n[consumer]++
	}
	return slices.Sorted(maps.Values(n))
}

// Consumers of the same group that use the same store share the partitions, whether they are in one process or in many: start another one to go faster.
// Which of them reads what, they find out by themselves.
func ExampleConsumer_Receive_share() {
	srv, err := eventhubstest.New(nil) // 4 partitions
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reads, store := &readers{of: map[string]string{}}, eventhubs.NewMemoryCheckpointStore()

	var running sync.WaitGroup
	for _, name := range []string{"one", "other"} {
		options := &eventhubs.ConsumerOptions{InstanceID: name, UpdateInterval: 100 * time.Millisecond} // sooner than the usual 10 seconds
		consumer, err := eventhubs.NewConsumer(srv.Config("hub"), store, options)
		if err != nil {
			log.Fatal(err)
		}
		defer consumer.Close(context.Background())
		running.Go(func() {
			if err := consumer.Receive(ctx, reads.handler(name)); err != nil {
				log.Fatal(err)
			}
		})
	}

	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(context.Background())
	for !slices.Equal(reads.share(), []int{2, 2}) { // events come all the time
		for _, partition := range []string{"0", "1", "2", "3"} {
			if err := producer.Send(ctx, eventhubs.Event{PartitionID: partition}); err != nil {
				log.Fatal(err)
			}
		}
	}
	cancel()
	running.Wait()
	fmt.Println("each reads two of the four partitions")
	// Output: each reads two of the four partitions
}
