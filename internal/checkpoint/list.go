package checkpoint

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// item is a blob in a listing.
type item struct {
	name     string
	modified time.Time // by this machine's clock
	metadata map[string]*string
	etag     *azcore.ETag
}

// list returns the blobs whose names begin with a prefix: one call for each 5,000 of them.
func (s *BlobStore) list(ctx context.Context, prefix string) (found []item, err error) {
	err = s.inContainer(ctx, func() error {
		found = nil
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
			for _, b := range page.Segment.BlobItems {
				if b.Name != nil && b.Properties != nil {
					modified := localTime(b.Properties.LastModified, page.Date)
					found = append(found, item{*b.Name, modified, b.Metadata, quoted(b.Properties.ETag)})
				}
			}
		}
		return nil
	})
	return found, err
}

// quoted is an ETag as the answers to writes have it. Listings leave the quotation marks out, so that an ETag of
// one could not be compared with that of the other. The service takes both.
func quoted(etag *azcore.ETag) *azcore.ETag {
	if etag == nil || strings.HasSuffix(string(*etag), `"`) {
		return etag
	}
	return ptr(`"` + *etag + `"`)
}

// below returns the partition of a blob that is named a prefix and a partition. Deeper names belong to somebody else.
func (i item) below(prefix string) (partition string, ok bool) {
	partition, ok = strings.CutPrefix(i.name, prefix)
	return partition, ok && partition != "" && !strings.Contains(partition, "/")
}

// ListOwnership lists who owns what. A blob without a readable owner counts as released, and is logged: the next
// claim repairs it. (The SDK's own store fails the whole listing for it.) Dates are by this machine's clock.
func (s *BlobStore) ListOwnership(
	ctx context.Context, namespace, eventHub, group string, _ *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	owned, _, err := s.listClaims(ctx, Group{namespace, eventHub, group}, Group.OwnershipPrefix)
	return owned, err
}

// ListClaims lists who owns what, and who asks whom for it. It makes the calls that ListOwnership does.
func (s *BlobStore) ListClaims(
	ctx context.Context, namespace, eventHub, group string,
) ([]azeventhubs.Ownership, []handover.Request, error) {
	return s.listClaims(ctx, Group{namespace, eventHub, group}, Group.claimsPrefix)
}

