package checkpoint

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// OpenBlobStore checks an account, makes a store in it, and opens that. The store's Name and Auth are the account's.
func OpenBlobStore(ctx context.Context, a Account, opts BlobOptions) (*BlobStore, error) {
	client, auth, err := a.client()
	if err != nil {
		return nil, err
	}
	opts.Name, opts.Auth = strings.TrimSpace(a.Container), auth
	s := NewBlobStore(client, opts)
	if err := s.Open(ctx); err != nil {
		account := strings.TrimSuffix(WithoutSecrets(client.URL()), "/"+opts.Name)
		return nil, fmt.Errorf("open checkpoint container %q at %s: %w", opts.Name, account, err)
	}
	return s, nil
}

// Open makes sure that the container is there and may be read, and creates it if it is not there. It asks for a
// listing first: that is what the store will need, it works with every kind of right (a SAS for one container can't
// ask for the container's properties), and where the container exists nobody needs the right to create one.
func (s *BlobStore) Open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	one := &container.ListBlobsFlatOptions{MaxResults: ptr(int32(1))}
	_, err := s.container.NewListBlobsFlatPager(one).NextPage(ctx)
	if bloberror.HasCode(err, bloberror.ContainerNotFound) {
		_, err = s.createContainer(ctx)
	}
	if err != nil {
		return explain(err, s.opts.Auth)
	}
	s.warnOfSettings(ctx)
	return nil
}

// inContainer calls do, and calls it once more if the container was not there and could be created again.
func (s *BlobStore) inContainer(ctx context.Context, do func() error) error {
	seen := s.created.Load()
	err := do()
	if !bloberror.HasCode(err, bloberror.ContainerNotFound) {
		return err
	}
	if err := s.ensureContainer(ctx, seen); err != nil {
		return err
	}
	return do()
}

// ensureContainer creates the container again, unless that was done since it was last seen to be done. Of many calls
// that miss it, one creates it, and the others wait for that or for the end of ctx.
func (s *BlobStore) ensureContainer(ctx context.Context, seen uint64) error {
	select {
	case s.creating <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.creating }()
	if s.created.Load() != seen {
		return nil
	}
	created, err := s.createContainer(ctx)
	if err != nil {
		return err
	}
	s.created.Add(1)
	s.learn("", nil) // nothing of what the store knows is there any more
	if created {
		s.log().WarnContext(ctx, "eventhubs: the checkpoint container had been deleted, and was created again: "+
			"a partition that stops before its next checkpoint has none", "container", s.opts.Name)
	}
	return nil
}

// createContainer creates the container. It is no error if somebody else was faster; then created is false.
func (s *BlobStore) createContainer(ctx context.Context) (created bool, err error) {
	_, err = s.container.Create(ctx, nil)
	switch {
	case bloberror.HasCode(err, bloberror.ContainerAlreadyExists):
		return false, nil
	case forbidden(err):
		why := explain(err, s.opts.Auth)
		return false, &reason{"the container does not exist, and creating it failed: " + why.Error(), err}
	}
	return err == nil, err
}

// isNewerThan reports whether the container was created after a time by this machine's clock: then what was stored at
// that time went with the container before it. It is false if the container doesn't tell.
func (s *BlobStore) isNewerThan(ctx context.Context, t time.Time) bool {
	if t.IsZero() {
		return false
	}
	p, err := s.container.GetProperties(ctx, nil)
	return err == nil && localTime(p.LastModified, p.Date).After(t)
}

// settingsTimeout bounds the calls that only look for advice to give.
const settingsTimeout = 5 * time.Second

// warnOfSettings logs what Microsoft advises against for checkpoints, where the account lets it be seen: a
// hierarchical namespace, and soft delete once it has kept something. An account that does not say is no
// error.
func (s *BlobStore) warnOfSettings(ctx context.Context) {
	ctx = policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
	ctx, cancel := context.WithTimeout(ctx, settingsTimeout)
	defer cancel()
	const advice = "use a storage account without it for checkpoints"
	account, err := s.container.GetAccountInfo(ctx, nil)
	if err == nil && account.IsHierarchicalNamespaceEnabled != nil && *account.IsHierarchicalNamespaceEnabled {
		s.log().WarnContext(ctx, "eventhubs: the storage account has a hierarchical namespace: "+advice,
			"container", s.opts.Name)
	}
	if s.keepsDeleted(ctx) {
		s.log().WarnContext(ctx, "eventhubs: the storage account keeps each checkpoint that is overwritten, "+
			"for soft delete is on: it costs space and time: "+advice, "container", s.opts.Name)
	}
}

// keepsDeleted reports whether there are remains of blobs that were overwritten. They come before the blob itself
// in a listing.
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
