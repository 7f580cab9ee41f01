package eventhubs_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// There are two ways to sign in. A Config can be printed and logged: it shows no secrets.
func ExampleConfig() {
	passwordless := eventhubs.Config{Namespace: "contoso.servicebus.windows.net", EventHub: "orders"}
	fmt.Println(passwordless)

	withKey := eventhubs.Config{
		ConnectionString: "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0",
		EventHub:         "orders",
	}
	fmt.Printf("%+v\n", withKey)
	// Output:
	// contoso.servicebus.windows.net/orders (DefaultAzureCredential)
	// contoso.servicebus.windows.net/orders (connection string)
}

// Hub names another event hub in the same namespace, for example one for dead letters.
func ExampleConfig_Hub() {
	cfg := eventhubs.Config{
		ConnectionString: "Endpoint=sb://contoso.servicebus.windows.net/;" +
			"SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;EntityPath=orders",
	}
	fmt.Println(cfg)
	fmt.Println(cfg.Hub("dead-letters"))
	// Output:
	// contoso.servicebus.windows.net/orders (connection string)
	// contoso.servicebus.windows.net/dead-letters (connection string)
}

// The variables have the names of Microsoft's quickstart for Python. EVENT_HUB_CONNECTION_STRING can replace the
// namespace.
func ExampleConfigFromEnv() {
	os.Unsetenv("EVENT_HUB_CONNECTION_STRING")
	os.Setenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE", "contoso.servicebus.windows.net") // what starts a program sets these
	defer os.Unsetenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE")
	os.Setenv("EVENT_HUB_NAME", "orders")
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg)

	os.Unsetenv("EVENT_HUB_NAME")
	_, err = eventhubs.ConfigFromEnv()
	fmt.Println(err)
	// Output:
	// contoso.servicebus.windows.net/orders (DefaultAzureCredential)
	// eventhubs: environment: EVENT_HUB_NAME is not set
}

// If a firewall allows only port 443, use AMQP over WebSockets, through the proxy that HTTPS_PROXY names if there is
// one. Nothing else changes.
func ExampleConfig_webSockets() {
	fmt.Println(eventhubs.Config{Namespace: "contoso.servicebus.windows.net", EventHub: "orders", WebSockets: true})

	srv, err := eventhubstest.New(&eventhubstest.Options{TLS: true}) // takes both, on the same port
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx := context.Background()
	cfg := srv.Config("hub")
	cfg.WebSockets = true
	producer, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	if err := producer.Send(ctx, eventhubs.Event{Body: []byte("over port 443")}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored:", len(srv.AllEvents("hub")))
	// Output:
	// contoso.servicebus.windows.net/orders (DefaultAzureCredential) over WebSockets
	// stored: 1
}

// Without a Credential, DefaultAzureCredential signs in: with a managed identity, a workload identity, or az login.
// Here it is an identity of the local namespace, which may send but not receive.
func ExampleConfig_passwordless() {
	srv, err := eventhubstest.New(&eventhubstest.Options{
		TLS: true, Identities: []eventhubstest.Identity{{Roles: []eventhubstest.Role{eventhubstest.EventHubsDataSender}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	ctx := context.Background()
	// In Azure: eventhubs.Config{Namespace: "contoso.servicebus.windows.net", EventHub: "hub"}
	cfg := srv.PasswordlessConfig("hub")
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
