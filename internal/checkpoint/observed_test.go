package checkpoint_test

import (
	"context"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest/storetest"
	"github.com/go-eventhubs/eventhubs/internal/checkpoint"
	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// watcher counts the calls of a store by operation.
type watcher struct {
	azeventhubs.CheckpointStore // that it watches

	callsMu sync.Mutex
	calls   map[string]int
}

func (w *watcher) Observed() azeventhubs.CheckpointStore { return w.CheckpointStore }

func (w *watcher) Observe(
	ctx context.Context, operation string, on azeventhubs.Ownership,
	call func(context.Context) ([]azeventhubs.Ownership, error),
) ([]azeventhubs.Ownership, error) {
	w.callsMu.Lock()
	defer w.callsMu.Unlock()
	if w.calls == nil {
		w.calls = map[string]int{}
	}
	if on.EventHubName != "" {
		w.calls[operation+" "+on.PartitionID]++
	}
	return call(ctx)
}

// An observed store is a store like the one that is watched, with hand-over requests.
func TestObservedStores(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) func() azeventhubs.CheckpointStore {
			s := checkpoint.NewMemoryStore()
			return func() azeventhubs.CheckpointStore { return checkpoint.Observe(&watcher{CheckpointStore: s}, s) }
		})
	})
	t.Run("blob", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) func() azeventhubs.CheckpointStore {
			s := startServer(t)
			return func() azeventhubs.CheckpointStore {
				store := s.open(t, checkpoint.BlobOptions{Logger: (&logs{}).logger()})
				return checkpoint.Observe(&watcher{CheckpointStore: store}, store)
			}
		})
	})
}

func TestObservedCalls(t *testing.T) {
	inner := checkpoint.NewMemoryStore()
	w := &watcher{CheckpointStore: inner}
	s := checkpoint.Observe(w, inner).(interface {
		handover.Store
		ReplaceCheckpoint(ctx context.Context, c azeventhubs.Checkpoint) error
	})
	ctx, position := t.Context(), int64(7)
	owned := azeventhubs.Ownership{
		FullyQualifiedNamespace: ns, EventHubName: hub, ConsumerGroup: group, PartitionID: "3", OwnerID: "Owner",
	}
	c := azeventhubs.Checkpoint{
		FullyQualifiedNamespace: ns, EventHubName: hub, ConsumerGroup: group, PartitionID: "3", SequenceNumber: &position,
	}
	_, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{owned}, nil)
	require.NoError(t, err)
	_, err = s.ListOwnership(ctx, ns, hub, group, nil)
	require.NoError(t, err)
	_, _, err = s.ListClaims(ctx, ns, hub, group)
	require.NoError(t, err)
	_, err = s.ListCheckpoints(ctx, ns, hub, group, nil)
	require.NoError(t, err)
	require.NoError(t, s.SetCheckpoint(ctx, c, nil))
	require.NoError(t, s.ReplaceCheckpoint(ctx, c))
	r := asking("3", "Joiner", "Owner")
	require.NoError(t, s.PutRequest(ctx, r))
	r.Promised = 1
	require.NoError(t, s.PutRequest(ctx, r))
	require.NoError(t, s.DeleteRequest(ctx, r))
	require.Equal(t, map[string]int{
		"claim_ownership ": 1, "list_ownership ": 2, "list_checkpoints ": 1, "set_checkpoint 3": 1,
		"replace_checkpoint 3": 1, "request_partition 3": 1, "grant_partition 3": 1, "withdraw_request 3": 1,
	}, w.calls)
}

// A store of somebody else's is what the observer is by itself.
func TestObservedStranger(t *testing.T) {
	w := &watcher{CheckpointStore: &watcher{}}
	require.Same(t, w, checkpoint.Observe(w, w.CheckpointStore))
}
