package eventhubs_test

import (
	"fmt"
	"log"
	"os"

	"github.com/go-eventhubs/eventhubs"
)

// The variables have the names of Microsoft's quickstart for Python. EVENT_HUB_CONNECTION_STRING takes the place of the
// namespace.
func ExampleConfigFromEnv() {
	os.Unsetenv("EVENT_HUB_CONNECTION_STRING")
	os.Setenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE", "contoso.servicebus.windows.net") // as whoever starts the program does
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
