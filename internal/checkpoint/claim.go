package checkpoint

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

const (
	// claimsAtOnce bounds the claims that are under way: 1,024 partitions at 10 ms take 0.3 s. One after another, as the
	// SDK's own store writes them, they would outlast the interval after which claims are listed and renewed.
	claimsAtOnce = 32

	// claimFailures ends a call early. One broken blob must not keep the others from being renewed; a whole wave of
	// failures means that the storage is gone, and trying the rest would take minutes.
	claimFailures = claimsAtOnce
)

// ClaimOwnership claims partitions concurrently and returns, in the order asked for, those that it got. A partition
// that somebody else changed in the meantime is left out, as is one whose blob was deleted: the next listing shows
// it as free. If the whole container was deleted, a partition that the caller owned is still its own, unless
// somebody has claimed it since the container was created again.
//
// With any other failure it returns both: the partitions that it got, and an error that names the blobs that
// failed. A caller that retries needs the partitions: their ETags changed, so that claiming them again with the old
// ones would look like a loss. (The SDK's processor looks at the error alone, and ends.)
//
// A claim whose answer was lost may be stored all the same, also when azcore has tried it again: it then looks
// lost, and a listing shows that the partition is the caller's.
func (s *BlobStore) ClaimOwnership(
	ctx context.Context, wanted []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
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
	workers.Wait() // for no longer than the requests that are under way, which end with ctx

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
	return fmt.Errorf("claim ownership of %d partitions in container %q: %w", len(wanted), s.opts.Name, err)
}

// claim claims one partition. nil without an error: it belongs to somebody else now.
func (s *BlobStore) claim(ctx context.Context, o azeventhubs.Ownership) (*azeventhubs.Ownership, error) {
	g := OwnershipGroup(o)
	if err := g.CheckPartition(o.PartitionID); err != nil {
		return nil, fmt.Errorf("claim ownership of partition %q of %s: %w", o.PartitionID, g, err)
	}
	name := s.fold(g).OwnershipPrefix() + o.PartitionID
	// What the SDK writes (checkpoints/blob_store.go, newOwnershipBlobMetadata).
	metadata := map[string]*string{keyOwner: &o.OwnerID}
	var now written
	err := s.inContainer(ctx, func() (err error) {
		now, err = s.write(ctx, name, metadata, o.ETag)
		return err
	})
	// For a blob that isn't there the service says BlobNotFound, Azurite ConditionNotMet.
	if o.ETag != nil && changedMeanwhile(err) && s.isNewerThan(ctx, o.LastModifiedTime) {
		now, err = s.write(ctx, name, metadata, nil)
	}
	switch {
	case changedMeanwhile(err):
		return nil, nil
	case err != nil:
		return nil, s.fail("claim ownership blob", name, err)
	}
	o.ETag, o.LastModifiedTime = now.etag, now.modified
	return &o, nil
}

// changedMeanwhile reports whether a conditional write met a blob that somebody else had changed, created or deleted.
func changedMeanwhile(err error) bool {
	return bloberror.HasCode(err, bloberror.ConditionNotMet, bloberror.BlobAlreadyExists, bloberror.BlobNotFound)
}

// someErrors are the failures of one call, on one line.
type someErrors struct {
	errs []error
	more string
}

func (e *someErrors) Error() string {
	var texts []string
	for _, err := range e.errs {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ") + e.more
}

func (e *someErrors) Unwrap() []error { return e.errs }

// joinSome joins the first few errors and counts the rest: a thousand texts about one outage help nobody.
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
	switch {
	case failed == 0:
		return nil
	case failed > shown || untried > 0:
		return &someErrors{some, fmt.Sprintf("; %d partitions failed in all, %d were not tried", failed, untried)}
	case failed == 1:
		return some[0]
	}
	return &someErrors{errs: some}
}
