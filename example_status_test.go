package eventhubs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A service reports over HTTP how far it is with each partition.
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
	err = producer.Send(ctx, eventhubs.Event{Body: []byte("first")}, eventhubs.Event{Body: []byte("second")})
	if err != nil {
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

	for { // until the service has said where the partition ends
		var partitions []eventhubs.PartitionStatus
		if err := get(status.URL, &partitions); err != nil {
			log.Fatal(err)
		}
		if len(partitions) == 1 && partitions[0].Lag != nil && partitions[0].Lag.Events == 0 {
			p := partitions[0]
			fmt.Printf("partition %s: handled up to %d of %d\n",
				p.PartitionID, p.Handled.SequenceNumber, p.Lag.LastEnqueuedSequenceNumber)
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

// get decodes the answer of a server.
func get(url string, into any) error {
	answer, err := http.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(into)
}

// Status says what the consumer as a whole is doing, for a health check.
func ExampleConsumer_Status() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx := context.Background()
	if err := srv.Send(ctx, "hub", eventhubs.Event{}); err != nil {
		log.Fatal(err)
	}
	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(consumer.Status().State)

	handling, returned := make(chan struct{}), make(chan error)
	go func() {
		returned <- consumer.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error {
			close(handling)
			return nil
		})
	}()
	<-handling
	fmt.Println(consumer.Status().State)
	if err := consumer.Close(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(consumer.Status().State, <-returned)
	// Output:
	// stopped
	// receiving
	// stopped <nil>
}

// To investigate a problem, write the SDK's own log to a file. Call LogSDK before you make the first producer, consumer
// or store.
func ExampleLogSDK() {
	file, err := os.CreateTemp("", "sdk-*.log")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(file.Name())
	stop := eventhubs.LogSDK(slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer stop()

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
	if err := producer.Send(ctx, eventhubs.Event{}); err != nil {
		log.Fatal(err)
	}
	if err := producer.Close(ctx); err != nil {
		log.Fatal(err)
	}

	said, err := os.ReadFile(file.Name())
	if err != nil {
		log.Fatal(err)
	}
	for _, event := range []string{"azeh.Conn", "azeh.Auth", "azeh.Producer"} {
		fmt.Println(event, bytes.Contains(said, []byte("sdk_event="+event)))
	}
	fmt.Println("a key:", bytes.Contains(said, []byte(eventhubstest.DefaultKey)))
	// Output:
	// azeh.Conn true
	// azeh.Auth true
	// azeh.Producer true
	// a key: false
}
