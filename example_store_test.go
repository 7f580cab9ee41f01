package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// watchedStore is a store around another one: it keeps how far each partition is, for a metric say. A store of one's own is tested with storetest.Run.
type watchedStore struct {
	eventhubs.CheckpointStore // does all else

	mu   sync.Mutex
	last map[string]int64 // sequence numbers, by partition
}

func (s *watchedStore) SetCheckpoint(ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions) error {
	if err := s.CheckpointStore.SetCheckpoint(ctx, c, o); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.SequenceNumber != nil {
		s.last[c.PartitionID] = *c.SequenceNumber
	}
	return nil
}

// Every CheckpointStore for the SDK fits, and so does one around another.
func ExampleCheckpointStore() {
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
	defer producer.Close(ctx)
	if err := producer.Send(ctx, eventhubs.Event{PartitionID: "3"}, eventhubs.Event{PartitionID: "3"}); err != nil {
		log.Fatal(err)
	}

	store := &watchedStore{CheckpointStore: eventhubs.NewMemoryCheckpointStore(), last: map[string]int64{}}
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), store, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber == 1 {
			cancel()
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("checkpoints:", store.last)
	// Output: checkpoints: map[3:1]
}
