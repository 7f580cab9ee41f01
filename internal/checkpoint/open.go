package checkpoint

import (
	"context"
	"fmt"

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
		return nil
	case !bloberror.HasCode(err, bloberror.ContainerNotFound):
		return explain(err, s.opts.Auth)
	}
	_, err = s.container.Create(ctx, nil)
	switch {
	case err == nil, bloberror.HasCode(err, bloberror.ContainerAlreadyExists):
		return nil
	case forbidden(err):
		return fmt.Errorf("it does not exist, and creating it failed: %w", explain(err, s.opts.Auth))
	}
	return explain(err, s.opts.Auth)
}
