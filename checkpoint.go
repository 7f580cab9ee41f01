package eventhubs

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// CheckpointStore is where consumers agree on who reads which partition, and record how far each partition has been
// processed. It is the SDK's interface: every store for the SDK fits. To keep this package's guarantees, a store must
// also refuse to move a checkpoint backwards; package eventhubstest/storetest checks that of any store. Its calls must
// return when their ctx ends, because Receive waits for them.
//
// Consumers of this package ask each other for partitions through the stores of this package. With any other store,
// including one that wraps a store of this package, a consumer takes a partition without asking, and the events after
// the last checkpoint are repeated. (The wrapper of package eventhubsotel keeps what the stores of this package can.)
type CheckpointStore = azeventhubs.CheckpointStore

// BlobConfig says which blob container holds the checkpoints and how to sign in. Set AccountURL or ConnectionString.
// White space and quotes around AccountURL, Container and ConnectionString are dropped. It never shows its secrets.
type BlobConfig struct {
	// AccountURL is the storage account's blob endpoint, such as https://contoso.blob.core.windows.net. It may end in a
	// SAS, which replaces Credential. For an emulator the account is part of the path:
	// http://127.0.0.1:10000/devstoreaccount1.
	AccountURL string
	// Container is the container's name. It is created if it does not exist, and again if it is deleted while in use.
	// Microsoft advises one container for each consumer group, without soft delete and versioning.
	Container string
	// Credential signs in to the account. Nil means a DefaultAzureCredential, which the whole process shares. The identity
	// needs the role "Storage Blob Data Contributor".
	Credential azcore.TokenCredential
	// ConnectionString replaces AccountURL and Credential.
	ConnectionString string
	// KeepCase names blobs after namespace, event hub and consumer group in the case that is given, as the Go SDK does.
	// Otherwise their names are in lower case, as in the Python, .NET, JavaScript and Java SDKs, so that consumers in
	// those languages share checkpoints and partitions with this one. Checkpoints are found in either case; ownership is
	// not. Set KeepCase while consumers that use the Go SDK directly are running in the same group.
	KeepCase bool
	// Logger gets what the store has to report: damaged blobs, and checkpoints that it refused. Nil means [slog.Default].
	Logger *slog.Logger
	// ClientOptions are passed to azblob. If Retry.TryTimeout is zero it becomes 20 seconds, because azcore has no limit
	// and a silent connection would keep the consumer from renewing its partitions. A negative value means no limit.
	// Whatever the options, a call of the store ends with its context, and after a minute at most.
	ClientOptions azcore.ClientOptions
}

// BlobConfigFromEnv reads BLOB_CONTAINER_NAME and either BLOB_STORAGE_ACCOUNT_URL or BLOB_STORAGE_CONNECTION_STRING,
// the names that Microsoft's quickstart for Python uses. The error names every variable that is missing or contradicts
// another.
func BlobConfigFromEnv() (BlobConfig, error) {
	c, err := checkpoint.FromEnv()
	if err != nil {
		return BlobConfig{}, fmt.Errorf("eventhubs: %w", err)
	}
	return BlobConfig(c), nil
}

// String describes the BlobConfig without its secrets.
func (c BlobConfig) String() string { return checkpoint.Config(c).String() }

