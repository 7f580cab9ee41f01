package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Where a firewall lets nothing but port 443 out, AMQP goes over WebSockets, through the proxy that HTTPS_PROXY names if there is one. Nothing else changes.
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
