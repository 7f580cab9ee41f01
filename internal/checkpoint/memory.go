package checkpoint

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// MemoryStore keeps checkpoints, ownership and hand-over requests in memory. It answers as a BlobStore does: ETags,
// dates, released partitions, names in any case, and checkpoints that never move backwards. It is safe for
// concurrent use; values are copied in and out. No call waits for anything; one whose ctx has ended does nothing.
type MemoryStore struct {
	recordsMu   sync.Mutex
	version     uint64                            // of the last record that was written
	ownerships  map[string]azeventhubs.Ownership  // by what would be the blob's name
	checkpoints map[string]azeventhubs.Checkpoint // likewise
	requests    map[string]handover.Request       // likewise
}

var _ handover.Store = (*MemoryStore)(nil)

// NewMemoryStore makes an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{
		ownerships:  map[string]azeventhubs.Ownership{},
		checkpoints: map[string]azeventhubs.Checkpoint{},
		requests:    map[string]handover.Request{},
	}
}

// ClaimOwnership claims partitions and returns those that it got, in the order asked for. Left out, without an
// error, is one whose ETag is stale, or that has none although somebody has claimed it before. An ownership without
// a name in it fails the call before anything is claimed.
func (s *MemoryStore) ClaimOwnership(
	ctx context.Context, wanted []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("claim ownership of %d partitions: %w", len(wanted), err)
	}
	for _, o := range wanted {
		g := OwnershipGroup(o)
		if err := g.CheckPartition(o.PartitionID); err != nil {
			return nil, fmt.Errorf("claim ownership of partition %q of %s: %w", o.PartitionID, g, err)
		}
	}
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	var claimed []azeventhubs.Ownership
	for _, o := range wanted {
		name := OwnershipGroup(o).Lower().OwnershipPrefix() + o.PartitionID
		was, exists := s.ownerships[name]
		if exists != (o.ETag != nil) || exists && *was.ETag != *o.ETag {
			continue
		}
		o.ETag, o.LastModifiedTime = s.stamp()
		s.ownerships[name] = o
		o.ETag = ptr(*o.ETag)
		claimed = append(claimed, o)
	}
	return claimed, nil
}

// stamp is the ETag, which looks like the service's, and the time of a record that is written now.
func (s *MemoryStore) stamp() (*azcore.ETag, time.Time) {
	s.version++
	return ptr(azcore.ETag(`"0x` + strconv.FormatUint(s.version, 16) + `"`)), time.Now().UTC()
}

// ListOwnership lists the partitions that were ever claimed, by partition. Those that were released have no OwnerID.
func (s *MemoryStore) ListOwnership(
	ctx context.Context, namespace, eventHub, group string, _ *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	owned, _, err := s.ListClaims(ctx, namespace, eventHub, group)
	return owned, err
}

// ListClaims lists what ListOwnership does, and the requests for the group's partitions.
func (s *MemoryStore) ListClaims(
	ctx context.Context, namespace, eventHub, group string,
) (owned []azeventhubs.Ownership, asked []handover.Request, err error) {
	g := Group{namespace, eventHub, group}
	if err := listable(ctx, g); err != nil {
		return nil, nil, fmt.Errorf("list ownership of %s: %w", g, err)
	}
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	for _, o := range below(s.ownerships, g.Lower().OwnershipPrefix()) {
		o.FullyQualifiedNamespace, o.EventHubName, o.ConsumerGroup = namespace, eventHub, group
		o.ETag = ptr(*o.ETag)
		owned = append(owned, o)
	}
	for _, r := range below(s.requests, g.Lower().RequestPrefix()) {
		r.FullyQualifiedNamespace, r.EventHubName, r.ConsumerGroup = namespace, eventHub, group
		r.ETag = ptr(*r.ETag)
		asked = append(asked, r)
	}
	return owned, asked, nil
}

