package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"sync"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// totals is what is to be tested: its Handle adds up amounts.
type totals struct {
	mu  sync.Mutex
	sum int
}

func (t *totals) Handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	amount, err := strconv.Atoi(string(e.Body))
	if err != nil {
		return eventhubs.Stop(fmt.Errorf("not an amount: %w", err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum += amount
	return nil
}

// A handler is tested with a namespace and a store that are there for the test alone. In a test, eventhubstest.Start closes the namespace by itself.
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
	// eventhubs: receive: handler of partition 0 at sequence number 2: not an amount: strconv.Atoi: parsing "many": invalid syntax
	// sum: 42
}
