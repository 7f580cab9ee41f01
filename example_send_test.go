package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Send takes any number of events and makes the batches. It returns when the service has accepted all of them.
func ExampleProducer_Send() {
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

	events := make([]eventhubs.Event, 10_000) // more than fit into one batch
	for i := range events {
		events[i].Body = fmt.Appendf(nil, `{"order": %d, "note": "%200s"}`, i, "")
	}
	if err := producer.Send(ctx, events...); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored:", len(srv.AllEvents("hub")))
	// Output: stored: 10000
}

// Events with the same key go to the same partition, which the service chooses, and keep their order. Events without a
// key are spread over all partitions, in no particular order.
func ExampleProducer_Send_keys() {
	srv, err := eventhubstest.New(nil) // 4 partitions
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
	for _, state := range []string{"starting", "running", "stopped"} {
		err := producer.Send(ctx,
			eventhubs.Event{Body: []byte(state), PartitionKey: "device-7"},
			eventhubs.Event{Body: []byte(state), PartitionKey: "device-8"})
		if err != nil {
			log.Fatal(err)
		}
	}

	states, partitions := map[string]string{}, map[string]map[string]bool{"device-7": {}, "device-8": {}}
	for _, e := range srv.AllEvents("hub") { // partition by partition, each in its order
		states[e.PartitionKey] += " " + string(e.Body)
		partitions[e.PartitionKey][e.PartitionID] = true
	}
	for _, device := range []string{"device-7", "device-8"} {
		fmt.Printf("%s:%s; partitions: %d\n", device, states[device], len(partitions[device]))
	}
	// Output:
	// device-7: starting running stopped; partitions: 1
	// device-8: starting running stopped; partitions: 1
}

// A SendError lists the events that were not acknowledged, so that only those are sent again. Send has retried for a
// minute by then, unless the failure is permanent.
func ExampleSendError() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	srv.Fault(eventhubstest.Fault{
		On: eventhubstest.OnPublish, Partition: "1", Times: 1, Condition: "amqp:resource-limit-exceeded",
	})

	ctx := context.Background()
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	events := []eventhubs.Event{
		{Body: []byte("a"), PartitionID: "0"},
		{Body: []byte("b"), PartitionID: "1"},
		{Body: []byte("c"), PartitionID: "0"},
		{Body: []byte("d"), PartitionID: "1"},
	}
	err = producer.Send(ctx, events...)
	var failed *eventhubs.SendError
	if errors.As(err, &failed) {
		fmt.Println("Some were not acknowledged; those alone are sent again.")
		var again []eventhubs.Event
		for _, i := range failed.Unacknowledged {
			again = append(again, events[i])
		}
		err = producer.Send(ctx, again...)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored:", len(srv.AllEvents("hub")))
	// Output:
	// Some were not acknowledged; those alone are sent again.
	// stored: 4
}

// An event that is too large for the service fails the whole call before anything is sent. Leave it out, or shrink it,
// and send the rest.
func ExampleEventTooLargeError() {
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
	err = producer.Send(ctx, eventhubs.Event{Body: []byte("small")}, eventhubs.Event{Body: make([]byte, 2<<20)})
	var tooLarge *eventhubs.EventTooLargeError
	if errors.As(err, &tooLarge) {
		fmt.Printf("event %d has more than %d bytes\n", tooLarge.Index, tooLarge.Limit)
	}
	fmt.Println("stored:", len(srv.AllEvents("hub")))
	// Output:
	// event 1 has more than 1048576 bytes
	// stored: 0
}

// The SDK's client is for what this package does not do, such as asking which partitions there are.
func ExampleProducer_Client() {
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
	hub, err := producer.Client().GetEventHubProperties(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hub.PartitionIDs)
	// Output: [0 1 2 3]
}

// A ReceivedEvent has what the Event was given. Its fields are the SDK's, where what may be missing is a pointer.
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

// An event is sent on unchanged to another event hub, with one more property.
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
