package guarantee_test

import (
	"slices"
	"testing"

	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// TestGuarantee has a subtest for each row of the table, named for it.
func TestGuarantee(t *testing.T) {
	for _, row := range []struct {
		happens string
		cases   []aCase
	}{
		{"the handler returns nil", handlerReturnsNil},
		{"the handler returns an error", handlerReturnsError},
		{"the handler returns Stop", handlerReturnsStop},
		{"the handler panics", handlerPanics},
		{"ctx is cancelled", ctxIsCancelled},
		{"the process is killed", processIsKilled},
		{"handlers run concurrently", handlersRunConcurrently},
		{"ownership is taken by another instance", ownershipIsTaken},
		{"a paused former owner wakes up and checkpoints", formerOwnerWakesUp},
		{"the checkpoint store is down for minutes", storeIsDown},
		{"the connection drops, a link detaches, the service is busy", linkDetaches},
		{"the service does not answer", serviceDoesNotAnswer},
		{"authorization fails after it has worked", slices.Concat(authorizationFails, renewalFails())},
		{"an event cannot be decoded", eventIsUndecodable},
		{"the position is refused or lies past the end", positionIsRefused},
		{"partitions are added", partitionsAreAdded},
		{"Start is Latest", startIsLatest},
		{"another of our consumers joins", anotherJoins},
		{"one checkpoint blob is unreadable", blobIsUnreadable},
		{"wrong credentials, missing hub or consumer group", somethingIsMissing},
	} {
		t.Run(row.happens, func(t *testing.T) {
			t.Parallel() // rows in real time wait, and others can run meanwhile
			for _, c := range row.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.test(t)
				})
			}
		})
	}
}

// aCase is one way in which a row happens.
type aCase struct {
	name string
	test func(t *testing.T)
}

// in makes a test that runs in a scene in memory, with so many partitions.
func in(partitions int, test func(s *scene.Scene)) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		scene.In(t, partitions, test)
	}
}

func ptr[T any](v T) *T { return &v }
