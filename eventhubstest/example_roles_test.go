package eventhubstest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A program fails without its role, and works once it has the role.
func ExampleServer_SetRoles() {
	srv, err := eventhubstest.New(&eventhubstest.Options{
		TLS: true, Identities: []eventhubstest.Identity{{ClientID: "shop"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	ctx := context.Background()
	producer, err := eventhubs.NewProducer(srv.PasswordlessConfig("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	fmt.Println("without a role it fails:", producer.Send(ctx, eventhubs.Event{}) != nil)
	if err := srv.SetRoles("shop", eventhubstest.EventHubsDataSender); err != nil {
		log.Fatal(err)
	}
	fmt.Println("with it:", producer.Send(ctx, eventhubs.Event{}))
	// Output:
	// without a role it fails: true
	// with it: <nil>
}