func (s *BlobStore) listClaims(
	ctx context.Context, g Group, prefixOf func(Group) string,
) (owned []azeventhubs.Ownership, asked []handover.Request, err error) {
	if err := g.Check(); err != nil {
		return nil, nil, fmt.Errorf("list ownership: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	at := s.fold(g)
	found, err := s.list(ctx, prefixOf(at))
	if err != nil {
		return nil, nil, s.fail("list ownership blobs", prefixOf(at), err)
	}
	for _, i := range found {
		if partition, ok := i.below(at.OwnershipPrefix()); ok {
			owned = append(owned, s.ownership(ctx, g, partition, i))
		} else if partition, ok := i.below(at.RequestPrefix()); ok {
			if r, ok := request(g, partition, i); ok {
				asked = append(asked, r)
			}
		}
	}
	return owned, asked, nil
}

func (s *BlobStore) ownership(ctx context.Context, g Group, partition string, i item) azeventhubs.Ownership {
	// azblob leaves out metadata without values (azure-sdk-for-go #21887), so a blob without any is a partition
	// that was released; one with other metadata is not.
	if len(i.metadata) > 0 && !has(i.metadata, keyOwner) {
		s.log().WarnContext(ctx, "eventhubs: ownership blob has no owner in its metadata: treated as released",
			"container", s.opts.Name, "blob", i.name, "partition", partition)
	}
	return azeventhubs.Ownership{
		FullyQualifiedNamespace: g.Namespace, EventHubName: g.EventHub, ConsumerGroup: g.Name, PartitionID: partition,
		OwnerID:          value(i.metadata, keyOwner),
		LastModifiedTime: i.modified,
		ETag:             i.etag,
	}
}

// ListCheckpoints lists how far each partition was processed, the furthest of the spellings in which it is stored.
// A partition whose only blob is unreadable is listed at Earliest. It makes one call, or two if the group has
// letters in upper case, for each 5,000 partitions.
func (s *BlobStore) ListCheckpoints(
	ctx context.Context, namespace, eventHub, group string, _ *azeventhubs.ListCheckpointsOptions,
) ([]azeventhubs.Checkpoint, error) {
	list, _, err := s.ListCheckpointTimes(ctx, namespace, eventHub, group)
	return list, err
}

// ListCheckpointTimes is ListCheckpoints, and says by partition when each was written, by this machine's clock.
func (s *BlobStore) ListCheckpointTimes(
	ctx context.Context, namespace, eventHub, group string,
) ([]azeventhubs.Checkpoint, map[string]time.Time, error) {
	g := Group{namespace, eventHub, group}
	if err := g.Check(); err != nil {
		return nil, nil, fmt.Errorf("list checkpoints: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	own, other := s.fold(g), g.Lower()
	if own == other {
		other = g
	}
	found := &listing{at: map[string]int{}, times: map[string]time.Time{}}
	seen := map[string]stored{}
	if err := s.listPositions(ctx, own, found, seen); err != nil {
		return nil, nil, err
	}
	s.learn(own.CheckpointPrefix(), seen)
	if other != own {
		if err := s.listPositions(ctx, other, found, nil); err != nil {
			return nil, nil, err
		}
	}
	for i := range found.checkpoints {
		c := &found.checkpoints[i]
		c.FullyQualifiedNamespace, c.EventHubName, c.ConsumerGroup = g.Namespace, g.EventHub, g.Name
		if CheckPosition(*c) != nil {
			c.Offset = ptr(Earliest)
		}
	}
	return found.checkpoints, found.times, nil
}

// listPositions adds what is stored under one spelling of the group, and notes the blobs in seen unless that is nil.
func (s *BlobStore) listPositions(ctx context.Context, g Group, found *listing, seen map[string]stored) error {
	prefix := g.CheckpointPrefix()
	items, err := s.list(ctx, prefix)
	if err != nil {
		return s.fail("list checkpoint blobs", prefix, err)
	}
	for _, i := range items {
		partition, ok := i.below(prefix)
		if !ok {
			continue
		}
		c := azeventhubs.Checkpoint{PartitionID: partition}
		if err := position(i.metadata, &c); err != nil {
			s.log().ErrorContext(ctx, "eventhubs: checkpoint blob is unreadable: without another checkpoint the "+
				"partition starts from its earliest event",
				"container", s.opts.Name, "blob", i.name, "partition", partition, "error", err)
			c.Offset, c.SequenceNumber = nil, nil
		}
		if seen != nil && i.etag != nil {
			seen[i.name] = stored{etag: *i.etag, checkpoint: Clone(c)}
		}
		found.add(c, i.modified)
	}
	return nil
}

// listing holds one checkpoint a partition, in the order in which the partitions first came.
type listing struct {
	checkpoints []azeventhubs.Checkpoint
	at          map[string]int
	times       map[string]time.Time // by partition
}

// add keeps the further of two checkpoints, and the first if that can't be told. One without a position loses.
func (l *listing) add(c azeventhubs.Checkpoint, written time.Time) {
	i, ok := l.at[c.PartitionID]
	if !ok {
		l.at[c.PartitionID] = len(l.checkpoints)
		l.checkpoints = append(l.checkpoints, c)
		l.times[c.PartitionID] = written
		return
	}
	order, decided := Compare(l.checkpoints[i], c)
	if CheckPosition(l.checkpoints[i]) != nil || decided && order < 0 {
		l.checkpoints[i] = c
		l.times[c.PartitionID] = written
	}
}
