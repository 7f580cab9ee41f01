package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Checkpoints in Azure Blob Storage outlive the process: what was processed before it ended is not read again after it has started.
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
