package eventhubstest_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The event is stored, and the connection drops before the answer arrives. Send can't know that the event is stored,
// and sends it again. Programs that receive must tolerate such repeats.
func ExampleServer_Fault() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, After: true, DropConnection: true})

	ctx := context.Background()
	cfg := srv.Config("hub")
	cfg.Retry = azeventhubs.RetryOptions{RetryDelay: 10 * time.Millisecond} // otherwise Send retries after seconds
	producer, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	fmt.Println("Send:", producer.Send(ctx, eventhubs.Event{Body: []byte("order 1"), MessageID: "1", PartitionID: "0"}))
	for _, e := range srv.Events("hub", "0") {
		fmt.Printf("stored: %s, message %s\n", e.Body, e.MessageID)
	}
	// Output:
	// Send: <nil>
	// stored: order 1, message 1
	// stored: order 1, message 1
}
