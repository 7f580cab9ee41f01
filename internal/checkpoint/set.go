package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// setTries bounds how often one checkpoint is written against other writers of the same blob. There is one owner,
// so two are rare; each conflict means that somebody else's write went through.
const setTries = 16

// SetCheckpoint stores c unless the blob holds one that is as far or further: a checkpoint never moves backwards.
// (The SDK's own store writes without an ETag, so an owner that slept can undo the work of its successor.)
//
// The blob's last known ETag makes the usual case one call. What is known to be stored already is not written
// again: a checkpoint's date means nothing to anybody, and a write costs money. That a stored checkpoint is ahead
// is never concluded from memory alone, so that deleting a blob, or setting it back by hand, takes effect.
//
// ctx is looked at before each write: after its end none goes out.
func (s *BlobStore) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions,
) error {
	g := CheckpointGroup(c)
	if err := cmp.Or(g.CheckPartition(c.PartitionID), CheckPosition(c)); err != nil {
		return fmt.Errorf("write checkpoint of partition %q of %s: %w", c.PartitionID, g, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := s.fold(g).CheckpointPrefix() + c.PartitionID
	was, ok := s.recall(name)
	for range setTries {
		if order, decided := Compare(was.checkpoint, c); ok && decided && order == 0 {
			return nil
		} else if !ok || decided && order > 0 {
			var err error
			if was, err = s.read(ctx, name); err != nil {
				return s.fail("read checkpoint blob", name, err)
			}
			if s.keepCovering(ctx, name, was, c) {
				return nil
			}
		}
		if err := ctx.Err(); err != nil {
			return s.fail("write checkpoint blob", name, err)
		}
		err := s.writeCheckpoint(ctx, name, c, was)
		if err == nil {
			return nil
		}
		// Either somebody else wrote, or nobody knows whether we did.
		s.forget(name)
		if !changedMeanwhile(err) {
			return s.fail("write checkpoint blob", name, err)
		}
		ok = false
	}
	return s.fail("write checkpoint blob", name, fmt.Errorf("it was changed by others %d times in a row", setTries))
}

// ReplaceCheckpoint stores c whatever is stored: the partition is not the one that it was. It takes one call, or two if
// the group has letters in upper case, under which a checkpoint may be stored too.
func (s *BlobStore) ReplaceCheckpoint(ctx context.Context, c azeventhubs.Checkpoint) error {
	g := CheckpointGroup(c)
	if err := cmp.Or(g.CheckPartition(c.PartitionID), CheckPosition(c)); err != nil {
		return fmt.Errorf("replace checkpoint of partition %q of %s: %w", c.PartitionID, g, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	own, other := s.fold(g), g.Lower()
	if own == other {
		other = g
	}
	if other != own {
		name := other.CheckpointPrefix() + c.PartitionID
		if _, err := s.container.NewBlobClient(name).Delete(ctx, nil); err != nil &&
			!bloberror.HasCode(err, bloberror.BlobNotFound) {
			return s.fail("delete checkpoint blob", name, err)
		}
	}
	name := own.CheckpointPrefix() + c.PartitionID
	s.forget(name)
	err := s.inContainer(ctx, func() error {
		now, err := s.upload(ctx, name, metadata(c), nil)
		if err == nil {
			s.remember(name, stored{etag: *now.etag, checkpoint: Clone(c)})
		}
		return err
	})
	if err != nil {
		return s.fail("replace checkpoint blob", name, err)
	}
	return nil
}

// writeCheckpoint replaces the blob as it was.
func (s *BlobStore) writeCheckpoint(ctx context.Context, name string, c azeventhubs.Checkpoint, was stored) error {
	var etag *azcore.ETag
	if was.etag != "" {
		etag = &was.etag
	}
	return s.inContainer(ctx, func() error {
		now, err := s.write(ctx, name, metadata(c), etag)
		if err == nil {
			s.remember(name, stored{etag: *now.etag, checkpoint: Clone(c)})
		}
		return err
	})
}

// keepCovering keeps a checkpoint that was just read if it makes writing c needless, and reports whether it does.
func (s *BlobStore) keepCovering(ctx context.Context, name string, was stored, c azeventhubs.Checkpoint) bool {
	order, decided := Compare(was.checkpoint, c)
	if was.etag == "" || !decided || order < 0 {
		return false
	}
	s.remember(name, was)
	if order > 0 {
		s.log().WarnContext(ctx, "eventhubs: stored checkpoint is ahead: kept (another owner has continued; if the "+
			"event hub was created again, delete the blob)",
			"container", s.opts.Name, "blob", name, "partition", c.PartitionID,
			"sequence", deref(c.SequenceNumber), "offset", deref(c.Offset),
			"stored_sequence", deref(was.checkpoint.SequenceNumber), "stored_offset", deref(was.checkpoint.Offset))
	}
	return true
}

// read is the blob as it is now. One that doesn't exist has no ETag.
func (s *BlobStore) read(ctx context.Context, name string) (stored, error) {
	var resp blob.GetPropertiesResponse
	err := s.inContainer(ctx, func() (err error) {
		resp, err = s.container.NewBlobClient(name).GetProperties(ctx, nil)
		return err
	})
	if err != nil {
		// A HEAD request has no body, so its code is lost with a proxy that strips the header.
		var re *azcore.ResponseError
		if errors.As(err, &re) && re.StatusCode == http.StatusNotFound &&
			(re.ErrorCode == "" || re.ErrorCode == string(bloberror.BlobNotFound)) {
			return stored{}, nil
		}
		return stored{}, err
	}
	if resp.ETag == nil {
		return stored{}, errors.New("the answer has no ETag")
	}
	was := stored{etag: *resp.ETag}
	if err := position(resp.Metadata, &was.checkpoint); err != nil {
		s.log().WarnContext(ctx, "eventhubs: checkpoint blob is unreadable: overwritten",
			"container", s.opts.Name, "blob", name, "error", err)
		was.checkpoint = azeventhubs.Checkpoint{}
	}
	return was, nil
}

func (s *BlobStore) recall(name string) (stored, bool) {
	s.knownMu.Lock()
	defer s.knownMu.Unlock()
	was, ok := s.known[name]
	return was, ok
}

func (s *BlobStore) remember(name string, now stored) {
	s.knownMu.Lock()
	defer s.knownMu.Unlock()
	s.known[name] = now
}

func (s *BlobStore) forget(name string) {
	s.knownMu.Lock()
	defer s.knownMu.Unlock()
	delete(s.known, name)
}

// learn replaces all that is known under prefix by what a listing saw. It may be older than a write of the
// meantime; the ETag then doesn't match, and the blob is read.
func (s *BlobStore) learn(prefix string, seen map[string]stored) {
	s.knownMu.Lock()
	defer s.knownMu.Unlock()
	maps.DeleteFunc(s.known, func(name string, _ stored) bool { return strings.HasPrefix(name, prefix) })
	maps.Copy(s.known, seen)
}

func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}
