package eventhubs_test

import "testing"

// TestGuarantee has a subtest for each row of the table of guarantees in DESIGN.md, named for it, in which that really happens: over real sockets, with
// the SDK and the blob store. Each counts the events that are lost, repeated and out of order. Subtests called "raw SDK" record what the SDK does without us.
func TestGuarantee(t *testing.T) {
	for _, row := range []struct {
		happens string
		test    func(t *testing.T)
	}{
		{"handler returns nil", handlerReturnsNil},
		{"handler returns an error", handlerReturnsError},
		{"handler returns Stop", handlerReturnsStop},
		{"handler panics", handlerPanics},
		{"ctx is cancelled", ctxIsCancelled},
		{"the process is killed", processIsKilled},
		{"ownership moves to another instance", ownershipMoves},
		{"a paused ex-owner wakes up and checkpoints", exOwnerWakesUp},
		{"the checkpoint store is down for minutes", storeIsDown},
		{"the connection drops, a link detaches, the server is busy", linkDetaches},
		{"one checkpoint blob is unreadable", blobIsUnreadable},
		{"wrong credentials, missing hub or consumer group", somethingIsMissing},
	} {
		t.Run(row.happens, func(t *testing.T) {
			t.Parallel()
			row.test(t)
		})
	}
}

// cases runs subtests side by side.
func cases(t *testing.T, list []guaranteeCase) {
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t)
		})
	}
}

type guaranteeCase struct {
	name string
	test func(t *testing.T)
}
