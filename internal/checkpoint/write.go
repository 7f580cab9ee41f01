package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// written is what the service says of a blob that it has stored.
type written struct {
	etag     *azcore.ETag
	modified time.Time // by this machine's clock
}

// write replaces the metadata of the blob that has this ETag, or creates the blob if there is no ETag. It fails if
// there is another blob, or none; see changedMeanwhile.
func (s *BlobStore) write(
	ctx context.Context, name string, metadata map[string]*string, was *azcore.ETag,
) (written, error) {
	if was == nil {
		return s.upload(ctx, name, metadata, &blob.ModifiedAccessConditions{IfNoneMatch: ptr(azcore.ETagAny)})
	}
	resp, err := s.container.NewBlobClient(name).SetMetadata(ctx, metadata, &blob.SetMetadataOptions{
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: was}},
	})
	if err != nil {
		return written{}, err
	}
	return answered(resp.ETag, resp.LastModified, resp.Date)
}

// upload stores an empty blob with metadata.
func (s *BlobStore) upload(
	ctx context.Context, name string, metadata map[string]*string, when *blob.ModifiedAccessConditions,
) (written, error) {
	nothing := streaming.NopCloser(bytes.NewReader(nil))
	resp, err := s.container.NewBlockBlobClient(name).Upload(ctx, nothing, &blockblob.UploadOptions{
		Metadata:         metadata,
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: when},
	})
	if err != nil {
		return written{}, err
	}
	return answered(resp.ETag, resp.LastModified, resp.Date)
}

func answered(etag *azcore.ETag, modified, date *time.Time) (written, error) {
	if etag == nil {
		return written{}, errors.New("the answer has no ETag")
	}
	return written{etag, localTime(modified, date)}, nil
}
