package checkpoint

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// BlobStore is a store in one container. It is safe for concurrent use and starts nothing that outlives a call.
type BlobStore struct {
	container *container.Client
	sdk       *checkpoints.BlobStore
	opts      BlobOptions

	mu    sync.Mutex
	known map[string]stored // checkpoint blob → what it held when last seen
}

// BlobOptions say how a BlobStore names its blobs and speaks of them.
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
func NewBlobStore(client *container.Client, opts BlobOptions) (*BlobStore, error) {
	sdk, err := checkpoints.NewBlobStore(client, nil)
	if err != nil {
		return nil, err
	}
	return &BlobStore{container: client, sdk: sdk, opts: opts, known: map[string]stored{}}, nil
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
	return fmt.Errorf("eventhubs: %s %s in container %q: %w", what, on, s.opts.Name, explain(err, s.opts.Auth))
}

// list calls visit for each blob that is named prefix and a partition. Deeper names belong to somebody else.
func (s *BlobStore) list(ctx context.Context, prefix string, visit func(partition string, item *container.BlobItem)) error {
	pager := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
		Prefix:  &prefix,
		Include: container.ListBlobsInclude{Metadata: true},
	})
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return err
		}
		if page.Segment == nil {
			continue
		}
		for _, item := range page.Segment.BlobItems {
			if item.Name == nil || item.Properties == nil {
				continue
			}
			partition, ok := strings.CutPrefix(*item.Name, prefix)
			if !ok || partition == "" || strings.Contains(partition, "/") {
				continue
			}
			visit(partition, item)
		}
	}
	return nil
}

// ListOwnership lists who owns what. A blob without a readable owner counts as given up, and is logged: the next claim repairs
// it. (The SDK's own store fails the whole listing for it, which ends Processor.Run.)
func (s *BlobStore) ListOwnership(ctx context.Context, g Group) ([]azeventhubs.Ownership, error) {
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("eventhubs: list ownership: %w", err)
	}
	var out []azeventhubs.Ownership
	prefix := s.fold(g).OwnershipPrefix()
	err := s.list(ctx, prefix, func(partition string, item *container.BlobItem) {
		// azblob leaves out metadata without values (azure-sdk-for-go #21887), so none at all is a partition that was
		// given up; some other metadata is not.
		if len(item.Metadata) > 0 && !has(item.Metadata, keyOwner) {
			s.log().WarnContext(ctx, "eventhubs: ownership blob has no owner in its metadata: taken as given up",
				"container", s.opts.Name, "blob", *item.Name, "partition", partition)
		}
		o := azeventhubs.Ownership{
			FullyQualifiedNamespace: g.Namespace, EventHubName: g.EventHub, ConsumerGroup: g.Name, PartitionID: partition,
			OwnerID: value(item.Metadata, keyOwner),
			ETag:    item.Properties.ETag,
		}
		if item.Properties.LastModified != nil {
			o.LastModifiedTime = *item.Properties.LastModified
		}
		out = append(out, o)
	})
	if err != nil {
		return nil, s.fail("list ownership blobs", prefix, err)
	}
	return out, nil
}

// ListCheckpoints lists how far each partition was processed, the furthest of the spellings in which it is stored. A partition
// whose only blob is unreadable is listed at Earliest.
func (s *BlobStore) ListCheckpoints(ctx context.Context, g Group) ([]azeventhubs.Checkpoint, error) {
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("eventhubs: list checkpoints: %w", err)
	}
	own, other := s.fold(g), g.Lower()
	if own == other {
		other = g
	}
	found := &listing{at: map[string]int{}}
	seen := map[string]stored{}
	if err := s.listPositions(ctx, own, found, seen); err != nil {
		return nil, err
	}
	s.learn(own.CheckpointPrefix(), seen)
	if other != own {
		if err := s.listPositions(ctx, other, found, nil); err != nil {
			return nil, err
		}
	}
	for i := range found.checkpoints {
		c := &found.checkpoints[i]
		c.FullyQualifiedNamespace, c.EventHubName, c.ConsumerGroup = g.Namespace, g.EventHub, g.Name
		if CheckPosition(*c) != nil {
			c.Offset = ptr(Earliest)
		}
	}
	return found.checkpoints, nil
}

// listPositions adds what is stored under one spelling of the group, and notes the blobs in seen unless that is nil.
func (s *BlobStore) listPositions(ctx context.Context, g Group, found *listing, seen map[string]stored) error {
	prefix := g.CheckpointPrefix()
	err := s.list(ctx, prefix, func(partition string, item *container.BlobItem) {
		c := azeventhubs.Checkpoint{PartitionID: partition}
		if err := position(item.Metadata, &c); err != nil {
			s.log().ErrorContext(ctx, "eventhubs: checkpoint blob is unreadable: without another checkpoint the partition starts from its earliest event",
				"container", s.opts.Name, "blob", *item.Name, "partition", partition, "error", err)
			c.Offset, c.SequenceNumber = nil, nil
		}
		if seen != nil && item.Properties.ETag != nil {
			seen[*item.Name] = stored{etag: *item.Properties.ETag, checkpoint: Clone(c)}
		}
		found.add(c)
	})
	if err != nil {
		return s.fail("list checkpoint blobs", prefix, err)
	}
	return nil
}

// listing holds one checkpoint a partition, in the order in which the partitions first came.
type listing struct {
	checkpoints []azeventhubs.Checkpoint
	at          map[string]int
}

// add keeps the further of two checkpoints, and the first if that can't be told. One without a position gives way.
func (l *listing) add(c azeventhubs.Checkpoint) {
	i, ok := l.at[c.PartitionID]
	if !ok {
		l.at[c.PartitionID] = len(l.checkpoints)
		l.checkpoints = append(l.checkpoints, c)
		return
	}
	order, decided := Compare(l.checkpoints[i], c)
	if CheckPosition(l.checkpoints[i]) != nil || decided && order < 0 {
		l.checkpoints[i] = c
	}
}