// ListCheckpoints lists the partitions that have a checkpoint, by partition.
func (s *MemoryStore) ListCheckpoints(
	ctx context.Context, namespace, eventHub, group string, _ *azeventhubs.ListCheckpointsOptions,
) (out []azeventhubs.Checkpoint, err error) {
	g := Group{namespace, eventHub, group}
	if err := listable(ctx, g); err != nil {
		return nil, fmt.Errorf("list checkpoints of %s: %w", g, err)
	}
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	for _, c := range below(s.checkpoints, g.Lower().CheckpointPrefix()) {
		c.FullyQualifiedNamespace, c.EventHubName, c.ConsumerGroup = namespace, eventHub, group
		out = append(out, Clone(c))
	}
	return out, nil
}

// SetCheckpoint stores a checkpoint, unless the stored one is as far or further: then it does nothing and returns
// nil. It compares as BlobStore does.
func (s *MemoryStore) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions,
) error {
	g := CheckpointGroup(c)
	if err := cmp.Or(ctx.Err(), g.CheckPartition(c.PartitionID), CheckPosition(c)); err != nil {
		return fmt.Errorf("write checkpoint of partition %q of %s: %w", c.PartitionID, g, err)
	}
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	name := g.Lower().CheckpointPrefix() + c.PartitionID
	if order, decided := Compare(s.checkpoints[name], c); decided && order >= 0 {
		return nil
	}
	s.checkpoints[name] = Clone(c)
	return nil
}

// ReplaceCheckpoint stores a checkpoint whatever is stored.
func (s *MemoryStore) ReplaceCheckpoint(ctx context.Context, c azeventhubs.Checkpoint) error {
	g := CheckpointGroup(c)
	if err := cmp.Or(ctx.Err(), g.CheckPartition(c.PartitionID), CheckPosition(c)); err != nil {
		return fmt.Errorf("replace checkpoint of partition %q of %s: %w", c.PartitionID, g, err)
	}
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	s.checkpoints[g.Lower().CheckpointPrefix()+c.PartitionID] = Clone(c)
	return nil
}

// PutRequest stores a hand-over request, see handover.Store.
func (s *MemoryStore) PutRequest(ctx context.Context, r handover.Request) error {
	g := RequestGroup(r)
	if err := cmp.Or(ctx.Err(), g.CheckPartition(r.PartitionID), checkRequest(r)); err != nil {
		return fmt.Errorf("ask for partition %q of %s: %w", r.PartitionID, g, err)
	}
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	name := g.Lower().RequestPrefix() + r.PartitionID
	if s.isRequest(name, r.ETag) {
		r.Promised = r.Promised.Truncate(time.Millisecond)
		r.ETag, r.LastModifiedTime = s.stamp()
		s.requests[name] = r
	}
	return nil
}

// DeleteRequest deletes a hand-over request, see handover.Store.
func (s *MemoryStore) DeleteRequest(ctx context.Context, r handover.Request) error {
	g := RequestGroup(r)
	if err := cmp.Or(ctx.Err(), g.CheckPartition(r.PartitionID)); err != nil {
		return fmt.Errorf("withdraw the request for partition %q of %s: %w", r.PartitionID, g, err)
	}
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	name := g.Lower().RequestPrefix() + r.PartitionID
	if s.isRequest(name, r.ETag) {
		delete(s.requests, name)
	}
	return nil
}

// isRequest reports whether the request that is stored may be replaced by one that was made for this ETag.
func (s *MemoryStore) isRequest(name string, etag *azcore.ETag) bool {
	was, exists := s.requests[name]
	return etag == nil || exists && *was.ETag == *etag
}

func listable(ctx context.Context, g Group) error { return cmp.Or(ctx.Err(), g.Check()) }

// below returns the records whose names begin with a prefix, by name.
func below[R any](records map[string]R, prefix string) (out []R) {
	var names []string
	for name := range records {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		out = append(out, records[name])
	}
	return out
}
