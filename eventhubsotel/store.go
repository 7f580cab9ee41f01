package eventhubsotel

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
)

// The operations of a store, as package eventhubs tells them. It has more for its own stores: see its package
// internal/checkpoint.
const (
	opClaim             = "claim_ownership"
	opList              = "list_ownership"
	opListCheckpoints   = "list_checkpoints"
	opSetCheckpoint     = "set_checkpoint"
	opReplaceCheckpoint = "replace_checkpoint"
	opRequest           = "request_partition"
	opGrant             = "grant_partition"
)

// The values of the attribute eventhubs.partition.change.
const (
	changeClaimed   = "claimed"
	changeReleased  = "released"
	changeLost      = "lost"
	changeRequested = "requested"
	changePromised  = "promised"
)

// CheckpointStore wraps a store. Each checkpoint that is written has a span, and each call is measured. A store of
// package eventhubs keeps what it does beyond the interface: consumers still ask each other for partitions through it.
// Nil stays nil, which NewConsumer refuses.
func (t *Telemetry) CheckpointStore(s eventhubs.CheckpointStore) eventhubs.CheckpointStore {
	if b, ok := s.(*eventhubs.BlobCheckpointStore); s == nil || ok && b == nil {
		return nil // NewConsumer says so
	}
	return &store{
		telemetry: t, next: s, owners: map[string]owner{}, checkpoint: t.attributes("checkpoint", "settle"),
		name: t.spanName("checkpoint"), own: t.own(),
	}
}

// store is a store that is watched. Package eventhubs finds Observed and Observe by their signatures.
type store struct {
	telemetry  *Telemetry
	next       eventhubs.CheckpointStore
	name       string               // of spans
	checkpoint []attribute.KeyValue // of spans, and of the conventions' metrics
	own        []attribute.KeyValue // of this package's own metrics

	ownersMu sync.Mutex
	owners   map[string]owner // by group and partition: those that have claimed through this store
}

// owner is who has claimed a partition.
type owner struct {
	id    string
	since time.Time
}

// Observed is the store that is watched.
func (s *store) Observed() eventhubs.CheckpointStore { return s.next }

// Observe makes one call of the store.
func (s *store) Observe(
	ctx context.Context, operation string, on azeventhubs.Ownership,
	call func(context.Context) ([]azeventhubs.Ownership, error),
) ([]azeventhubs.Ownership, error) {
	began := time.Now()
	var span trace.Span
	isCheckpoint := operation == opSetCheckpoint || operation == opReplaceCheckpoint
	attributes := s.checkpoint
	if isCheckpoint {
		attributes = append(slices.Clip(attributes),
			attribute.String(attrGroup, on.ConsumerGroup), attribute.String(attrPartition, on.PartitionID))
		ctx, span = s.telemetry.tracer.Start(ctx, s.name, trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attributes...))
		defer span.End()
	}
	found, err := call(ctx)
	took := time.Since(began).Seconds()
	own := append(slices.Clip(s.own), attribute.String(attrStoreOperation, operation))
	if err != nil {
		kind := errorAttribute(errorType(err))
		own, attributes = append(own, kind), append(slices.Clip(attributes), kind)
		if span != nil {
			span.SetStatus(codes.Error, err.Error())
			span.SetAttributes(kind)
		}
	}
	s.telemetry.instruments.store.Record(ctx, took, set(own))
	if isCheckpoint {
		s.telemetry.instruments.operation.Record(ctx, took, set(attributes))
	}
	s.learn(ctx, operation, on, found, err, began)
	return found, err
}

// learn counts what a call says about partitions.
func (s *store) learn(
	ctx context.Context, operation string, on azeventhubs.Ownership, found []azeventhubs.Ownership, err error,
	began time.Time,
) {
	switch operation {
	case opRequest:
		s.count(ctx, on.PartitionID, changeRequested, err == nil)
	case opGrant:
		s.count(ctx, on.PartitionID, changePromised, err == nil)
	case opClaim:
		s.claimed(ctx, found) // also beside an error
	case opList:
		s.listed(ctx, found, began)
	}
}

func (s *store) count(ctx context.Context, partition, change string, happened bool) {
	if happened {
		s.telemetry.instruments.changes.Add(ctx, 1,
			measuring(s.own, attribute.String(attrChange, change), attribute.String(attrPartition, partition)).add...)
	}
}

// claimed takes note of ownerships that were written: claims, renewals and releases.
func (s *store) claimed(ctx context.Context, records []azeventhubs.Ownership) {
	s.ownersMu.Lock()
	defer s.ownersMu.Unlock()
	for _, r := range records {
		key := r.ConsumerGroup + "/" + r.PartitionID
		was, held := s.owners[key]
		switch {
		case r.OwnerID == "":
			delete(s.owners, key)
			s.count(ctx, r.PartitionID, changeReleased, held)
			continue
		case held && was.id == r.OwnerID: // renewed
			continue
		}
		s.count(ctx, r.PartitionID, changeLost, held) // to another consumer that uses this store
		s.count(ctx, r.PartitionID, changeClaimed, true)
		s.owners[key] = owner{r.OwnerID, time.Now()}
	}
}

// listed finds partitions that somebody else has taken. What was claimed after the listing began is not in it.
func (s *store) listed(ctx context.Context, records []azeventhubs.Ownership, began time.Time) {
	s.ownersMu.Lock()
	defer s.ownersMu.Unlock()
	for _, r := range records {
		key := r.ConsumerGroup + "/" + r.PartitionID
		if was, held := s.owners[key]; held && was.id != r.OwnerID && was.since.Before(began) {
			delete(s.owners, key)
			s.count(ctx, r.PartitionID, changeLost, true)
		}
	}
}

// The methods of the interface, for whoever calls them.

func (s *store) ClaimOwnership(
	ctx context.Context, wanted []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	var on azeventhubs.Ownership
	if len(wanted) > 0 {
		on = wanted[0]
	}
	return s.Observe(ctx, opClaim, on, func(ctx context.Context) ([]azeventhubs.Ownership, error) {
		return s.next.ClaimOwnership(ctx, wanted, o)
	})
}

func (s *store) ListOwnership(
	ctx context.Context, namespace, hub, group string, o *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	on := azeventhubs.Ownership{FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group}
	return s.Observe(ctx, opList, on, func(ctx context.Context) ([]azeventhubs.Ownership, error) {
		return s.next.ListOwnership(ctx, namespace, hub, group, o)
	})
}

func (s *store) ListCheckpoints(
	ctx context.Context, namespace, hub, group string, o *azeventhubs.ListCheckpointsOptions,
) (list []azeventhubs.Checkpoint, err error) {
	on := azeventhubs.Ownership{FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group}
	_, err = s.Observe(ctx, opListCheckpoints, on, func(ctx context.Context) (_ []azeventhubs.Ownership, err error) {
		list, err = s.next.ListCheckpoints(ctx, namespace, hub, group, o)
		return nil, err
	})
	return list, err
}

func (s *store) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions,
) error {
	on := azeventhubs.Ownership{
		FullyQualifiedNamespace: c.FullyQualifiedNamespace, EventHubName: c.EventHubName,
		ConsumerGroup: c.ConsumerGroup, PartitionID: c.PartitionID,
	}
	_, err := s.Observe(ctx, opSetCheckpoint, on, func(ctx context.Context) ([]azeventhubs.Ownership, error) {
		return nil, s.next.SetCheckpoint(ctx, c, o)
	})
	return err
}
