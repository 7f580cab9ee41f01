package eventhubs_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// To look into a problem, have the SDK's own log written to a file. LogSDK comes before the first producer, consumer or store.
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
