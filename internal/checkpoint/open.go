package checkpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// Open makes sure that the container is there and may be read, and creates it if it is not there. It asks for a listing first: that
// is what the store will need, it works with every kind of right (a SAS for one container can't ask for the container's
// properties), and where the container exists nobody needs the right to create one.
func (s *BlobStore) Open(ctx context.Context) error {
	_, err := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{MaxResults: ptr(int32(1))}).NextPage(ctx)
	switch {
	case err == nil:
		s.warnOfSettings(ctx)
		return nil
	case !bloberror.HasCode(err, bloberror.ContainerNotFound):
		return explain(err, s.opts.Auth)
	}
	_, err = s.container.Create(ctx, nil)
	switch {
	case err == nil, bloberror.HasCode(err, bloberror.ContainerAlreadyExists):
		s.warnOfSettings(ctx)
		return nil
	case forbidden(err):
		return fmt.Errorf("it does not exist, and creating it failed: %w", explain(err, s.opts.Auth))
	}
	return explain(err, s.opts.Auth)
}

// settingsPatience bounds the calls that only look for advice to give.
const settingsPatience = 5 * time.Second

// warnOfSettings logs what Microsoft advises against for checkpoints, where the account lets it be seen: a hierarchical namespace, and soft delete once it
// has kept something. An account that doesn't tell is left in peace.
func (s *BlobStore) warnOfSettings(ctx context.Context) {
	ctx, cancel := context.WithTimeout(policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1}), settingsPatience)
	defer cancel()
	const advice = "use a storage account without it for checkpoints"
	account, err := s.container.GetAccountInfo(ctx, nil)
	if err == nil && account.IsHierarchicalNamespaceEnabled != nil && *account.IsHierarchicalNamespaceEnabled {
		s.log().WarnContext(ctx, "eventhubs: the storage account has a hierarchical namespace: "+advice, "container", s.opts.Name)
	}
	if s.keepsDeleted(ctx) {
		s.log().WarnContext(ctx, "eventhubs: the storage account keeps each checkpoint that is overwritten, for soft delete is on: it costs space and time: "+advice, "container", s.opts.Name)
	}
}

// keepsDeleted reports whether there are remains of blobs that were overwritten. They come before the blob itself in a listing.
func (s *BlobStore) keepsDeleted(ctx context.Context) bool {
	page, err := s.container.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
		Include: container.ListBlobsInclude{Deleted: true, Snapshots: true}, MaxResults: ptr(int32(10)),
	}).NextPage(ctx)
	if err != nil || page.Segment == nil {
		return false
	}
	for _, item := range page.Segment.BlobItems {
		if item.Deleted != nil && *item.Deleted && item.Snapshot != nil {
			return true
		}
	}
	return false
}
