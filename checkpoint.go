package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// CheckpointStore is where consumers agree on who reads which partition, and remember how far each was processed. It is the
// SDK's interface: every store for the SDK fits. To keep this package's guarantees a store must also refuse to move a
// checkpoint backwards; package eventhubstest/storetest checks that of any store.
type CheckpointStore = azeventhubs.CheckpointStore

// BlobConfig says which blob container holds the checkpoints, and how to sign in. Give AccountURL or ConnectionString.
// It never prints its secrets.
type BlobConfig struct {
	// AccountURL is the storage account's blob endpoint, such as https://contoso.blob.core.windows.net. It may end in a SAS, which
	// then takes the place of Credential. For an emulator the account is part of the path: http://127.0.0.1:10000/devstoreaccount1.
	AccountURL string

	// Container is the container's name. It is created if it does not exist. Microsoft advises a container for each consumer
	// group, without soft delete and versioning.
	Container string

	// Credential signs in to the account. nil means DefaultAzureCredential, one for the whole process. The identity needs the
	// role "Storage Blob Data Contributor".
	Credential azcore.TokenCredential

	// ConnectionString stands in place of AccountURL and Credential.
	ConnectionString string

	// KeepCase names the blobs after namespace, event hub and consumer group in the case in which they are given, as the Go SDK
	// does. Otherwise the names are in lower case, as with the Python, .NET, JavaScript and Java SDKs, so that consumers in those
	// languages share checkpoints and partitions with this one. Checkpoints are found in either spelling; ownership is not: set
	// it while consumers that were built on the bare Go SDK are still running in the same group.
	KeepCase bool

	// Logger gets what the store has to say: damaged blobs, and checkpoints that it refused. nil means slog.Default().
	Logger *slog.Logger

	// ClientOptions are handed to azblob. If Retry.TryTimeout is zero it becomes 20 seconds: azcore sets no limit at all, and a
	// connection that has gone silent would keep the consumer from renewing its partitions. A negative value means no limit.
	ClientOptions azcore.ClientOptions
}

// String is the configuration without its secrets.
func (c BlobConfig) String() string {
	how := "DefaultAzureCredential"
	switch {
	case c.ConnectionString != "":
		how = "connection string"
	case c.Credential != nil:
		how = fmt.Sprintf("%T", c.Credential)
	case strings.Contains(c.AccountURL, "?"):
		how = "SAS"
	}
	where := withoutSecrets(c.AccountURL)
	if where == "" {
		where = "storage account"
	}
	return fmt.Sprintf("container %q at %s (%s, KeepCase %t)", withoutSecrets(c.Container), where, how, c.KeepCase)
}

