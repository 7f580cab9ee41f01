package checkpoint

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// Config has the fields of the public BlobConfig, so that one converts to the other. They are described there.
type Config struct {
	AccountURL       string
	Container        string
	Credential       azcore.TokenCredential
	ConnectionString string
	KeepCase         bool
	Logger           *slog.Logger
	ClientOptions    azcore.ClientOptions
}

// Open makes the store that a Config describes. See OpenBlobStore.
func Open(ctx context.Context, c Config) (*BlobStore, error) {
	return OpenBlobStore(ctx, Account{
		URL: c.AccountURL, Container: c.Container, ConnectionString: c.ConnectionString,
		Credential: c.Credential, DefaultCredential: signin.Default, Client: c.ClientOptions,
	}, BlobOptions{KeepCase: c.KeepCase, Logger: c.Logger})
}

// String describes the Config without its secrets.
func (c Config) String() string {
	how := "DefaultAzureCredential"
	switch {
	case c.ConnectionString != "":
		how = "connection string"
	case c.Credential != nil:
		how = fmt.Sprintf("%T", c.Credential)
	case strings.Contains(c.AccountURL, "?"):
		how = "SAS"
	}
	where := WithoutSecrets(c.AccountURL)
	if where == "" {
		where = "storage account"
	}
	return fmt.Sprintf("container %q at %s (%s, KeepCase %t)", WithoutSecrets(c.Container), where, how, c.KeepCase)
}

// FromEnv reads a Config from the environment.
func FromEnv() (Config, error) {
	const account, name, connection = "BLOB_STORAGE_ACCOUNT_URL", "BLOB_CONTAINER_NAME", "BLOB_STORAGE_CONNECTION_STRING"
	get := func(key string) string { return signin.Pasted(os.Getenv(key)) }
	c := Config{AccountURL: get(account), Container: get(name), ConnectionString: get(connection)}
	var wrong []string
	if c.Container == "" {
		wrong = append(wrong, name+" is not set")
	}
	if c.AccountURL == "" && c.ConnectionString == "" {
		wrong = append(wrong, "neither "+account+" nor "+connection+" is set: set one")
	}
	if c.AccountURL != "" && c.ConnectionString != "" {
		wrong = append(wrong, account+" and "+connection+" are both set: unset one")
	}
	if len(wrong) > 0 {
		return Config{}, fmt.Errorf("environment: %s", strings.Join(wrong, "; "))
	}
	return c, nil
}
