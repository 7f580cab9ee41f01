package lease_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/lease"
)

const (
	us   = "us"
	them = "them"
)

var errDown = errors.New("the store is down")

// flaky is a memory store whose calls fail as a test wants.
type flaky struct {
	azeventhubs.CheckpointStore
	mu    sync.Mutex
	fail  func(call string) error // before the call
	after func(call string) error // after it: its answer is lost
}

func newFlaky() *flaky { return &flaky{CheckpointStore: eventhubs.NewMemoryCheckpointStore()} }

func (f *flaky) set(fail, after func(string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.after = fail, after
}

func (f *flaky) around(call string, do func() error) error {
	f.mu.Lock()
	fail, after := f.fail, f.after
	f.mu.Unlock()
	if fail != nil {
		if err := fail(call); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if after != nil {
		return after(call)
	}
	return nil
}

func (f *flaky) ClaimOwnership(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) (out []azeventhubs.Ownership, err error) {
	err = f.around("claim", func() error { out, err = f.CheckpointStore.ClaimOwnership(ctx, want, o); return err })
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (f *flaky) ListOwnership(ctx context.Context, namespace, hub, group string, o *azeventhubs.ListOwnershipOptions) (out []azeventhubs.Ownership, err error) {
	err = f.around("list ownership", func() error { out, err = f.CheckpointStore.ListOwnership(ctx, namespace, hub, group, o); return err })
	return out, err
}

func (f *flaky) ListCheckpoints(ctx context.Context, namespace, hub, group string, o *azeventhubs.ListCheckpointsOptions) (out []azeventhubs.Checkpoint, err error) {
	err = f.around("list checkpoints", func() error { out, err = f.CheckpointStore.ListCheckpoints(ctx, namespace, hub, group, o); return err })
	return out, err
}

func (f *flaky) SetCheckpoint(ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions) error {
	return f.around("set checkpoint", func() error { return f.CheckpointStore.SetCheckpoint(ctx, c, o) })
}

// times fails the first n calls of one kind.
func times(n int, kind string) func(string) error {
	var mu sync.Mutex
	return func(call string) error {
		mu.Lock()
		defer mu.Unlock()
		if call != kind || n == 0 {
			return nil
		}
		n--
		return errDown
	}
}

func newStore(t *testing.T, inner azeventhubs.CheckpointStore, change ...func(*lease.Options)) *lease.Store {
	t.Helper()
	o := lease.Options{
		Store: inner, Owner: us, Expiration: time.Minute, CallTimeout: 10 * time.Second, Patience: 10 * time.Second,
		Complete: func(_ context.Context, listed []azeventhubs.Checkpoint, _ []string) ([]azeventhubs.Checkpoint, error) {
			return listed, nil
		},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	s := lease.New(o)
	t.Cleanup(s.Close)
	return s
}

func ownership(partition, owner string) azeventhubs.Ownership {
	return azeventhubs.Ownership{FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "group", PartitionID: partition, OwnerID: owner}
}

func claim(t *testing.T, s azeventhubs.CheckpointStore, want ...azeventhubs.Ownership) []azeventhubs.Ownership {
	t.Helper()
	got, err := s.ClaimOwnership(t.Context(), want, nil)
	require.NoError(t, err)
	return got
}

func checkpointOf(partition string, sequence int64) azeventhubs.Checkpoint {
	offset := "1"
	return azeventhubs.Checkpoint{FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "group", PartitionID: partition, SequenceNumber: &sequence, Offset: &offset}
}

func TestClaimIsTriedUntilTheStoreAnswers(t *testing.T) {
	inner := newFlaky()
	s := newStore(t, inner)
	inner.set(times(3, "claim"), nil)
	require.Len(t, claim(t, s, ownership("0", us), ownership("1", us)), 2)
	require.NotNil(t, s.Hold("0"))
	require.NotNil(t, s.Hold("1"))
	require.Nil(t, s.Hold("2"))

	inner.set(times(2, "list ownership"), nil)
	list, err := s.ListOwnership(t.Context(), "ns", "hub", "group", nil)
	require.NoError(t, err)
	require.Len(t, list, 2)
}

func TestClaimEndsWithItsContext(t *testing.T) {
	inner := newFlaky()
	s := newStore(t, inner)
	ctx, cancel := context.WithCancel(t.Context())
	inner.set(func(string) error { cancel(); return errDown }, nil)
	_, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{ownership("0", us)}, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, errDown)
}

func TestCallThatHangsIsCutAndTriedAgain(t *testing.T) {
	inner := newFlaky()
	var hung bool
	hang := &hanging{CheckpointStore: inner, hung: &hung}
	s := newStore(t, hang, func(o *lease.Options) { o.CallTimeout = 20 * time.Millisecond })
	require.Len(t, claim(t, s, ownership("0", us)), 1)
	require.True(t, hung)
}

// hanging doesn't answer the first claim.
type hanging struct {
	azeventhubs.CheckpointStore
	hung *bool
}

func (h *hanging) ClaimOwnership(ctx context.Context, want []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	if !*h.hung {
		*h.hung = true
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.CheckpointStore.ClaimOwnership(ctx, want, o)
}

// TestClaimWhoseAnswerWasLost: the claim was stored, and when it is tried again its ETag no longer fits.
func TestClaimWhoseAnswerWasLost(t *testing.T) {
	inner := newFlaky()
	s := newStore(t, inner)
	first := claim(t, s, ownership("0", us))
	hold := s.Hold("0")

	inner.set(nil, times(1, "claim"))
	renewed := claim(t, s, first...)
	require.Len(t, renewed, 1, "it is ours: the store says so")
	require.NotEqual(t, *first[0].ETag, *renewed[0].ETag)
	require.NoError(t, hold.Err())
	require.Equal(t, hold, s.Hold("0"))
	require.Len(t, claim(t, s, renewed...), 1, "it can be renewed with the ETag that was looked up")

	t.Run("and nobody noticed", func(t *testing.T) { // as when azcore has tried it again
		stale := stored(t, inner)[0]
		claim(t, inner.CheckpointStore, stale)
		require.Len(t, claim(t, s, stale), 1)
		require.NoError(t, hold.Err())
	})
}

// stored returns the ownerships that the store has.
func stored(t *testing.T, inner azeventhubs.CheckpointStore) []azeventhubs.Ownership {
	t.Helper()
	list, err := inner.ListOwnership(t.Context(), "ns", "hub", "group", nil)
	require.NoError(t, err)
	return list
}

func TestLossIsTold(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, inner *flaky, s *lease.Store, mine []azeventhubs.Ownership){
		"the claim is refused": func(t *testing.T, inner *flaky, s *lease.Store, mine []azeventhubs.Ownership) {
			theirs := mine[0]
			theirs.OwnerID = them
			claim(t, inner.CheckpointStore, theirs)
			require.Len(t, claim(t, s, mine...), 1)
		},
		"its link says so": func(_ *testing.T, _ *flaky, s *lease.Store, _ []azeventhubs.Ownership) { s.Lose("0") },
	} {
		t.Run(name, func(t *testing.T) {
			inner := newFlaky()
			s := newStore(t, inner)
			mine := claim(t, s, ownership("0", us), ownership("1", us))
			hold := s.Hold("0")
			lose(t, inner, s, mine)
			require.ErrorIs(t, context.Cause(hold), lease.ErrLost)
			require.Nil(t, s.Hold("0"))
			require.ErrorIs(t, s.SetCheckpoint(t.Context(), checkpointOf("0", 7), nil), lease.ErrNotHeld)
			checkpoints, err := inner.ListCheckpoints(t.Context(), "ns", "hub", "group", nil)
			require.NoError(t, err)
			require.Empty(t, checkpoints)
		})
	}
}

func TestCheckpointOfWhatIsHeld(t *testing.T) {
	inner := newFlaky()
	s := newStore(t, inner)
	require.ErrorIs(t, s.SetCheckpoint(t.Context(), checkpointOf("0", 1), nil), lease.ErrNotHeld)
	claim(t, s, ownership("0", us))
	require.NoError(t, s.SetCheckpoint(t.Context(), checkpointOf("0", 1), nil))
	checkpoints, err := inner.ListCheckpoints(t.Context(), "ns", "hub", "group", nil)
	require.NoError(t, err)
	require.Len(t, checkpoints, 1)
}

func TestCheckpointIsRefusedOnceTheClaimIsTooOld(t *testing.T) {
	s := newStore(t, newFlaky(), func(o *lease.Options) { o.Expiration = time.Nanosecond })
	claim(t, s, ownership("0", us))
	err := s.SetCheckpoint(t.Context(), checkpointOf("0", 1), nil)
	require.ErrorIs(t, err, lease.ErrNotHeld)
	require.ErrorContains(t, err, "the claim was not renewed")
}

// TestCheckpointUnderWayEndsWithTheLoss: a write that has begun must not go out once the partition is lost.
func TestCheckpointUnderWayEndsWithTheLoss(t *testing.T) {
	inner := newFlaky()
	writing := make(chan struct{})
	slow := &slowCheckpoint{CheckpointStore: inner, writing: writing}
	s := newStore(t, slow)
	claim(t, s, ownership("0", us))
	ended := make(chan error, 1)
	go func() { ended <- s.SetCheckpoint(t.Context(), checkpointOf("0", 1), nil) }()
	<-writing
	s.Lose("0")
	require.ErrorIs(t, <-ended, lease.ErrNotHeld)
}

type slowCheckpoint struct {
	azeventhubs.CheckpointStore
	writing chan struct{}
}

func (s *slowCheckpoint) SetCheckpoint(ctx context.Context, _ azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions) error {
	close(s.writing)
	<-ctx.Done()
	return ctx.Err()
}

func TestDrainClaimsNothingNew(t *testing.T) {
	s := newStore(t, newFlaky())
	mine := claim(t, s, ownership("0", us))
	s.Drain()
	got := claim(t, s, append(mine, ownership("1", us))...)
	require.Len(t, got, 1)
	require.Equal(t, "0", got[0].PartitionID)
	require.NotNil(t, s.Hold("0"), "what is held is renewed")
}

// TestWhatIsHeldIsRenewed: the Processor leaves a partition out whose claim looks expired to it.
func TestWhatIsHeldIsRenewed(t *testing.T) {
	inner := newFlaky()
	s := newStore(t, inner)
	mine := claim(t, s, ownership("0", us), ownership("1", us))
	hold := s.Hold("0")
	require.Len(t, claim(t, s, mine[1]), 2)
	require.Len(t, claim(t, s), 2)
	s.Drain()
	require.Len(t, claim(t, s, ownership("2", us)), 2)
	require.NoError(t, hold.Err())
}

func TestGivingBackIsTriedOnce(t *testing.T) {
	inner := newFlaky()
	s := newStore(t, inner)
	mine := claim(t, s, ownership("0", us))
	hold := s.Hold("0")
	calls := 0
	inner.set(func(string) error { calls++; return errDown }, nil)
	mine[0].OwnerID = ""
	_, err := s.ClaimOwnership(t.Context(), mine, nil)
	require.ErrorIs(t, err, errDown)
	require.Equal(t, 1, calls)
	require.Error(t, hold.Err(), "nothing is ours any more")

	inner.set(nil, nil)
	claim(t, s, mine...)
	require.Empty(t, stored(t, inner)[0].OwnerID)
}

func TestListingThatFailsBreaksTheStore(t *testing.T) {
	inner := newFlaky()
	s := newStore(t, inner, func(o *lease.Options) { o.Patience = 20 * time.Millisecond })
	inner.set(times(-1, "list checkpoints"), nil)
	_, err := s.ListCheckpoints(t.Context(), "ns", "hub", "group", nil)
	require.ErrorIs(t, err, errDown)
	select {
	case <-s.Broken():
		t.Fatal("it is broken before a new Processor could do better")
	default:
	}
	_, err = s.ListOwnership(t.Context(), "ns", "hub", "group", nil)
	require.NoError(t, err)
	<-s.Broken()
	_, err = s.ListCheckpoints(t.Context(), "ns", "hub", "group", nil)
	require.ErrorIs(t, err, errDown, "again is no worse")
}

func TestListingIsTriedForAWhileAndCompleted(t *testing.T) {
	inner := newFlaky()
	s := newStore(t, inner, func(o *lease.Options) {
		o.Complete = func(_ context.Context, listed []azeventhubs.Checkpoint, held []string) ([]azeventhubs.Checkpoint, error) {
			for _, id := range held {
				listed = append(listed, checkpointOf(id, 5))
			}
			return listed, nil
		}
	})
	claim(t, s, ownership("3", us))
	inner.set(times(2, "list checkpoints"), nil)
	list, err := s.ListCheckpoints(t.Context(), "ns", "hub", "group", nil)
	require.NoError(t, err)
	require.Equal(t, []azeventhubs.Checkpoint{checkpointOf("3", 5)}, list)
	select {
	case <-s.Broken():
		t.Fatal("it is not broken")
	default:
	}
}
