package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Without a Credential, DefaultAzureCredential signs in: a managed identity, a workload identity, or az login. Here it is an identity of the local
// namespace, which may send and not receive.
func ExampleConfig_passwordless() {
	srv, err := eventhubstest.New(&eventhubstest.Options{
		TLS: true, Identities: []eventhubstest.Identity{{Roles: []eventhubstest.Role{eventhubstest.EventHubsDataSender}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	ctx := context.Background()
	cfg := srv.PasswordlessConfig("hub") // in Azure: eventhubs.Config{Namespace: "contoso.servicebus.windows.net", EventHub: "hub"}
	producer, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	if err := producer.Send(ctx, eventhubs.Event{Body: []byte("no password")}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored:", len(srv.AllEvents("hub")))

	consumer, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close(ctx)
	err = consumer.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error { return nil })
	advice, _, _ := strings.Cut(fmt.Sprint(err), " (")
	fmt.Println(advice)
	// Output:
	// stored: 1
	// eventhubs: receive hub/$Default: not authorized: give this identity the role "Azure Event Hubs Data Receiver"
}
