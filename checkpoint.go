package eventhubs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/handover"
	"github.com/go-eventhubs/eventhubs/internal/signin"
)

// CheckpointStore is where consumers agree on who reads which partition, and remember how far each was processed.
// It is the SDK's interface: every store for the SDK fits. To keep this package's guarantees a store must also
// refuse to move a checkpoint backwards; package eventhubstest/storetest checks that of any store.
//
// A consumer asks another one of this package for a partition through the store, if it is one of this package's.
// With any other store, also one that wraps this package's, it takes the partition, and events after the last
// checkpoint are repeated.
type CheckpointStore = azeventhubs.CheckpointStore

// BlobConfig says which blob container holds the checkpoints, and how to sign in. Give AccountURL or
// ConnectionString. White space and quotes around these and Container are dropped. It never prints its secrets.
type BlobConfig struct {
	// AccountURL is the storage account's blob endpoint, such as https://contoso.blob.core.windows.net. It may end in a
	// SAS, which then takes the place of Credential. For an emulator the account is part of the path:
	// http://127.0.0.1:10000/devstoreaccount1.
	AccountURL string

	// Container is the container's name. It is created if it does not exist, and again if it is deleted while in use.
	// Microsoft advises a container for each consumer group, without soft delete and versioning.
	Container string

	// Credential signs in to the account. nil means DefaultAzureCredential, one for the whole process. The identity
	// needs the role "Storage Blob Data Contributor".
	Credential azcore.TokenCredential

	// ConnectionString stands in place of AccountURL and Credential.
	ConnectionString string

	// KeepCase names the blobs after namespace, event hub and consumer group in the case in which they are given,
	// as the Go SDK does. Otherwise the names are in lower case, as with the Python, .NET, JavaScript and Java
	// SDKs, so that consumers in those languages share checkpoints and partitions with this one. Checkpoints are
	// found in either spelling; ownership is not: set it while consumers that were built on the bare Go SDK are
	// still running in the same group.
	KeepCase bool

	// Logger gets what the store has to say: damaged blobs, and checkpoints that it refused. nil means slog.Default().
	Logger *slog.Logger

	// ClientOptions are handed to azblob. If Retry.TryTimeout is zero it becomes 20 seconds: azcore sets no limit
	// at all, and a connection that has gone silent would keep the consumer from renewing its partitions. A
	// negative value means no limit. Whatever the options, no call of the store takes longer than a minute, or than
	// its context.
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
	where := checkpoint.WithoutSecrets(c.AccountURL)
	if where == "" {
		where = "storage account"
	}
	name := checkpoint.WithoutSecrets(c.Container)
	return fmt.Sprintf("container %q at %s (%s, KeepCase %t)", name, where, how, c.KeepCase)
}

