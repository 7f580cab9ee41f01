package checkpoint_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

func wanted(n int) []azeventhubs.Ownership {
	var out []azeventhubs.Ownership
	for i := range n {
		out = append(out, owned(strconv.Itoa(i), "a"))
	}
	return out
}

func partitions(list []azeventhubs.Ownership) []string {
	var out []string
	for _, o := range list {
		out = append(out, o.PartitionID)
	}
	return out
}

// With 10 ms a call, 1,024 claims must be far inside the 10 s interval: they overlap, but not without bound.
func TestClaimsOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{Account: newAccount(t, blob.Options{})}
		store := openDirect(t, s, anyToken{}, checkpoint.BlobOptions{})
		s.AddFault(blob.Fault{Operation: blob.OpPutBlob, Delay: 10 * time.Millisecond})
		lasted := took(func() {
			claimed, err := store.ClaimOwnership(t.Context(), wanted(1024), nil)
			require.NoError(t, err)
			require.Equal(t, partitions(wanted(1024)), partitions(claimed))
		})
		require.Equal(t, 320*time.Millisecond, lasted)
		require.Equal(t, 32, s.most)
	})
}

// One broken blob costs one partition, and those that were claimed come back beside the error.
func TestClaimFailureOfOne(t *testing.T) {
	s := startServer(t)
	s.AddFault(blob.Fault{
		Operation: blob.OpPutBlob, NameContains: "/ownership/3", Status: 412, Code: "LeaseIdMissing", Times: 1,
	})
	s.put(t, lowerOwnership+"5", map[string]string{"ownerid": "somebody else"})
	claimed, err := s.open(t, checkpoint.BlobOptions{}).ClaimOwnership(t.Context(), wanted(8), nil)
	require.EqualError(t, err, `claim ownership blob `+lowerOwnership+`3 in container "chk": `+
		`somebody holds a lease on it: break the lease, or use another container [412 LeaseIdMissing]`)
	require.Equal(t, []string{"0", "1", "2", "4", "6", "7"}, partitions(claimed))
	for _, o := range claimed {
		require.NotNil(t, o.ETag)
	}
}

// A storage account that is down isn't asked a thousand times, nor described in a thousand lines.
func TestClaimFailureOfAll(t *testing.T) {
	s := startServer(t)
	defer s.AddFault(blob.Fault{Code: "ServerBusy"})()
	claimed, err := s.open(t, checkpoint.BlobOptions{}).ClaimOwnership(t.Context(), wanted(1024), nil)
	require.Empty(t, claimed)
	asked := len(s.take())
	require.Less(t, asked, 64)
	texts := strings.Split(err.Error(), "; ")
	require.Len(t, texts, 4)
	require.Equal(t, fmt.Sprintf("%d partitions failed in all, %d were not tried", asked, 1024-asked), texts[3])
}

// A blob that was deleted under its owner is lost to it, and free.
func TestClaimOfDeletedBlob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := newAccount(t, blob.Options{})
		store := openDirect(t, account, anyToken{}, checkpoint.BlobOptions{})
		claimed, err := store.ClaimOwnership(t.Context(), wanted(2), nil)
		require.NoError(t, err)
		account.Delete("chk", lowerOwnership+"0")
		claimed, err = store.ClaimOwnership(t.Context(), claimed, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"1"}, partitions(claimed))
		claimed, err = store.ClaimOwnership(t.Context(), wanted(1), nil)
		require.NoError(t, err)
		require.Equal(t, []string{"0"}, partitions(claimed))
	})
}

func TestClaimCancelled(t *testing.T) {
	s := startServer(t)
	defer s.AddFault(blob.Fault{Operation: blob.OpPutBlob, NameContains: "/ownership/1", Hang: true})()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for len(s.Names("chk", "")) < 40 { // more than are under way at once, so that some were answered
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	claimed, err := s.open(t, checkpoint.BlobOptions{}).ClaimOwnership(ctx, wanted(1024), nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, `claim ownership of 1024 partitions in container "chk": context canceled`, err.Error())
	require.NotEmpty(t, claimed)
	require.Less(t, len(claimed), 1024)
	requireNoGoroutines(t)
}
