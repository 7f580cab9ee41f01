package eventhubs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A service shows over HTTP how far it is with each partition.
func ExampleConsumer_Partitions() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "orders", Partitions: 1}}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	producer, err := eventhubs.NewProducer(srv.Config("orders"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	if err := producer.Send(ctx, eventhubs.Event{Body: []byte("first")}, eventhubs.Event{Body: []byte("second")}); err != nil {
		log.Fatal(err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("orders"), eventhubs.NewMemoryCheckpointStore(),
		&eventhubs.ConsumerOptions{LagInterval: 30 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(context.Background())
	status := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(consumer.Partitions())
	}))
	defer status.Close()

	returned := make(chan error)
	go func() {
		returned <- consumer.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error { return nil })
	}()

	for { // the first answers come before the service has said where the partition ends
		var partitions []eventhubs.PartitionStatus
		if err := get(status.URL, &partitions); err != nil {
			log.Fatal(err)
		}
		if len(partitions) == 1 && partitions[0].Lag != nil && partitions[0].Lag.Events == 0 {
			p := partitions[0]
			fmt.Printf("partition %s: handled up to %d of %d\n", p.PartitionID, p.Handled.SequenceNumber, p.Lag.LastEnqueuedSequenceNumber)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	fmt.Println("Receive returned:", <-returned)
	// Output:
	// partition 0: handled up to 1 of 1
	// Receive returned: <nil>
}

// get decodes what a server answers.
func get(url string, into any) error {
	answer, err := http.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(into)
}
