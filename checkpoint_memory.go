package eventhubs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
)

// MemoryCheckpointStore keeps checkpoints and ownership in memory: for unit tests, and for programs that may forget. It answers as
// a blob store does: ETags, dates, given-up partitions, names in any case, and checkpoints that never move backwards. Several
// consumers that are to share partitions must share one store. It is safe for concurrent use; values are copied in and out.
type MemoryCheckpointStore struct {
	mu          sync.Mutex
	version     uint64
	ownerships  map[string]azeventhubs.Ownership  // by what would be the blob's name
	checkpoints map[string]azeventhubs.Checkpoint // likewise
}

// NewMemoryCheckpointStore makes an empty store.
func NewMemoryCheckpointStore() *MemoryCheckpointStore {
	return &MemoryCheckpointStore{ownerships: map[string]azeventhubs.Ownership{}, checkpoints: map[string]azeventhubs.Checkpoint{}}
}

// ClaimOwnership claims partitions and returns those that it got, in the order asked for. Left out, without an error, is one whose
// ETag is stale, or that has none although somebody has claimed it before. An ownership without a name in it fails the call
// before anything is claimed.
func (s *MemoryCheckpointStore) ClaimOwnership(ctx context.Context, ownerships []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("eventhubs: claim ownership of %d partitions: %w", len(ownerships), err)
	}
	for _, o := range ownerships {
		g := checkpoint.OwnershipGroup(o)
		if err := g.CheckPartition(o.PartitionID); err != nil {
			return nil, fmt.Errorf("eventhubs: claim ownership of partition %q of %s: %w", o.PartitionID, g, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var claimed []azeventhubs.Ownership
	for _, o := range ownerships {
		name := checkpoint.OwnershipGroup(o).Lower().OwnershipPrefix() + o.PartitionID
		was, exists := s.ownerships[name]
		if exists != (o.ETag != nil) || exists && *was.ETag != *o.ETag {
			continue
		}
		s.version++
		o.LastModifiedTime = time.Now().UTC()
		o.ETag = etag(s.version)
		s.ownerships[name] = o
		o.ETag = etag(s.version)
		claimed = append(claimed, o)
	}
	return claimed, nil
}

// ListOwnership lists the partitions that were ever claimed, by partition. Those that were given up have no OwnerID.
func (s *MemoryCheckpointStore) ListOwnership(ctx context.Context, namespace, eventHub, group string, _ *azeventhubs.ListOwnershipOptions) ([]azeventhubs.Ownership, error) {
	g := checkpoint.Group{Namespace: namespace, EventHub: eventHub, Name: group}
	if err := listable(ctx, g); err != nil {
		return nil, fmt.Errorf("eventhubs: list ownership of %s: %w", g, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []azeventhubs.Ownership
	prefix := g.Lower().OwnershipPrefix()
	for name, o := range s.ownerships {
		if strings.HasPrefix(name, prefix) {
			o.FullyQualifiedNamespace, o.EventHubName, o.ConsumerGroup = namespace, eventHub, group
			e := *o.ETag
			o.ETag = &e
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b azeventhubs.Ownership) int { return strings.Compare(a.PartitionID, b.PartitionID) })
	return out, nil
}

// ListCheckpoints lists the partitions that have a checkpoint, by partition.
func (s *MemoryCheckpointStore) ListCheckpoints(ctx context.Context, namespace, eventHub, group string, _ *azeventhubs.ListCheckpointsOptions) ([]azeventhubs.Checkpoint, error) {
	g := checkpoint.Group{Namespace: namespace, EventHub: eventHub, Name: group}
	if err := listable(ctx, g); err != nil {
		return nil, fmt.Errorf("eventhubs: list checkpoints of %s: %w", g, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []azeventhubs.Checkpoint
	prefix := g.Lower().CheckpointPrefix()
	for name, c := range s.checkpoints {
		if strings.HasPrefix(name, prefix) {
			c.FullyQualifiedNamespace, c.EventHubName, c.ConsumerGroup = namespace, eventHub, group
			out = append(out, checkpoint.Clone(c))
		}
	}
	slices.SortFunc(out, func(a, b azeventhubs.Checkpoint) int { return strings.Compare(a.PartitionID, b.PartitionID) })
	return out, nil
}

// SetCheckpoint stores a checkpoint, unless the stored one is as far or further: then it does nothing and returns nil. It compares
// as BlobCheckpointStore does.
func (s *MemoryCheckpointStore) SetCheckpoint(ctx context.Context, c azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions) error {
	g := checkpoint.CheckpointGroup(c)
	err := ctx.Err()
	if err == nil {
		err = g.CheckPartition(c.PartitionID)
	}
	if err == nil {
		err = checkpoint.CheckPosition(c)
	}
	if err != nil {
		return fmt.Errorf("eventhubs: write checkpoint of partition %q of %s: %w", c.PartitionID, g, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := g.Lower().CheckpointPrefix() + c.PartitionID
	if order, decided := checkpoint.Compare(s.checkpoints[name], c); decided && order >= 0 {
		return nil
	}
	s.checkpoints[name] = checkpoint.Clone(c)
	return nil
}

func listable(ctx context.Context, g checkpoint.Group) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return g.Check()
}

// etag makes one that looks like the service's.
func etag(version uint64) *azcore.ETag {
	e := azcore.ETag(`"0x` + strconv.FormatUint(version, 16) + `"`)
	return &e
}
