package checkpoint

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// Observer is a store that watches the calls of another one, for metrics and traces. Its methods name no type of this
// module's internal packages, so that another module can have one, and can be built against any version of this one.
type Observer interface {
	azeventhubs.CheckpointStore
	// Observed is the store that is watched.
	Observed() azeventhubs.CheckpointStore
	// Observe makes a call. on says which group it is about, and which partition, if it is about one. The call returns
	// what it has listed or claimed; Observe returns what the call does.
	Observe(
		ctx context.Context, operation string, on azeventhubs.Ownership,
		call func(context.Context) ([]azeventhubs.Ownership, error),
	) ([]azeventhubs.Ownership, error)
}

// The operations that an Observer is told. The first four are the methods of an azeventhubs.CheckpointStore.
const (
	OpClaim             = "claim_ownership"
	OpList              = "list_ownership"
	OpListCheckpoints   = "list_checkpoints"
	OpSetCheckpoint     = "set_checkpoint"
	OpReplaceCheckpoint = "replace_checkpoint"
	OpRequest           = "request_partition"
	OpGrant             = "grant_partition"
	OpWithdraw          = "withdraw_request"
)

// Observe returns what an engine takes for an Observer of inner: a store that can all that inner can. It is the
// Observer itself if inner is not one of this package's.
func Observe(o Observer, inner azeventhubs.CheckpointStore) azeventhubs.CheckpointStore {
	if own, ok := inner.(ownStore); ok {
		return &observed{observer: o, store: own}
	}
	return o
}

// ownStore is what both stores of this package are.
type ownStore interface {
	handover.Store
	ReplaceCheckpoint(ctx context.Context, c azeventhubs.Checkpoint) error
}

// observed makes the calls of a store through an Observer.
type observed struct {
	observer Observer
	store    ownStore
}

var _ ownStore = (*observed)(nil)

// do makes a call that lists and claims nothing.
func (s *observed) do(
	ctx context.Context, operation string, on azeventhubs.Ownership, call func(context.Context) error,
) error {
	_, err := s.observer.Observe(ctx, operation, on, func(ctx context.Context) ([]azeventhubs.Ownership, error) {
		return nil, call(ctx)
	})
	return err
}

func (s *observed) ClaimOwnership(
	ctx context.Context, wanted []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	var on azeventhubs.Ownership
	if len(wanted) > 0 {
		on = groupOf(wanted[0].FullyQualifiedNamespace, wanted[0].EventHubName, wanted[0].ConsumerGroup)
	}
	return s.observer.Observe(ctx, OpClaim, on, func(ctx context.Context) ([]azeventhubs.Ownership, error) {
		return s.store.ClaimOwnership(ctx, wanted, o)
	})
}

func (s *observed) ListOwnership(
	ctx context.Context, namespace, hub, group string, o *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	on := groupOf(namespace, hub, group)
	return s.observer.Observe(ctx, OpList, on, func(ctx context.Context) ([]azeventhubs.Ownership, error) {
		return s.store.ListOwnership(ctx, namespace, hub, group, o)
	})
}

// ListClaims is told as OpList: it takes the place of ListOwnership.
func (s *observed) ListClaims(ctx context.Context, namespace, hub, group string) (
	owned []azeventhubs.Ownership, requests []handover.Request, err error,
) {
	on := groupOf(namespace, hub, group)
	owned, err = s.observer.Observe(ctx, OpList, on, func(ctx context.Context) (_ []azeventhubs.Ownership, err error) {
		owned, requests, err = s.store.ListClaims(ctx, namespace, hub, group)
		return owned, err
	})
	return owned, requests, err
}

func (s *observed) ListCheckpoints(
	ctx context.Context, namespace, hub, group string, o *azeventhubs.ListCheckpointsOptions,
) (list []azeventhubs.Checkpoint, err error) {
	err = s.do(ctx, OpListCheckpoints, groupOf(namespace, hub, group), func(ctx context.Context) (err error) {
		list, err = s.store.ListCheckpoints(ctx, namespace, hub, group, o)
		return err
	})
	return list, err
}

// ListCheckpointTimes is told as OpListCheckpoints. A store that keeps no times has none: they count as not known.
func (s *observed) ListCheckpointTimes(ctx context.Context, namespace, hub, group string) (
	list []azeventhubs.Checkpoint, times map[string]time.Time, err error,
) {
	dated, ok := s.store.(interface {
		ListCheckpointTimes(ctx context.Context, namespace, hub, group string) (
			[]azeventhubs.Checkpoint, map[string]time.Time, error)
	})
	if !ok {
		list, err = s.ListCheckpoints(ctx, namespace, hub, group, nil)
		return list, nil, err
	}
	err = s.do(ctx, OpListCheckpoints, groupOf(namespace, hub, group), func(ctx context.Context) (err error) {
		list, times, err = dated.ListCheckpointTimes(ctx, namespace, hub, group)
		return err
	})
	return list, times, err
}

func (s *observed) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions,
) error {
	return s.do(ctx, OpSetCheckpoint, partitionOf(c), func(ctx context.Context) error {
		return s.store.SetCheckpoint(ctx, c, o)
	})
}

func (s *observed) ReplaceCheckpoint(ctx context.Context, c azeventhubs.Checkpoint) error {
	return s.do(ctx, OpReplaceCheckpoint, partitionOf(c), func(ctx context.Context) error {
		return s.store.ReplaceCheckpoint(ctx, c)
	})
}

// PutRequest is told as what the caller means by it: to ask for a partition, or to promise one.
func (s *observed) PutRequest(ctx context.Context, r handover.Request) error {
	operation := OpRequest
	if r.Promised > 0 {
		operation = OpGrant
	}
	return s.do(ctx, operation, requestOf(r), func(ctx context.Context) error { return s.store.PutRequest(ctx, r) })
}

func (s *observed) DeleteRequest(ctx context.Context, r handover.Request) error {
	return s.do(ctx, OpWithdraw, requestOf(r), func(ctx context.Context) error { return s.store.DeleteRequest(ctx, r) })
}

func groupOf(namespace, hub, group string) azeventhubs.Ownership {
	return azeventhubs.Ownership{FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group}
}

func partitionOf(c azeventhubs.Checkpoint) azeventhubs.Ownership {
	on := groupOf(c.FullyQualifiedNamespace, c.EventHubName, c.ConsumerGroup)
	on.PartitionID = c.PartitionID
	return on
}

func requestOf(r handover.Request) azeventhubs.Ownership {
	on := groupOf(r.FullyQualifiedNamespace, r.EventHubName, r.ConsumerGroup)
	on.PartitionID, on.OwnerID = r.PartitionID, r.OwnerID
	return on
}