// Format is String, whatever the verb: see [Config.Format].
func (c BlobConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String, for encoding/json and the like.
func (c BlobConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// GoString is String.
func (c BlobConfig) GoString() string { return c.String() }

// LogValue is String, for log/slog.
func (c BlobConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// BlobConfigFromEnv reads BLOB_CONTAINER_NAME and either BLOB_STORAGE_ACCOUNT_URL or BLOB_STORAGE_CONNECTION_STRING, the names
// that Microsoft's quickstart for Python uses. The error names every variable that is missing or contradicts another one.
func BlobConfigFromEnv() (BlobConfig, error) {
	const account, name, connection = "BLOB_STORAGE_ACCOUNT_URL", "BLOB_CONTAINER_NAME", "BLOB_STORAGE_CONNECTION_STRING"
	get := func(key string) string { return strings.TrimSpace(os.Getenv(key)) }
	c := BlobConfig{AccountURL: get(account), Container: get(name), ConnectionString: get(connection)}
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
		return BlobConfig{}, fmt.Errorf("eventhubs: environment: %s", strings.Join(wrong, "; "))
	}
	return c, nil
}

// BlobCheckpointStore keeps checkpoints and ownership in Azure Blob Storage, in the format that all of Microsoft's SDKs share.
// It is safe for concurrent use, and there is nothing to close. Its errors name the blob or container, say what to do, and wrap
// azcore's. What it does beyond the SDK's own store (azeventhubs/v2, checkpoints/blob_store.go) is said at its methods.
type BlobCheckpointStore struct {
	store *checkpoint.BlobStore
}

// NewBlobCheckpointStore checks the configuration, makes a store, and makes sure that the container is there: it asks the
// account, and creates the container if it does not exist. Only for that the right to create containers is needed.
// A mistake in the configuration is found before anything is sent.
func NewBlobCheckpointStore(ctx context.Context, cfg BlobConfig) (*BlobCheckpointStore, error) {
	cfg.AccountURL, cfg.ConnectionString = strings.TrimSpace(cfg.AccountURL), strings.TrimSpace(cfg.ConnectionString)
	client, auth, err := cfg.client()
	if err != nil {
		return nil, fmt.Errorf("eventhubs: %w", err)
	}
	store, err := checkpoint.NewBlobStore(client, checkpoint.BlobOptions{
		Name: cfg.Container, Auth: auth, KeepCase: cfg.KeepCase, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("eventhubs: checkpoint store: %w", err)
	}
	if err := store.Open(ctx); err != nil {
		account := strings.TrimSuffix(withoutSecrets(client.URL()), "/"+cfg.Container)
		return nil, fmt.Errorf("eventhubs: open checkpoint container %q at %s: %w", cfg.Container, account, err)
	}
	return &BlobCheckpointStore{store: store}, nil
}

// Format describes the store without the secrets that its client holds, whatever the verb.
func (s *BlobCheckpointStore) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.BlobCheckpointStore(%s)", withoutSecrets(s.Client().URL()))
}

// Client is the container client that the store uses.
func (s *BlobCheckpointStore) Client() *container.Client { return s.store.Container() }

// ClaimOwnership claims partitions, up to 32 at a time, and returns those that it got, in the order asked for. Left out, without
// an error, is a partition whose ETag is stale, that has no ETag although somebody has claimed it before, or whose blob was
// deleted.
//
// With any other failure it returns an error and the partitions that it did get: their blobs are written, so a caller that
// retries should ask for the others only (their old ETags no longer match). The SDK's processor takes the error, forgets the
// rest, and ends its Run (azeventhubs/v2, processor.go, dispatch). After 32 failures the remaining partitions aren't tried.
func (s *BlobCheckpointStore) ClaimOwnership(ctx context.Context, ownerships []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	return s.store.ClaimOwnership(ctx, ownerships)
}

// ListOwnership lists the partitions that were ever claimed. Those that were given up have no OwnerID; a blob that names no
// owner is listed like that, and logged.
func (s *BlobCheckpointStore) ListOwnership(ctx context.Context, namespace, eventHub, group string, _ *azeventhubs.ListOwnershipOptions) ([]azeventhubs.Ownership, error) {
	return s.store.ListOwnership(ctx, checkpoint.Group{Namespace: namespace, EventHub: eventHub, Name: group})
}

// ListCheckpoints lists the partitions that have a checkpoint, whether in lower case or in the case that is asked for; of two, the
// one with the higher sequence number. A partition whose blob is unreadable is logged as an error, and listed with the offset
// "-1": the SDK then starts at the earliest event, whatever the start position for partitions without a checkpoint is.
func (s *BlobCheckpointStore) ListCheckpoints(ctx context.Context, namespace, eventHub, group string, _ *azeventhubs.ListCheckpointsOptions) ([]azeventhubs.Checkpoint, error) {
	return s.store.ListCheckpoints(ctx, checkpoint.Group{Namespace: namespace, EventHub: eventHub, Name: group})
}

// SetCheckpoint stores a checkpoint, unless the stored one has the same or a higher sequence number: then it returns nil, and logs
// a warning if it was higher. Checkpoints without sequence numbers are compared by offset if both are numbers; if nothing can
// be compared, or the blob is unreadable, it is overwritten. Once ctx has ended, no write goes out.
func (s *BlobCheckpointStore) SetCheckpoint(ctx context.Context, c azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions) error {
	return s.store.SetCheckpoint(ctx, c)
}

// client checks the configuration and makes the container client that it describes.
func (c BlobConfig) client() (*container.Client, checkpoint.Auth, error) {
	if err := c.check(); err != nil {
		return nil, 0, err
	}
	opts := &container.ClientOptions{ClientOptions: c.ClientOptions}
	if opts.Retry.TryTimeout == 0 {
		opts.Retry.TryTimeout = 20 * time.Second
	}
	if c.ConnectionString != "" {
		auth := checkpoint.AuthKey
		if !strings.Contains(c.ConnectionString, "AccountKey=") {
			auth = checkpoint.AuthSAS
		}
		client, err := container.NewClientFromConnectionString(c.ConnectionString, c.Container, opts)
		if err != nil {
			return nil, 0, fmt.Errorf("blob config: ConnectionString: %w", err)
		}
		return client, auth, nil
	}
	account, sas, err := c.account()
	if err != nil {
		return nil, 0, err
	}
	if sas != "" {
		client, err := container.NewClientWithNoCredential(account+"/"+c.Container+"?"+sas, opts)
		return client, checkpoint.AuthSAS, err
	}
	cred := c.Credential
	if cred == nil {
		if cred, err = defaultCredential(); err != nil {
			return nil, 0, withoutPrefix(err)
		}
	}
	client, err := container.NewClient(account+"/"+c.Container, signin.Credential(cred), opts)
	return client, checkpoint.AuthToken, err
}

// containerName is the service's rule, without the special containers ($root, $web, $logs), which can't hold what we store.
var containerName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)

// check finds settings that are missing or exclude each other.
func (c BlobConfig) check() error {
	switch {
	case c.AccountURL == "" && c.ConnectionString == "":
		return errors.New("blob config: neither AccountURL nor ConnectionString is set: set one")
	case c.AccountURL != "" && c.ConnectionString != "":
		return errors.New("blob config: AccountURL and ConnectionString are both set: set one")
	case c.Credential != nil && c.ConnectionString != "":
		return errors.New("blob config: Credential and ConnectionString are both set: Credential goes with AccountURL")
	case c.Container == "":
		return errors.New("blob config: Container is empty: name the container that holds the checkpoints")
	case !containerName.MatchString(c.Container) || len(c.Container) < 3 || len(c.Container) > 63:
		return fmt.Errorf("blob config: Container %q is not a container's name: 3 to 63 lower-case letters, digits and single hyphens between them", withoutSecrets(c.Container))
	case strings.Contains(c.AccountURL, "AccountName=") || strings.Contains(c.AccountURL, "AccountKey="):
		return errors.New("blob config: AccountURL is a connection string: it belongs in ConnectionString")
	case strings.Contains(c.ConnectionString, "Endpoint=sb://"):
		return errors.New("blob config: ConnectionString is one of Event Hubs: take the storage account's")
	case strings.Contains(c.ConnectionString, "UseDevelopmentStorage="):
		return errors.New("blob config: ConnectionString: azblob does not know UseDevelopmentStorage: write out the emulator's AccountName, AccountKey and BlobEndpoint")
	}
	return nil
}

// account takes AccountURL apart: the endpoint without a slash at its end, and the SAS.
func (c BlobConfig) account() (endpoint, sas string, err error) {
	shown := withoutSecrets(c.AccountURL)
	if !strings.Contains(c.AccountURL, "://") {
		return "", "", fmt.Errorf("blob config: AccountURL %q has no scheme: write https://%s", shown, shown)
	}
	u, err := url.Parse(c.AccountURL)
	if err != nil {
		// The parser's own error would print the whole of it.
		return "", "", fmt.Errorf("blob config: AccountURL %q is not a URL", shown)
	}
	path := strings.Trim(u.Path, "/")
	inPath := strings.Count(path, "/") + 1
	if path == "" {
		inPath = 0
	}
	if inPath > 0 && !strings.Contains(u.Host, ".blob.") {
		inPath-- // an emulator's account
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "", "", fmt.Errorf("blob config: AccountURL %q: the scheme is %q: it must be https", shown, u.Scheme)
	case u.Host == "":
		return "", "", fmt.Errorf("blob config: AccountURL %q has no host", shown)
	case u.User != nil:
		return "", "", fmt.Errorf("blob config: AccountURL %q has a user or password in it: use a SAS, Credential or ConnectionString", shown)
	case inPath > 0:
		return "", "", fmt.Errorf("blob config: AccountURL %q has a container in it: name it in Container", shown)
	case u.RawQuery != "" && !u.Query().Has("sig"):
		return "", "", fmt.Errorf("blob config: AccountURL %q has a query that is not a SAS", shown)
	case u.RawQuery != "" && c.Credential != nil:
		return "", "", fmt.Errorf("blob config: AccountURL %q has a SAS, and Credential is set too: use one", shown)
	case u.RawQuery == "" && u.Scheme == "http" && !c.ClientOptions.InsecureAllowCredentialWithHTTP:
		return "", "", fmt.Errorf("blob config: AccountURL %q is plain http, over which azcore sends no token: use https, or a connection string", shown)
	}
	return strings.TrimSuffix(u.Scheme+"://"+u.Host+u.EscapedPath(), "/"), u.RawQuery, nil
}

// withoutSecrets is an account's or container's URL as it may be shown: without its SAS, and nothing of it if there is a password
// in it. What follows is cut off if it is a connection string in the wrong place.
func withoutSecrets(address string) string {
	if strings.Contains(address, "@") {
		return "(not shown)"
	}
	if i := strings.IndexAny(address, "?#;="); i >= 0 {
		address = address[:i]
	}
	return address
}
