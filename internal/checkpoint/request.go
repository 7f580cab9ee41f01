package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// Metadata keys of a hand-over request, beside keyOwner for who asks.
const (
	keyFrom     = "fromownerid"
	keyPromised = "promisedms"
)

// RequestGroup is the group that a request belongs to.
func RequestGroup(r handover.Request) Group {
	return Group{Namespace: r.FullyQualifiedNamespace, EventHub: r.EventHubName, Name: r.ConsumerGroup}
}

// PutRequest stores a hand-over request, see handover.Store. It makes one call.
func (s *BlobStore) PutRequest(ctx context.Context, r handover.Request) error {
	name, err := s.requestName(r)
	if err == nil {
		err = checkRequest(r)
	}
	if err != nil {
		return fmt.Errorf("ask for partition %q of %s: %w", r.PartitionID, RequestGroup(r), err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	metadata := map[string]*string{keyOwner: &r.OwnerID, keyFrom: &r.FromOwnerID}
	if r.Promised > 0 {
		metadata[keyPromised] = ptr(strconv.FormatInt(max(1, r.Promised.Milliseconds()), 10))
	}
	if err := s.putRequest(ctx, name, metadata, r); err != nil {
		return s.fail("write hand-over request blob", name, err)
	}
	return nil
}

func (s *BlobStore) putRequest(
	ctx context.Context, name string, metadata map[string]*string, r handover.Request,
) error {
	if r.ETag != nil {
		_, err := s.write(ctx, name, metadata, r.ETag)
		if changedMeanwhile(err) || bloberror.HasCode(err, bloberror.ContainerNotFound) {
			return nil
		}
		return err
	}
	return s.inContainer(ctx, func() error {
		_, err := s.upload(ctx, name, metadata, nil)
		return err
	})
}

// DeleteRequest deletes a hand-over request, see handover.Store. It makes one call. Where calls are signed with a
// SAS that doesn't allow blobs to be deleted, it overwrites the request with an empty one, which isn't listed.
func (s *BlobStore) DeleteRequest(ctx context.Context, r handover.Request) error {
	name, err := s.requestName(r)
	if err != nil {
		return fmt.Errorf("withdraw the request for partition %q of %s: %w", r.PartitionID, RequestGroup(r), err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	unchanged := &blob.ModifiedAccessConditions{IfMatch: r.ETag}
	_, err = s.container.NewBlobClient(name).Delete(ctx, &blob.DeleteOptions{
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: unchanged},
	})
	if forbidden(err) {
		err = s.putRequest(ctx, name, map[string]*string{keyOwner: ptr("")}, r)
	}
	if err == nil || changedMeanwhile(err) || bloberror.HasCode(err, bloberror.ContainerNotFound) {
		return nil
	}
	return s.fail("delete hand-over request blob", name, err)
}

func (s *BlobStore) requestName(r handover.Request) (string, error) {
	g := RequestGroup(r)
	if err := g.CheckPartition(r.PartitionID); err != nil {
		return "", err
	}
	return s.fold(g).RequestPrefix() + r.PartitionID, nil
}

// checkRequest refuses a request that nobody could act on.
func checkRequest(r handover.Request) error {
	switch {
	case r.OwnerID == "":
		return errors.New("the name of who asks is empty")
	case r.FromOwnerID == "":
		return errors.New("the name of whom it asks is empty")
	}
	return nil
}

// request reads a request's blob. ok is false for one that was withdrawn or is damaged: it asks for nothing, and
// the next request for the partition replaces it.
func request(g Group, partition string, i item) (r handover.Request, ok bool) {
	r = handover.Request{
		FullyQualifiedNamespace: g.Namespace, EventHubName: g.EventHub, ConsumerGroup: g.Name, PartitionID: partition,
		OwnerID:          value(i.metadata, keyOwner),
		FromOwnerID:      value(i.metadata, keyFrom),
		LastModifiedTime: i.modified,
		ETag:             i.etag,
	}
	if promised := value(i.metadata, keyPromised); promised != "" {
		ms, err := strconv.ParseInt(promised, 10, 32)
		if err != nil || ms < 0 {
			return r, false
		}
		r.Promised = time.Duration(ms) * time.Millisecond
	}
	return r, checkRequest(r) == nil
}
