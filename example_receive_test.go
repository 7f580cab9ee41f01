package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Handlers of different partitions run at the same time, so what they share must be guarded: here, a sum. Handlers of
// one partition take turns.
func ExampleConsumer_Receive() {
	srv, err := eventhubstest.New(nil) // 4 partitions
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
	for _, partition := range []string{"0", "1", "2", "3"} {
		if err := producer.Send(ctx, eventhubs.Event{Body: []byte("25 units"), PartitionID: partition}); err != nil {
			log.Fatal(err)
		}
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	var sum atomic.Int64
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		var units int64
		if _, err := fmt.Sscan(string(e.Body), &units); err != nil {
			return eventhubs.Stop(err) // trying again would not help
		}
		if sum.Add(units) == 100 {
			cancel()
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sum:", sum.Load())
	// Output: sum: 100
}

// A batch handler processes several events at once, for example with one write to a database. A batch comes from one
// partition, in order. After an error the handler gets the same batch again.
func ExampleConsumer_ReceiveBatch() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}})
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
	if err := producer.Send(ctx, make([]eventhubs.Event, 1000)...); err != nil {
		log.Fatal(err)
	}

	options := &eventhubs.ConsumerOptions{MaxBatch: 200, CheckpointCount: 500}
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	var rows, largest int // handlers of one partition take turns: nothing to guard
	err = consumer.ReceiveBatch(ctx, func(_ context.Context, batch []*eventhubs.ReceivedEvent) error {
		rows += len(batch) // insert into … values …, …, …
		largest = max(largest, len(batch))
		if rows == 1000 {
			cancel()
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rows:", rows)
	fmt.Println("no batch is larger than asked for:", largest <= 200)
	// Output:
	// rows: 1000
	// no batch is larger than asked for: true
}

// readers notes which consumer has read last from which partition.
type readers struct {
	ofMu sync.Mutex
	of   map[string]string
}

func (r *readers) handler(consumer string) eventhubs.Handler {
	return func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		r.ofMu.Lock()
		defer r.ofMu.Unlock()
		r.of[e.PartitionID] = consumer
		return nil
	}
}

// share is how many partitions each consumer reads, fewest first.
func (r *readers) share() []int {
	r.ofMu.Lock()
	defer r.ofMu.Unlock()
	n := map[string]int{}
	for _, consumer := range r.of {
		n[consumer]++
	}
	return slices.Sorted(maps.Values(n))
}

// Consumers of the same group that use the same store share the partitions, in one process or in many. Start another
// one to go faster: they agree among themselves who reads what.
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
		// The default UpdateInterval is 10 seconds.
		options := &eventhubs.ConsumerOptions{InstanceID: name, UpdateInterval: 100 * time.Millisecond}
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
	for !slices.Equal(reads.share(), []int{2, 2}) { // events keep coming
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

// Start says where to begin in a partition without a checkpoint; a partition with one resumes after it. The zero value
// means the earliest event.
func ExampleConsumerOptions_start() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 2}}})
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
	defer producer.Close(context.Background())
	err = producer.Send(ctx,
		eventhubs.Event{Body: []byte("a"), PartitionID: "0"}, eventhubs.Event{Body: []byte("b"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("c"), PartitionID: "1"}, eventhubs.Event{Body: []byte("d"), PartitionID: "1"})
	if err != nil {
		log.Fatal(err)
	}

	start, last := eventhubs.Since(time.Now().Add(-time.Hour)), int64(1) // or Earliest(), or Latest()
	start.PerPartition = map[string]azeventhubs.StartPosition{"1": {SequenceNumber: &last, Inclusive: true}}
	options := &eventhubs.ConsumerOptions{Start: start}
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), options)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	var received atomic.Int32
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		fmt.Printf("partition %s: %s\n", e.PartitionID, e.Body)
		if received.Add(1) == 3 {
			cancel()
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// partition 0: a
	// partition 0: b
	// partition 1: d
}

// A service ends Receive with its context, for example on SIGTERM. The running handler finishes, a checkpoint covers
// its event, the partitions are released, and Receive returns nil. The next process resumes with the next event.
func ExampleConsumer_Receive_shutdown() {
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
	err = producer.Send(context.Background(),
		eventhubs.Event{Body: []byte("first"), PartitionID: "0"},
		eventhubs.Event{Body: []byte("second"), PartitionID: "0"})
	if err != nil {
		log.Fatal(err)
	}
	store := eventhubs.NewMemoryCheckpointStore()

	service := func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		consumer, err := eventhubs.NewConsumer(srv.Config("hub"), store, nil)
		if err != nil {
			log.Fatal(err)
		}
		defer consumer.Close(context.Background()) // not ctx: it has ended by then
		err = consumer.Receive(ctx, func(handling context.Context, e *eventhubs.ReceivedEvent) error {
			stop() // stands for the signal
			fmt.Printf("%s: told to end: %v, the handler may finish: %v\n", e.Body, ctx.Err() != nil, handling.Err() == nil)
			return nil
		})
		fmt.Println("Receive has returned", err)
	}
	service()
	service()
	// Output:
	// first: told to end: true, the handler may finish: true
	// Receive has returned <nil>
	// second: told to end: true, the handler may finish: true
	// Receive has returned <nil>
}

// Close ends a running Receive as the end of its context does, and waits for it: for a program that stops its parts one
// after the other, as examples/service does.
func ExampleConsumer_Close() {
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
	if err := producer.Send(ctx, eventhubs.Event{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	handling, received := make(chan struct{}), make(chan error, 1)
	go func() {
		received <- consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			close(handling)
			fmt.Printf("handled %s\n", e.Body)
			return nil
		})
	}()
	<-handling
	fmt.Println("Close:", consumer.Close(ctx))
	fmt.Println("Receive:", <-received)
	// Output:
	// handled order 1
	// Close: <nil>
	// Receive: <nil>
}
