package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// What an Event was given comes back in a ReceivedEvent, whose fields are the SDK's: what may be missing is a pointer
// there.
func ExampleReceivedEvent() {
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
	err = producer.Send(ctx, eventhubs.Event{
		Body: []byte(`{"amount": 12}`), ContentType: "application/json", PartitionKey: "customer-3",
		MessageID: "order-1", CorrelationID: "request-9", Properties: map[string]any{"kind": "order", "version": int64(2)},
	})
	if err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		fmt.Println(string(e.Body), *e.ContentType, *e.PartitionKey)
		fmt.Println(*e.MessageID, e.CorrelationID, e.Properties["kind"], e.Properties["version"])
		fmt.Println("number", e.SequenceNumber, "of its partition; attempt", e.Attempt)
		cancel()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// {"amount": 12} application/json customer-3
	// order-1 request-9 order 2
	// number 0 of its partition; attempt 1
}

// An event is sent on to another event hub as it was, with a property more.
func ExampleReceivedEvent_Event() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "orders"}, {Name: "audit"}}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := srv.Config("orders")
	if err := srv.Send(ctx, "orders", eventhubs.Event{Body: []byte("2 pears"), MessageID: "order-1"}); err != nil {
		log.Fatal(err)
	}

	audit, err := eventhubs.NewProducer(cfg.Hub("audit"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer audit.Close(context.Background())
	consumer, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	err = consumer.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		event, err := e.Event()
		if err != nil {
			return err
		}
		event.Properties["seen by"] = "orders service"
		if err := audit.Send(ctx, event); err != nil {
			return err
		}
		cancel()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range srv.AllEvents("audit") {
		fmt.Printf("%s %s %v\n", e.Body, e.MessageID, e.Properties)
	}
	// Output: 2 pears order-1 map[seen by:orders service]
}
