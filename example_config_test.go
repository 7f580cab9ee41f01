package eventhubs_test

import (
	"fmt"

	"github.com/go-eventhubs/eventhubs"
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

// Hub names another event hub of the same namespace, for dead letters, say.
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
