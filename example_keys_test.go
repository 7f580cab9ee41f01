package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Events with the same key go to the same partition, and keep their order there. Which partition it is, the service chooses. Events without a key are
// spread over all partitions: nothing is said of their order.
func ExampleProducer_Send_keys() {
	srv, err := eventhubstest.New(nil) // 4 partitions
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	ctx := context.Background()
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close(ctx)
	for _, state := range []string{"starting", "running", "stopped"} {
		err := producer.Send(ctx,
			eventhubs.Event{Body: []byte(state), PartitionKey: "device-7"},
			eventhubs.Event{Body: []byte(state), PartitionKey: "device-8"})
		if err != nil {
			log.Fatal(err)
		}
	}

	states, partitions := map[string]string{}, map[string]map[string]bool{"device-7": {}, "device-8": {}}
	for _, e := range srv.AllEvents("hub") { // partition by partition, each in its order
		states[e.PartitionKey] += " " + string(e.Body)
		partitions[e.PartitionKey][e.PartitionID] = true
	}
	for _, device := range []string{"device-7", "device-8"} {
		fmt.Printf("%s:%s; partitions: %d\n", device, states[device], len(partitions[device]))
	}
	// Output:
	// device-7: starting running stopped; partitions: 1
	// device-8: starting running stopped; partitions: 1
}
