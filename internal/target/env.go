package target

import (
	"fmt"
	"os"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// Names of the environment variables, which are those of the Python quickstart.
const (
	envConnectionString = "EVENT_HUB_CONNECTION_STRING"
	envNamespace        = "EVENT_HUB_FULLY_QUALIFIED_NAMESPACE"
	envEventHub         = "EVENT_HUB_NAME"
)

// FromEnv reads a Config from the environment, and checks it.
func FromEnv() (Config, error) {
	get := func(name string) string { return signin.Pasted(os.Getenv(name)) }
	c := Config{ConnectionString: get(envConnectionString), Namespace: get(envNamespace), EventHub: get(envEventHub)}
	switch {
	case c.ConnectionString != "" && c.Namespace != "":
		return Config{}, fmt.Errorf("environment: %s and %s are both set: unset one of them",
			envConnectionString, envNamespace)
	case c.ConnectionString == "" && c.Namespace == "" && c.EventHub == "":
		return Config{}, fmt.Errorf("environment: set %s and %s, or %s", envNamespace, envEventHub, envConnectionString)
	case c.ConnectionString == "" && c.Namespace == "":
		return Config{}, fmt.Errorf("environment: %s is not set (nor is %s)", envNamespace, envConnectionString)
	case c.ConnectionString == "" && c.EventHub == "":
		return Config{}, fmt.Errorf("environment: %s is not set", envEventHub)
	}
	if _, err := Resolve(c); err != nil {
		variables := envNamespace + ", " + envEventHub
		if c.ConnectionString != "" {
			variables = envConnectionString + ", " + envEventHub
		}
		return Config{}, fmt.Errorf("environment: %s: %w", variables, err)
	}
	return c, nil
}
