package eventhubstest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// testGreeter is a test: func TestGreeter(t *testing.T) in your own code.
func testGreeter(t eventhubstest.TB) {
	srv := eventhubstest.Start(t, nil) // it ends with the test
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer producer.Close(ctx)
	if err := producer.Send(ctx, eventhubs.Event{Body: []byte("Ada")}); err != nil {
		t.Fatalf("%v", err)
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer consumer.Close(ctx)
	err = consumer.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		defer cancel() // the test needs one event only
		return greet(ctx, e)
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// greet is the handler under test.
func greet(_ context.Context, e *eventhubs.ReceivedEvent) error {
	_, err := fmt.Printf("Hello, %s\n", e.Body)
	return err
}

// The handler is tested with its own namespace, in the test's process: no Azure, no Docker, and no waiting.
func ExampleStart() {
	t := &exampleT{}
	testGreeter(t)
	t.end()
	// Output: Hello, Ada
}

// exampleT stands for the *testing.T that go test hands to TestGreeter.
type exampleT struct{ end func() }

func (t *exampleT) Helper()                           {}
func (t *exampleT) Cleanup(f func())                  { t.end = f }
func (t *exampleT) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
