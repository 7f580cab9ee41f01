package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// startOrders starts a namespace with an event hub of one partition, which holds an event for each body. The customer,
// its first letter, is its partition key.
func startOrders(bodies ...string) *eventhubstest.Server {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "orders", Partitions: 1}}})
	if err != nil {
		log.Fatal(err)
	}
	for _, body := range bodies {
		e := eventhubs.Event{Body: []byte(body), PartitionKey: body[:1]}
		if err := srv.Send(context.Background(), "orders", e); err != nil {
			log.Fatal(err)
		}
	}
	return srv
}

// Ten handlers of each partition run at once, and the orders of one customer are still handled one after the other.
// While those of customer a fail, the others go on.
func ExampleConsumerOptions_concurrency() {
	srv := startOrders("a1", "a2", "b1", "c1", "b2", "a3")
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	options := &eventhubs.ConsumerOptions{
		Concurrency: 10,
		// Nil would do the same here: the PartitionKey counts then.
		Key: func(e *eventhubs.ReceivedEvent) string { return string(e.Body[:1]) },
	}
	consumer, err := eventhubs.NewConsumer(srv.Config("orders"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())

	var handledMu sync.Mutex // handlers run at the same time
	handled := map[string][]string{}
	others := 0
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		handledMu.Lock()
		defer handledMu.Unlock()
		customer := string(e.Body[:1])
		if customer == "a" && others < 3 {
			return errors.New("not yet") // a1 is retried; a2 and a3 wait for it, the others don't
		}
		if customer != "a" {
			others++
		}
		handled[customer] = append(handled[customer], string(e.Body))
		if len(handled["a"]) == 3 {
			cancel() // these were all events; a real program runs until it is told to stop
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(handled)
	// Output:
	// map[a:[a1 a2 a3] b:[b1 b2] c:[c1]]
}

// A batch waits up to a minute for more events, so that each write has many. The last batch comes when Receive ends.
func ExampleConsumerOptions_batchWait() {
	srv := startOrders("a1", "a2", "a3", "a4", "a5")
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	options := &eventhubs.ConsumerOptions{MaxBatch: 3, BatchWait: time.Minute}
	consumer, err := eventhubs.NewConsumer(srv.Config("orders"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.ReceiveBatch(ctx, func(_ context.Context, events []*eventhubs.ReceivedEvent) error {
		fmt.Println("written at once:", len(events))
		time.AfterFunc(100*time.Millisecond, cancel) // SIGTERM
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// written at once: 3
	// written at once: 2
}

// Handlers keep a sum for each partition. It is set up before the first event of a partition, and written when others
// can take the partition: the last checkpoint comes after that.
func ExampleConsumerOptions_partitionOpened() {
	srv := startOrders("a1", "a2", "a3")
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	var sumsMu sync.Mutex // partitions run at the same time
	sums := map[string][]string{}
	options := &eventhubs.ConsumerOptions{
		PartitionOpened: func(_ context.Context, partitionID string) error {
			sumsMu.Lock()
			defer sumsMu.Unlock()
			fmt.Println("opened", partitionID)
			sums[partitionID] = nil // a real program reads what it has written
			return nil
		},
		PartitionClosed: func(_ context.Context, partitionID string, reason error) {
			sumsMu.Lock()
			defer sumsMu.Unlock()
			if !errors.Is(reason, eventhubs.ErrOwnershipLost) { // then it is another consumer's
				fmt.Println("closed", partitionID, sums[partitionID])
			}
			delete(sums, partitionID)
		},
	}
	consumer, err := eventhubs.NewConsumer(srv.Config("orders"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		sumsMu.Lock()
		defer sumsMu.Unlock()
		sums[e.PartitionID] = append(sums[e.PartitionID], string(e.Body))
		if slices.Contains(sums[e.PartitionID], "a3") {
			cancel() // these were all events
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// opened 0
	// closed 0 [a1 a2 a3]
}
