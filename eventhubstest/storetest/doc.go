// Package storetest checks whether a checkpoint store keeps what consumers of package eventhubs rely on. A store of
// your own, over a database say, runs it in its tests:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) func() azeventhubs.CheckpointStore {
//			db := newEmptyDatabase(t)
//			return func() azeventhubs.CheckpointStore { return mystore.New(db) }
//		})
//	}
//
// What is checked is more than the SDK's own BlobStore promises: checkpoints never move backwards, and names are
// the same in any case, as they are to the service. What is not checked: how fast a store is, and what it does when
// its storage fails. The subtests about hand-over requests are for the stores of package eventhubs, and skipped for
// others.
package storetest

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// Run runs the suite as subtests of t, some of them in parallel. open makes storage that is empty and returns a
// function that opens one more handle on it: another process' view of the same storage. Both may be
// called several times in a subtest; a store that has only one handle may return it every time. open uses t.Cleanup to
// close what has to be closed.
func Run(t *testing.T, open func(t *testing.T) func() azeventhubs.CheckpointStore) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, open func() azeventhubs.CheckpointStore)
	}{
		{"empty", empty},
		{"invalid", invalid},
		{"cancelled context", cancelled},
		{"claim", claim},
		{"claim without ETag loses", claimWithoutETag},
		{"claim with stale ETag loses", claimWithStaleETag},
		{"claims keep their order and lose one by one", claimSeveral},
		{"renewal", renewal},
		{"concurrent claims have one winner", concurrentClaims},
		{"concurrent steals have one winner", concurrentSteals},
		{"relinquish", relinquish},
		{"checkpoint", checkpoint},
		{"checkpoint never moves backwards", neverBackwards},
		{"concurrent checkpoints end at the furthest", concurrentCheckpoints},
		{"namespaces, hubs and groups are apart", apart},
		{"names are the same in any case", anyCase},
		{"ownership and checkpoints are apart", kindsApart},
		{"values are copied", copied},
		{"many partitions", manyPartitions},
		{"hand-over request is listed", keepingRequests(requestIsListed)},
		{"hand-over request is replaced", keepingRequests(requestIsReplaced)},
		{"hand-over request is deleted", keepingRequests(requestIsDeleted)},
		{"hand-over requests are apart", keepingRequests(requestsAreApart)},
		{"hand-over requests end with their context", keepingRequests(requestsEndWithContext)},
		{"hand-over", keepingRequests(handOver)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}
