package eventhubs_test

import (
	"fmt"
	"log"
	"os"

	"github.com/go-eventhubs/eventhubs"
)

// The variables have the names of Microsoft's quickstart for Python. BLOB_STORAGE_CONNECTION_STRING takes the place of the account's URL.
func ExampleBlobConfigFromEnv() {
	os.Unsetenv("BLOB_STORAGE_CONNECTION_STRING")
	os.Setenv("BLOB_STORAGE_ACCOUNT_URL", "https://contoso.blob.core.windows.net") // as whoever starts the program does
	defer os.Unsetenv("BLOB_STORAGE_ACCOUNT_URL")
	os.Setenv("BLOB_CONTAINER_NAME", "checkpoints")
	cfg, err := eventhubs.BlobConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg)

	os.Unsetenv("BLOB_CONTAINER_NAME")
	_, err = eventhubs.BlobConfigFromEnv()
	fmt.Println(err)
	// Output:
	// container "checkpoints" at https://contoso.blob.core.windows.net (DefaultAzureCredential, KeepCase false)
	// eventhubs: environment: BLOB_CONTAINER_NAME is not set
}
