package eventhubstest_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The storage account fails until the fault is removed.
func ExampleServer_BlobFault() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	mend := srv.BlobFault(eventhubstest.BlobFault{
		Operation: "ListBlobs", Status: http.StatusServiceUnavailable, Code: "ServerBusy",
	})

	cfg := srv.BlobConfig("checkpoints")
	cfg.ClientOptions.Retry = policy.RetryOptions{MaxRetries: -1} // one try
	_, err = eventhubs.NewBlobCheckpointStore(context.Background(), cfg)
	fmt.Println("while it fails:", err != nil)
	mend()
	_, err = eventhubs.NewBlobCheckpointStore(context.Background(), cfg)
	fmt.Println("afterwards:", err)
	// Output:
	// while it fails: true
	// afterwards: <nil>
}
