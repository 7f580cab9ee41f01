package checkpoint

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// callTimeout bounds each call of the store. azcore tries a request up to four times, for 20 seconds each (see
// tryTimeout), with pauses of 0.8, 2.4 and 5.6 seconds give or take 30 %, or of up to a minute if the service asks
// for that: 91 seconds at most, or 260. A claim would be long lost then, so the store fails earlier, and its
// caller retries. The end of the caller's ctx ends a call at once, wherever it is: in a request, in azcore's
// pauses, in the wait for a token (tokens.await), or in the wait for the container to be created again
// (ensureContainer).
const callTimeout = time.Minute

// BlobStore is a store in one container. It is safe for concurrent use and starts nothing that outlives a call.
type BlobStore struct {
	container *container.Client
	opts      BlobOptions

	creating chan struct{} // is full while the container is created again
	created  atomic.Uint64 // how often that was done

	knownMu sync.Mutex
	known   map[string]stored // checkpoint blob → what it held when last seen
}

var _ handover.Store = (*BlobStore)(nil)

// BlobOptions say how a BlobStore names its blobs, and where it logs.
type BlobOptions struct {
	Name     string       // of the container, for errors
	Auth     Auth         // how calls are signed: decides what an error advises
	KeepCase bool         // names as given, as the Go SDK does, instead of lower case
	Logger   *slog.Logger // nil: slog.Default()
}

// stored is a checkpoint blob as it was last seen. A blob whose metadata is unreadable has an ETag, but no position.
type stored struct {
	etag       azcore.ETag
	checkpoint azeventhubs.Checkpoint // its position; the names are not set
}

// NewBlobStore makes a store over a container client. Nothing is sent: see Open.
func NewBlobStore(client *container.Client, opts BlobOptions) *BlobStore {
	return &BlobStore{
		container: client, opts: opts, creating: make(chan struct{}, 1), known: map[string]stored{},
	}
}

// Container is the client that the store was made with.
func (s *BlobStore) Container() *container.Client { return s.container }

func (s *BlobStore) log() *slog.Logger {
	if s.opts.Logger != nil {
		return s.opts.Logger
	}
	return slog.Default()
}

// fold is the group in the spelling that our own blobs have.
func (s *BlobStore) fold(g Group) Group {
	if s.opts.KeepCase {
		return g
	}
	return g.Lower()
}

// fail wraps err with what was attempted and on which blob, blobs or partition.
func (s *BlobStore) fail(what, on string, err error) error {
	return fmt.Errorf("%s %s in container %q: %w", what, on, s.opts.Name, explain(err, s.opts.Auth))
}