// Format is String, whatever the verb: see [Config.Format].
func (c BlobConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String, for encoding/json and the like.
func (c BlobConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue is String, for log/slog.
func (c BlobConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// BlobConfigFromEnv reads BLOB_CONTAINER_NAME and either BLOB_STORAGE_ACCOUNT_URL or
// BLOB_STORAGE_CONNECTION_STRING, the names that Microsoft's quickstart for Python uses. The error names every
// variable that is missing or contradicts another one.
func BlobConfigFromEnv() (BlobConfig, error) {
	const account, name, connection = "BLOB_STORAGE_ACCOUNT_URL", "BLOB_CONTAINER_NAME", "BLOB_STORAGE_CONNECTION_STRING"
	get := func(key string) string { return signin.Pasted(os.Getenv(key)) }
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

// BlobCheckpointStore keeps checkpoints and ownership in Azure Blob Storage, in the format that all of Microsoft's
// SDKs share. It is safe for concurrent use, and there is nothing to close. Its errors name the blob or container,
// say what to do, and wrap azcore's. A call ends with its context, and after a minute at most. What it does beyond
// the SDK's own store (azeventhubs/v2, checkpoints/blob_store.go) is said at its methods.
type BlobCheckpointStore struct {
	store *checkpoint.BlobStore
}

// NewBlobCheckpointStore checks the configuration, makes a store, and makes sure that the container is there: it
// asks the account, and creates the container if it does not exist. Only for that the right to create containers is
// needed. A mistake in the configuration is found before anything is sent.
func NewBlobCheckpointStore(ctx context.Context, cfg BlobConfig) (*BlobCheckpointStore, error) {
	store, err := checkpoint.OpenBlobStore(ctx, checkpoint.Account{
		URL: cfg.AccountURL, Container: cfg.Container, ConnectionString: cfg.ConnectionString,
		Credential: cfg.Credential, DefaultCredential: signin.Default, Client: cfg.ClientOptions,
	}, checkpoint.BlobOptions{KeepCase: cfg.KeepCase, Logger: cfg.Logger})
	if err != nil {
		return nil, public(err)
	}
	return &BlobCheckpointStore{store: store}, nil
}

// Format describes the store without the secrets that its client holds, whatever the verb.
func (s *BlobCheckpointStore) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.BlobCheckpointStore(%s)", checkpoint.WithoutSecrets(s.Client().URL()))
}

// Client is the container client that the store uses.
func (s *BlobCheckpointStore) Client() *container.Client { return s.store.Container() }

// ClaimOwnership claims partitions, up to 32 at a time, and returns those that it got, in the order asked for. Left
// out, without an error, is a partition whose ETag is stale, that has no ETag although somebody has claimed it
// before, or whose blob was deleted.
//
// With any other failure it returns an error and the partitions that it did get: their blobs are written, so a
// caller that retries should ask for the others only (their old ETags no longer match). After 32 failures the
// remaining partitions aren't tried.
func (s *BlobCheckpointStore) ClaimOwnership(
	ctx context.Context, ownerships []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	return publicStore{s.store}.ClaimOwnership(ctx, ownerships, o)
}

// ListOwnership lists the partitions that were ever claimed. Those that were given up have no OwnerID; a blob that
// names no owner is listed like that, and logged. Dates are by this machine's clock, if it differs from the
// service's.
func (s *BlobCheckpointStore) ListOwnership(
	ctx context.Context, namespace, eventHub, group string, o *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	return publicStore{s.store}.ListOwnership(ctx, namespace, eventHub, group, o)
}

// ListCheckpoints lists the partitions that have a checkpoint, whether in lower case or in the case that is asked
// for; of two, the one with the higher sequence number. A partition whose blob is unreadable is logged as an error,
// and listed with the offset "-1": reading then starts at the earliest event, whatever the start position for
// partitions without a checkpoint is.
func (s *BlobCheckpointStore) ListCheckpoints(
	ctx context.Context, namespace, eventHub, group string, o *azeventhubs.ListCheckpointsOptions,
) ([]azeventhubs.Checkpoint, error) {
	return publicStore{s.store}.ListCheckpoints(ctx, namespace, eventHub, group, o)
}

// SetCheckpoint stores a checkpoint, unless the stored one has the same or a higher sequence number: then it
// returns nil, and logs a warning if it was higher. Checkpoints without sequence numbers are compared by offset if
// both are numbers; if nothing can be compared, or the blob is unreadable, it is overwritten. Once ctx has ended,
// no write goes out.
func (s *BlobCheckpointStore) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions,
) error {
	return publicStore{s.store}.SetCheckpoint(ctx, c, o)
}

// NewMemoryCheckpointStore makes an empty store in memory: for unit tests, and for programs that may forget. It
// answers as a blob store does: ETags, dates, given-up partitions, names in any case, and checkpoints that never
// move backwards. Several consumers that are to share partitions must share one store. It is safe for concurrent
// use.
func NewMemoryCheckpointStore() CheckpointStore { return publicStore{checkpoint.NewMemoryStore()} }

// publicStore is one of this package's stores as users see it: without hand-over requests, and with errors that
// begin with the package's name.
type publicStore struct{ store handover.Store }

func (p publicStore) ClaimOwnership(
	ctx context.Context, ownerships []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	claimed, err := p.store.ClaimOwnership(ctx, ownerships, o)
	return claimed, public(err)
}

func (p publicStore) ListOwnership(
	ctx context.Context, namespace, eventHub, group string, o *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	list, err := p.store.ListOwnership(ctx, namespace, eventHub, group, o)
	return list, public(err)
}

func (p publicStore) ListCheckpoints(
	ctx context.Context, namespace, eventHub, group string, o *azeventhubs.ListCheckpointsOptions,
) ([]azeventhubs.Checkpoint, error) {
	list, err := p.store.ListCheckpoints(ctx, namespace, eventHub, group, o)
	return list, public(err)
}

func (p publicStore) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions,
) error {
	return public(p.store.SetCheckpoint(ctx, c, o))
}

// engineStore is a store as the engine takes it: of this package's own stores all that they can do.
func engineStore(s CheckpointStore) CheckpointStore {
	switch own := s.(type) {
	case *BlobCheckpointStore:
		return own.store
	case publicStore:
		return own.store
	}
	return s
}
