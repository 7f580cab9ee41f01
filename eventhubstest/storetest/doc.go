// Package storetest tests whether a checkpoint store does what consumers of package eventhubs rely on. Run it in the
// tests of a store of your own, for example one over a database:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) func() azeventhubs.CheckpointStore {
//			db := newEmptyDatabase(t)
//			return func() azeventhubs.CheckpointStore { return mystore.New(db) }
//		})
//	}
//
// It tests more than the SDK's own BlobStore promises: checkpoints never move backwards, and names are the same in any
// case, as they are to the service. It does not test how fast a store is, or what it does when its storage fails. The
// subtests about hand-over requests are for the stores of package eventhubs, and are skipped for others.
package storetest

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// Run runs the tests as subtests of t, some of them in parallel. open creates empty storage and returns a function that
// opens another handle on it, as another process would. Both may be called several times in a subtest; a store with one
// handle may return it every time. open should release what it opens with t.Cleanup.
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
