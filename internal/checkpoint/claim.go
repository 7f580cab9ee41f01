package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

const (
	// claimsAtOnce bounds the claims that are under way: 1,024 partitions at 10 ms take 0.3 s. One after another, as the SDK's
	// own store writes them, they would outlast the 10 s after which the processor begins anew.
	claimsAtOnce = 32

	// claimFailures ends a call early. One broken blob must not keep the others from being renewed; a whole wave of failures
	// means that the storage is gone, and trying the rest would take minutes.
	claimFailures = claimsAtOnce
)

// ClaimOwnership claims partitions side by side and returns, in the order asked for, those that it got. A partition that
// somebody else changed in the meantime is left out, as is one whose blob was deleted: the next listing shows it as free.
//
// With any other failure it returns both: the partitions that it got, and an error that names the blobs that failed. The SDK's
// processor looks at the error alone, and ends (azeventhubs/v2, processor_load_balancer.go). A caller that retries needs the
// partitions: their ETags changed, so that claiming them again with the old ones would look like a loss.
func (s *BlobStore) ClaimOwnership(ctx context.Context, wanted []azeventhubs.Ownership) ([]azeventhubs.Ownership, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.claimEnded(wanted, err)
	}
	results := make([]*azeventhubs.Ownership, len(wanted))
	errs := make([]error, len(wanted))
	var next, failed atomic.Int64
	var workers sync.WaitGroup
	for range min(claimsAtOnce, len(wanted)) {
		workers.Go(func() {
			for failed.Load() < claimFailures && ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(wanted)) {
					return
				}
				if results[i], errs[i] = s.claim(ctx, wanted[i]); errs[i] != nil {
					failed.Add(1)
				}
			}
		})
	}
	workers.Wait()

	var claimed []azeventhubs.Ownership
	for _, o := range results {
		if o != nil {
			claimed = append(claimed, *o)
		}
	}
	untried := len(wanted) - int(min(next.Load(), int64(len(wanted))))
	if err := ctx.Err(); err != nil && (untried > 0 || failed.Load() > 0) {
		return claimed, s.claimEnded(wanted, err)
	}
	return claimed, joinSome(errs, untried)
}

// claimEnded is the error for a call whose ctx ended.
func (s *BlobStore) claimEnded(wanted []azeventhubs.Ownership, err error) error {
	return fmt.Errorf("eventhubs: claim ownership of %d partitions in container %q: %w", len(wanted), s.opts.Name, err)
}

// claim claims one partition through the SDK's own store, whose conditions on the ETag are right. nil without an error: it
// belongs to somebody else now.
func (s *BlobStore) claim(ctx context.Context, o azeventhubs.Ownership) (*azeventhubs.Ownership, error) {
	g := OwnershipGroup(o)
	if err := g.CheckPartition(o.PartitionID); err != nil {
		return nil, fmt.Errorf("eventhubs: claim ownership of partition %q of %s: %w", o.PartitionID, g, err)
	}
	folded, at := o, s.fold(g)
	folded.FullyQualifiedNamespace, folded.EventHubName, folded.ConsumerGroup = at.Namespace, at.EventHub, at.Name
	got, err := s.sdk.ClaimOwnership(ctx, []azeventhubs.Ownership{folded}, nil)
	switch {
	case bloberror.HasCode(err, bloberror.BlobNotFound):
		return nil, nil
	case err != nil:
		return nil, s.fail("claim ownership blob", at.OwnershipPrefix()+o.PartitionID, err)
	case len(got) == 0:
		return nil, nil
	}
	o.ETag, o.LastModifiedTime = got[0].ETag, got[0].LastModifiedTime
	return &o, nil
}

// joinSome joins the first few errors and counts the rest: a thousand lines about one outage help nobody.
func joinSome(errs []error, untried int) error {
	const shown = 3
	var some []error
	failed := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		if failed++; failed <= shown {
			some = append(some, err)
		}
	}
	if failed == 0 {
		return nil
	}
	if failed > shown || untried > 0 {
		some = append(some, fmt.Errorf("eventhubs: claim ownership: %d partitions failed in all, %d were not tried", failed, untried))
	}
	return errors.Join(some...)
}
