package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// ownerships returns the ownerships of a group by partition. It fails the test if a partition is listed twice.
func ownerships(t *testing.T, s azeventhubs.CheckpointStore, g group) map[string]azeventhubs.Ownership {
	t.Helper()
	list, err := s.ListOwnership(t.Context(), g.namespace, g.hub, g.group, nil)
	if err != nil {
		t.Fatalf("list ownership: %v", err)
	}
	out := map[string]azeventhubs.Ownership{}
	for _, o := range list {
		if _, twice := out[o.PartitionID]; twice {
			t.Fatalf("ownership of partition %q is listed twice", o.PartitionID)
		}
		out[o.PartitionID] = o
	}
	return out
}

// checkpoints returns the checkpoints of a group by partition. It fails the test if a partition is listed twice.
func checkpoints(t *testing.T, s azeventhubs.CheckpointStore, g group) map[string]azeventhubs.Checkpoint {
	t.Helper()
	list, err := s.ListCheckpoints(t.Context(), g.namespace, g.hub, g.group, nil)
	if err != nil {
		t.Fatalf("list checkpoints: %v", err)
	}
	out := map[string]azeventhubs.Checkpoint{}
	for _, c := range list {
		if _, twice := out[c.PartitionID]; twice {
			t.Fatalf("checkpoint of partition %q is listed twice", c.PartitionID)
		}
		out[c.PartitionID] = c
	}
	return out
}

func mustClaim(t *testing.T, s azeventhubs.CheckpointStore, o azeventhubs.Ownership) azeventhubs.Ownership {
	t.Helper()
	got, err := s.ClaimOwnership(t.Context(), []azeventhubs.Ownership{o}, nil)
	if err != nil {
		t.Fatalf("claim partition %q for %q: %v", o.PartitionID, o.OwnerID, err)
	}
	if len(got) != 1 {
		t.Fatalf("claim partition %q for %q with ETag %v: lost", o.PartitionID, o.OwnerID, show(o.ETag))
	}
	if got[0].ETag == nil {
		t.Fatalf("claim partition %q for %q: no ETag came back", o.PartitionID, o.OwnerID)
	}
	return got[0]
}

func mustLose(t *testing.T, s azeventhubs.CheckpointStore, o azeventhubs.Ownership) {
	t.Helper()
	got, err := s.ClaimOwnership(t.Context(), []azeventhubs.Ownership{o}, nil)
	if err != nil {
		t.Fatalf("claim partition %q for %q: losing is not an error: %v", o.PartitionID, o.OwnerID, err)
	}
	if len(got) != 0 {
		t.Fatalf("claim partition %q for %q with ETag %v: won, but must lose", o.PartitionID, o.OwnerID, show(o.ETag))
	}
}

func set(t *testing.T, s azeventhubs.CheckpointStore, c azeventhubs.Checkpoint) {
	t.Helper()
	if err := s.SetCheckpoint(t.Context(), c, nil); err != nil {
		t.Fatalf("checkpoint of partition %q at %v: %v", c.PartitionID, show(c.SequenceNumber), err)
	}
}

func wantOwner(t *testing.T, s azeventhubs.CheckpointStore, partition, owner string) {
	t.Helper()
	if got := ownerships(t, s, here)[partition].OwnerID; got != owner {
		t.Fatalf("partition %q is owned by %q, want %q", partition, got, owner)
	}
}

func wantSequence(t *testing.T, s azeventhubs.CheckpointStore, partition string, sequence int64) {
	t.Helper()
	wantCheckpoint(t, "listed", checkpoints(t, s, here)[partition], here.checkpoint(partition, sequence))
}

// wantSame compares all but ETag and time.
func wantSame(t *testing.T, what string, got, want azeventhubs.Ownership) {
	t.Helper()
	got.ETag, got.LastModifiedTime = want.ETag, want.LastModifiedTime
	if got != want {
		t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

func wantCheckpoint(t *testing.T, what string, got, want azeventhubs.Checkpoint) {
	t.Helper()
	if show(got.Offset) != show(want.Offset) || show(got.SequenceNumber) != show(want.SequenceNumber) {
		t.Fatalf("%s: partition %q is at sequence %v, offset %v; want sequence %v, offset %v", what, want.PartitionID,
			show(got.SequenceNumber), show(got.Offset), show(want.SequenceNumber), show(want.Offset))
	}
	got.Offset, got.SequenceNumber = want.Offset, want.SequenceNumber
	if got != want {
		t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

func wantCancelled(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%s: got %v, want an error that is context.Canceled", what, err)
	}
}
