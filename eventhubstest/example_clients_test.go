package eventhubstest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A client of Microsoft's SDK reaches a server in memory in this way, and likewise a server with a socket.
func ExampleServer_NewWebSocketConn() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	client, err := azeventhubs.NewProducerClientFromConnectionString(srv.ConnectionString("hub"), "",
		&azeventhubs.ProducerClientOptions{NewWebSocketConn: srv.NewWebSocketConn})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	defer client.Close(ctx)
	properties, err := client.GetEventHubProperties(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(properties.PartitionIDs)
	// Output:
	// [0 1 2 3]
}

// A shared access signature takes the place of the key, and expires.
func ExampleServer_SASConnectionString() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Rules: []eventhubstest.Rule{
		{Name: "sender", Key: "secret", Rights: []eventhubstest.Right{eventhubstest.RightSend}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx := context.Background()
	for _, expires := range []time.Time{time.Now().Add(time.Hour), time.Now().Add(-time.Hour)} {
		cfg := srv.Config("hub")
		cfg.ConnectionString = srv.SASConnectionString("sender", "hub", expires)
		producer, err := eventhubs.NewProducer(cfg, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("sent:", producer.Send(ctx, eventhubs.Event{}) == nil)
		producer.Close(ctx)
	}
	// Output:
	// sent: true
	// sent: false
}

// Another process finds the server, and trusts its certificate, with these environment variables.
func ExampleServer_WriteTrust() {
	srv, err := eventhubstest.New(&eventhubstest.Options{TLS: true})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	folder, err := os.MkdirTemp("", "trust")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	trust, err := srv.WriteTrust(folder)
	if err != nil {
		log.Fatal(err)
	}
	for _, variable := range append(trust, srv.PasswordlessEnv("hub")...) { // for exec.Cmd's Env, after os.Environ()
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(value, folder) {
			value = filepath.Base(value)
		}
		if name == "NODE_EXTRA_CA_CERTS" || name == "EVENT_HUB_NAME" {
			fmt.Println(name, "is", value)
		}
	}
	// Output:
	// NODE_EXTRA_CA_CERTS is ca.pem
	// EVENT_HUB_NAME is hub
}