// Format prints String, whatever the verb: see [Config.Format].
func (c BlobConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText returns String, for encoding/json and the like.
func (c BlobConfig) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue returns String, for log/slog.
func (c BlobConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// BlobCheckpointStore keeps checkpoints and ownership in Azure Blob Storage, in the format that all of Microsoft's SDKs
// share. It is safe for concurrent use, and there is nothing to close. Its errors name the blob or container, say what
// to do, and wrap azcore's. A call ends with its context, and after a minute at most. The methods say what they do
// beyond the SDK's own store (azeventhubs/v2, checkpoints/blob_store.go).
type BlobCheckpointStore struct {
	blobs  *checkpoint.BlobStore
	public checkpoint.Public // blobs, as users see it
}

// NewBlobCheckpointStore checks the configuration and makes a store. It asks the account for the container, and creates
// it if it does not exist; only then is the right to create containers needed. Mistakes in the configuration are found
// before anything is sent.
func NewBlobCheckpointStore(ctx context.Context, cfg BlobConfig) (*BlobCheckpointStore, error) {
	blobs, err := checkpoint.Open(ctx, checkpoint.Config(cfg))
	if err != nil {
		return nil, sdkerr.Public(err)
	}
	return &BlobCheckpointStore{blobs: blobs, public: checkpoint.Public{Store: blobs}}, nil
}

// Format describes the store without its secrets, whatever the verb.
func (s *BlobCheckpointStore) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.BlobCheckpointStore(%s)", checkpoint.WithoutSecrets(s.Client().URL()))
}

// Client returns the container client that the store uses.
func (s *BlobCheckpointStore) Client() *container.Client { return s.blobs.Container() }

// ClaimOwnership claims partitions, up to 32 at a time, and returns those that it got, in the order asked for. Without
// an error, it leaves out a partition whose ETag is stale, one without an ETag that has been claimed before, and one
// whose blob was deleted.
//
// After any other failure it returns an error and the partitions that it did get. Their blobs have been written, and
// their old ETags no longer match: a caller that retries should ask for the others only. After 32 failures it stops
// trying.
func (s *BlobCheckpointStore) ClaimOwnership(
	ctx context.Context, ownerships []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	return s.public.ClaimOwnership(ctx, ownerships, o)
}

// ListOwnership lists the partitions that were ever claimed. Those that were given up have no OwnerID. A blob that
// names no owner is listed in the same way, and logged. Dates are by this machine's clock, even if it differs from the
// service's.
func (s *BlobCheckpointStore) ListOwnership(
	ctx context.Context, namespace, eventHub, group string, o *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	return s.public.ListOwnership(ctx, namespace, eventHub, group, o)
}

// ListCheckpoints lists the partitions that have a checkpoint, in lower case or in the case that is asked for. Of two,
// it lists the one with the higher sequence number. A partition whose blob is unreadable is logged as an error, and
// listed with the offset "-1": reading then starts at the earliest event, whatever the start position is.
func (s *BlobCheckpointStore) ListCheckpoints(
	ctx context.Context, namespace, eventHub, group string, o *azeventhubs.ListCheckpointsOptions,
) ([]azeventhubs.Checkpoint, error) {
	return s.public.ListCheckpoints(ctx, namespace, eventHub, group, o)
}

// SetCheckpoint stores a checkpoint, unless the stored one has the same or a higher sequence number: then it returns
// nil, and logs a warning if it was higher. Checkpoints without sequence numbers are compared by offset if both offsets
// are numbers. If nothing can be compared, or the blob is unreadable, it is overwritten. Nothing is sent after ctx has
// ended.
func (s *BlobCheckpointStore) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions,
) error {
	return s.public.SetCheckpoint(ctx, c, o)
}

// NewMemoryCheckpointStore makes an empty store in memory, for tests and for programs that may forget. It behaves like
// a blob store: ETags, dates, released partitions, names in any case, and checkpoints that never move backwards.
// Consumers share partitions if they share one store. It is safe for concurrent use.
func NewMemoryCheckpointStore() CheckpointStore {
	return checkpoint.Public{Store: checkpoint.NewMemoryStore()}
}

// engineStore returns a store as the engine uses it: one of this package's with its hand-over requests.
func engineStore(s CheckpointStore) CheckpointStore {
	switch own := s.(type) {
	case *BlobCheckpointStore:
		return own.blobs
	case checkpoint.Public:
		return own.Store
	case checkpoint.Observer:
		return checkpoint.Observe(own, engineStore(own.Observed()))
	}
	return s
}
