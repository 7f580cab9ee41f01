package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// Metadata keys, as all the SDKs write them.
const (
	keyOffset   = "offset"
	keySequence = "sequencenumber"
	keyOwner    = "ownerid"
)

// Earliest is the offset that stands for "before the first event that is still there". The Go SDK puts a
// checkpoint's offset into the link's filter as it is: `x-opt-offset > '-1'` (azeventhubs/v2, partition_client.go,
// getStartExpression), whereas a partition without a checkpoint begins at the caller's start position, which may
// skip events.
const Earliest = "-1"

// Compare orders two checkpoints of one partition: negative if a comes before b. ok is false if it cannot be told
// which is further: then one has a sequence number and the other hasn't, and their offsets aren't both numbers (with
// geo-replication they are opaque strings).
func Compare(a, b azeventhubs.Checkpoint) (order int, ok bool) {
	if a.SequenceNumber != nil && b.SequenceNumber != nil {
		return cmp.Compare(*a.SequenceNumber, *b.SequenceNumber), true
	}
	if a.Offset == nil || b.Offset == nil {
		return 0, false
	}
	if *a.Offset == *b.Offset {
		return 0, true
	}
	x, errA := strconv.ParseInt(*a.Offset, 10, 64)
	y, errB := strconv.ParseInt(*b.Offset, 10, 64)
	return cmp.Compare(x, y), errA == nil && errB == nil
}

// CheckPosition refuses a checkpoint that says nothing.
func CheckPosition(c azeventhubs.Checkpoint) error {
	if c.SequenceNumber == nil && c.Offset == nil {
		return errors.New("it has neither a sequence number nor an offset")
	}
	return nil
}

// Clone is a copy of c that shares no pointer with it.
func Clone(c azeventhubs.Checkpoint) azeventhubs.Checkpoint {
	if c.Offset != nil {
		c.Offset = ptr(*c.Offset)
	}
	if c.SequenceNumber != nil {
		c.SequenceNumber = ptr(*c.SequenceNumber)
	}
	return c
}

// position reads a checkpoint blob's metadata into c. It follows .NET (azure-sdk-for-net,
// BlobCheckpointStoreInternal.cs, CreateCheckpoint), which itself may write an empty value for either key, and in
// 5.11 the offset "no offset": an offset that isn't such a placeholder is used, otherwise the sequence number is,
// and math.MinInt64 means that there is none. It is stricter than .NET in one point: a sequence number that is
// neither empty nor a number means that the blob is damaged, and then its offset is not believed either. Reading
// events again is better than skipping some.
func position(metadata map[string]*string, c *azeventhubs.Checkpoint) error {
	c.Offset, c.SequenceNumber = nil, nil
	offset, sequence := value(metadata, keyOffset), value(metadata, keySequence)
	if sequence != "" {
		n, err := strconv.ParseInt(sequence, 10, 64)
		if err != nil {
			return fmt.Errorf("metadata %q is %.40q, not a number", keySequence, sequence)
		}
		if n != math.MinInt64 {
			c.SequenceNumber = &n
		}
	}
	if usableOffset(offset) {
		c.Offset = &offset
	}
	if c.Offset == nil && c.SequenceNumber == nil {
		return fmt.Errorf("neither metadata %q nor %q holds a position", keyOffset, keySequence)
	}
	return nil
}

// usableOffset tells an offset from a placeholder, and from what must not get into the filter of a link: a quote
// would end the expression, and "@latest" would skip everything.
func usableOffset(s string) bool {
	return s != "" && !strings.EqualFold(s, "no offset") && !strings.Contains(s, "'") && !strings.HasPrefix(s, "@")
}

// metadata is what the Go SDK writes for a checkpoint (checkpoints/blob_store.go, newCheckpointBlobMetadata).
func metadata(c azeventhubs.Checkpoint) map[string]*string {
	m := map[string]*string{}
	if c.SequenceNumber != nil {
		m[keySequence] = ptr(strconv.FormatInt(*c.SequenceNumber, 10))
	}
	if c.Offset != nil {
		m[keyOffset] = ptr(*c.Offset)
	}
	return m
}

// value looks a key up whatever its case: the service keeps the case in which a name was written, a listing is
// lower-cased by azblob, and what comes as HTTP headers has the canonical case of those.
func value(metadata map[string]*string, key string) string {
	for k, v := range metadata {
		if v != nil && strings.EqualFold(k, key) {
			return *v
		}
	}
	return ""
}

func has(metadata map[string]*string, key string) bool {
	for k := range metadata {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

func ptr[T any](v T) *T { return &v }
