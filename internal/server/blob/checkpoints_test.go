package blob_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

const (
	namespace = "ns.servicebus.windows.net"
	hub       = "orders"
	group     = "$Default"
)

func store(t *testing.T, s *server) *checkpoints.BlobStore {
	t.Helper()
	bs, err := checkpoints.NewBlobStore(s.client(t, "checkpoints"), nil)
	require.NoError(t, err)
	return bs
}

func ownership(partition, owner string) azeventhubs.Ownership {
	return azeventhubs.Ownership{
		FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group, PartitionID: partition, OwnerID: owner,
	}
}

// claimAll lets n owners claim the same ownership at once, and returns the
// claims that were granted.
func claimAll(t *testing.T, s *server, n int, o azeventhubs.Ownership) []azeventhubs.Ownership {
	t.Helper()
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		granted []azeventhubs.Ownership
		errs    []error
	)
	for i := range n {
		bs := store(t, s)
		mine := o
		mine.OwnerID = fmt.Sprintf("owner-%d", i)
		wg.Go(func() {
			got, err := bs.ClaimOwnership(ctx(t), []azeventhubs.Ownership{mine}, nil)
			mu.Lock()
			defer mu.Unlock()
			granted = append(granted, got...)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	require.Empty(t, errs)
	return granted
}

func TestOwnershipIsClaimedOnce(t *testing.T) {
	s := start(t, blob.Options{})
	require.NoError(t, s.CreateContainer("checkpoints"))
	bs := store(t, s)

	// Nobody owns it yet: claims have If-None-Match: *.
	granted := claimAll(t, s, 16, ownership("7", ""))
	require.Len(t, granted, 1)
	owned, err := bs.ListOwnership(ctx(t), namespace, hub, group, nil)
	require.NoError(t, err)
	require.Len(t, owned, 1)
	require.Equal(t, granted[0].OwnerID, owned[0].OwnerID)
	require.Equal(t, "7", owned[0].PartitionID)

	// All know the same owner: claims have If-Match with the ETag of the listing.
	again := claimAll(t, s, 16, owned[0])
	require.Len(t, again, 1)
	require.Empty(t, claimAll(t, s, 4, owned[0])) // that ETag is out of date
	require.Empty(t, claimAll(t, s, 4, granted[0]))

	// Once it is released, it has no owner, and the next one takes it.
	up := again[0]
	up.OwnerID = ""
	_, err = bs.ClaimOwnership(ctx(t), []azeventhubs.Ownership{up}, nil)
	require.NoError(t, err)
	kept, there := s.Get("checkpoints", "ns.servicebus.windows.net/orders/$Default/ownership/7")
	require.True(t, there)
	require.Equal(t, map[string]string{"ownerid": ""}, kept.Metadata)
	owned, err = bs.ListOwnership(ctx(t), namespace, hub, group, nil)
	require.NoError(t, err)
	require.Equal(t, "", owned[0].OwnerID)
	require.Equal(t, kept.LastModified, owned[0].LastModifiedTime.UTC())
	require.Len(t, claimAll(t, s, 16, owned[0]), 1)
}

func TestCheckpoints(t *testing.T) {
	s := start(t, blob.Options{})
	bs := store(t, s)
	cp := azeventhubs.Checkpoint{
		FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group, PartitionID: "0",
		Offset: ptr("4294967296"), SequenceNumber: ptr(int64(17)),
	}
	err := bs.SetCheckpoint(ctx(t), cp, nil)
	requireCode(t, err, 404, "ContainerNotFound")
	_, err = bs.ListCheckpoints(ctx(t), namespace, hub, group, nil)
	requireCode(t, err, 404, "ContainerNotFound")

	require.NoError(t, s.CreateContainer("checkpoints"))
	none, err := bs.ListCheckpoints(ctx(t), namespace, hub, group, nil)
	require.NoError(t, err)
	require.Empty(t, none)

	require.NoError(t, bs.SetCheckpoint(ctx(t), cp, nil)) // makes the blob
	cp.SequenceNumber = ptr(int64(18))
	require.NoError(t, bs.SetCheckpoint(ctx(t), cp, nil)) // changes it
	_, err = bs.ClaimOwnership(ctx(t), []azeventhubs.Ownership{ownership("0", "me")}, nil)
	require.NoError(t, err)

	got, err := bs.ListCheckpoints(ctx(t), namespace, hub, group, nil)
	require.NoError(t, err)
	require.Equal(t, []azeventhubs.Checkpoint{cp}, got)
	require.Equal(t, []string{
		"ns.servicebus.windows.net/orders/$Default/checkpoint/0",
		"ns.servicebus.windows.net/orders/$Default/ownership/0",
	}, s.Names("checkpoints", ""))
	kept, _ := s.Get("checkpoints", "ns.servicebus.windows.net/orders/$Default/checkpoint/0")
	require.Equal(t, map[string]string{"offset": "4294967296", "sequencenumber": "18"}, kept.Metadata)
	require.Empty(t, kept.Content)

	// This checkpoint was written by another SDK or by hand.
	require.NoError(
		t,
		s.Put(
			"checkpoints", "ns.servicebus.windows.net/orders/$Default/checkpoint/1", nil,
			map[string]string{"offset": "", "sequencenumber": "x"},
		),
	)
	_, err = bs.ListCheckpoints(ctx(t), namespace, hub, group, nil)
	require.ErrorContains(t, err, "sequencenumber")
}
