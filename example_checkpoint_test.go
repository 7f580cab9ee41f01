package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Checkpoints in Azure Blob Storage outlive the process: after a restart, processed events are not read again.
func ExampleNewBlobCheckpointStore() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(context.Background())

	for _, text := range []string{"before the restart", "after the restart"} {
		ctx, cancel := context.WithCancel(context.Background())
		if err := producer.Send(ctx, eventhubs.Event{Body: []byte(text)}); err != nil {
			log.Fatal(err)
		}
		// In Azure: eventhubs.BlobConfig{AccountURL: "https://contoso.blob.core.windows.net", Container: "checkpoints"}
		store, err := eventhubs.NewBlobCheckpointStore(ctx, srv.BlobConfig("checkpoints"))
		if err != nil {
			log.Fatal(err)
		}
		consumer, err := eventhubs.NewConsumer(srv.Config("hub"), store, nil)
		if err != nil {
			log.Fatal(err)
		}
		err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			fmt.Println(string(e.Body))
			cancel()
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
		if err := consumer.Close(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// before the restart
	// after the restart
}

// The variables have the names of Microsoft's quickstart for Python. BLOB_STORAGE_CONNECTION_STRING can replace the
// account's URL.
func ExampleBlobConfigFromEnv() {
	os.Unsetenv("BLOB_STORAGE_CONNECTION_STRING")
	os.Setenv("BLOB_STORAGE_ACCOUNT_URL", "https://contoso.blob.core.windows.net") // what starts a program sets these
	defer os.Unsetenv("BLOB_STORAGE_ACCOUNT_URL")
	os.Setenv("BLOB_CONTAINER_NAME", "checkpoints")
	cfg, err := eventhubs.BlobConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg)

	os.Unsetenv("BLOB_CONTAINER_NAME")
	_, err = eventhubs.BlobConfigFromEnv()
	fmt.Println(err)
	// Output:
	// container "checkpoints" at https://contoso.blob.core.windows.net (DefaultAzureCredential, KeepCase false)
	// eventhubs: environment: BLOB_CONTAINER_NAME is not set
}

// totals has the handler to test: it adds up amounts.
type totals struct {
	sumMu sync.Mutex
	sum   int
}

func (t *totals) Handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	amount, err := strconv.Atoi(string(e.Body))
	if err != nil {
		return eventhubs.Stop(fmt.Errorf("not an amount: %q", e.Body))
	}
	t.sumMu.Lock()
	defer t.sumMu.Unlock()
	t.sum += amount
	return nil
}

// Test a handler with a namespace and a store of its own. In a test, eventhubstest.Start also closes the namespace.
func ExampleNewMemoryCheckpointStore() {
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
		eventhubs.Event{Body: []byte("20"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("22"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("many"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(ctx)
	var t totals
	fmt.Println(consumer.Receive(ctx, t.Handle))
	fmt.Println("sum:", t.sum)
	// Output:
	// eventhubs: receive: handler of partition 0 at sequence number 2: not an amount: "many"
	// sum: 42
}

// watchedStore wraps a store and records how far each partition is, for example for a metric. Test your own stores with
// storetest.Run.
type watchedStore struct {
	eventhubs.CheckpointStore // does everything else

	lastMu sync.Mutex
	last   map[string]int64 // sequence numbers, by partition
}

func (s *watchedStore) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions,
) error {
	if err := s.CheckpointStore.SetCheckpoint(ctx, c, o); err != nil {
		return err
	}
	s.lastMu.Lock()
	defer s.lastMu.Unlock()
	if c.SequenceNumber != nil {
		s.last[c.PartitionID] = *c.SequenceNumber
	}
	return nil
}

// Any CheckpointStore for the SDK can be used, and so can one that wraps another.
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
