package guarantee_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

var ownershipIsTaken = []aCase{
	{"by another SDK", in(2, takenByRaw)},
	{"in the store alone", in(1, takenInTheStore)},
	{"by a reader with a higher epoch", in(1, takenByEpoch)},
	{"by one of ours, after it has asked in vain", in(2, takenAfterAsking)},
	{"raw SDK", in(1, rawTaken)},
}

// holdUp makes a handler that waits at event 5 and those after it, until it is released or its context ends. It ignores
// the end of its context, and reports the event as processed.
func holdUp(release <-chan struct{}, ended func(ctx context.Context, partition string)) eventhubs.Handler {
	return func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber < 5 {
			return nil
		}
		select {
		case <-release:
		case <-ctx.Done():
			ended(ctx, e.PartitionID)
		}
		return nil
	}
}

// takenByRaw has a Processor of the SDK join the group while our handlers are running. The Processor takes its share
// without asking.
func takenByRaw(s *scene.Scene) {
	s.Send(10, "0", "1")
	release, lost := make(chan struct{}), make(chan string, 2)
	first := s.Receive("first", eventhubs.ConsumerOptions{}, holdUp(release, func(ctx context.Context, id string) {
		if errors.Is(context.Cause(ctx), eventhubs.ErrOwnershipLost) {
			lost <- id
		}
	}))
	s.UntilCheckpoint("0", 4)
	s.UntilCheckpoint("1", 4)
	raw := s.Raw("raw", scene.Group, s.OpenStore(scene.Container), earliest)
	theirs := raw.Partition()
	moved := take(s, lost)
	require.Equal(s.T, theirs.PartitionID(), moved)
	require.EqualValues(s.T, 5, raw.Next(theirs).SequenceNumber, "from the last checkpoint")
	close(release)
	kept := map[string]string{"0": "1", "1": "0"}[moved]
	s.Until("we continue with what we have kept", func() bool { return s.Tally.Furthest(kept) == 9 })
	s.UntilCheckpoint(kept, 9)
	require.EqualValues(s.T, 4, s.Checkpoint(moved), "no checkpoint of ours is written after the loss")

	require.NoError(s.T, theirs.Close(s.T.Context()))
	raw.Cancel() // and gives back what it has
	s.UntilHandled()
	first.Stop()
	require.EqualValues(s.T, 9, s.Checkpoint(moved))
	require.Equal(s.T, []int64{0, 5}, s.Tally.Begins(moved))
	s.CheckLogged("partition lost", "to=raw", "partition="+moved)
	s.Check(1) // the event in flight: its handler took no notice
}

// await waits until a channel is closed, or the test has ended. A handler that stayed behind would keep the bubble from
// ending.
func await(s *scene.Scene, c <-chan struct{}) {
	select {
	case <-c:
	case <-s.T.Context().Done():
	}
}

// take returns the next value of a channel.
func take[T any](s *scene.Scene, c <-chan T) T {
	s.T.Helper()
	late := time.NewTimer(s.Patience())
	defer late.Stop()
	select {
	case v := <-c:
		return v
	case <-late.C:
		s.T.Fatal("waited in vain")
		panic("not reached")
	}
}

// takeInStore has somebody claim a partition without ever opening a link.
func takeInStore(s *scene.Scene, store eventhubs.CheckpointStore, partition string) {
	s.T.Helper()
	s.Until("the claim is taken", func() bool { // it may be renewed at the same moment
		o := s.Ownership(store, scene.Group)[partition]
		o.OwnerID = "thief"
		claimed, err := store.ClaimOwnership(s.T.Context(), []azeventhubs.Ownership{o}, nil)
		require.NoError(s.T, err)
		return len(claimed) == 1
	})
}

// takenInTheStore has the claim taken, but not the link: only the store shows it.
func takenInTheStore(s *scene.Scene) {
	s.Send(10, "0")
	lost := make(chan error, 1)
	var stolen atomic.Bool
	r := s.Receive("owner", eventhubs.ConsumerOptions{}, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		switch {
		case !stolen.Load() && e.SequenceNumber == 5:
			<-ctx.Done()
			lost <- context.Cause(ctx)
			return ctx.Err()
		case stolen.Load() && s.Owner("0") != "owner":
			return eventhubs.Stop(errors.New("an event came while the partition was somebody else's"))
		}
		return nil
	})
	s.UntilCheckpoint("0", 4)
	takeInStore(s, s.Store, "0")
	began := time.Now()
	require.ErrorIs(s.T, take(s, lost), eventhubs.ErrOwnershipLost)
	require.LessOrEqual(s.T, time.Since(began), 10*time.Second, "it is seen within an UpdateInterval")
	stolen.Store(true)
	s.Send(10, "0")
	s.UntilHandled() // the thief doesn't renew its claim
	r.Stop()
	require.Equal(s.T, []int64{0, 5}, s.Tally.Begins("0"))
	require.EqualValues(s.T, 19, s.Checkpoint("0"))
	s.Check(0)
}

// takenByEpoch has the link taken, but not the claim: the store doesn't show it. Reading resumes when the thief has
// gone.
func takenByEpoch(s *scene.Scene) {
	s.Send(10, "0")
	r := s.Receive("owner", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.UntilCovered("0")
	client := s.RawClient("thief", scene.Group)
	o := &azeventhubs.PartitionClientOptions{StartPosition: earliest, OwnerLevel: ptr(int64(7))}
	thief, err := client.NewPartitionClient("0", o)
	require.NoError(s.T, err)
	_, err = thief.ReceiveEvents(s.T.Context(), 1, nil)
	require.NoError(s.T, err)
	s.Until("the loss is noticed", func() bool {
		return s.Log.Count("a reader with a higher epoch keeps the partition to itself", "by=thief", "epoch=7") > 0
	})
	s.Send(10, "0")
	time.Sleep(time.Minute)
	require.NoError(s.T, thief.Close(s.T.Context()))
	s.UntilHandled()
	r.Stop()
	require.Equal(s.T, []int64{0}, s.Tally.Begins("0"), "the claim was never lost")
	s.Check(0)
}

// takenAfterAsking has a consumer of ours join while another one's handlers run for longer than they may, and ignore
// that.
func takenAfterAsking(s *scene.Scene) {
	s.Send(10, "0", "1")
	release, draining := make(chan struct{}), make(chan string, 2)
	deaf := func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber < 5 {
			return nil
		}
		select {
		case <-release:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), eventhubs.ErrDraining) {
				draining <- e.PartitionID
			}
			await(s, release)
		}
		return nil
	}
	first := s.Receive("first", eventhubs.ConsumerOptions{}, deaf)
	s.UntilCheckpoint("0", 4)
	s.UntilCheckpoint("1", 4)
	began := time.Now()
	goOn := make(chan struct{})
	second := s.Receive("second", eventhubs.ConsumerOptions{}, func(context.Context, *eventhubs.ReceivedEvent) error {
		await(s, goOn)
		return nil
	})
	moved := take(s, draining)
	kept := map[string]string{"0": "1", "1": "0"}[moved]
	require.LessOrEqual(s.T, time.Since(began), 10*time.Second+drainTimeout, "it was asked within an UpdateInterval")
	s.Until("it is taken", func() bool { return s.Owner(moved) == "second" })
	require.LessOrEqual(s.T, time.Since(began), 10*time.Second+drainTimeout+20*time.Second)
	s.Until("the second consumer has the event in flight", func() bool {
		came, _ := s.Tally.Times(moved, 5)
		return came == 2
	})
	time.Sleep(updateInterval) // the loss is seen within this time
	close(release)
	s.Until("the first consumer continues with what it has kept", func() bool { return s.Tally.Furthest(kept) == 9 })
	first.Stop()
	require.EqualValues(s.T, 9, s.Checkpoint(kept))
	require.EqualValues(s.T, 4, s.Checkpoint(moved), "no checkpoint of ours is written after the loss")
	close(goOn)
	s.UntilHandled()
	second.Stop()
	require.EqualValues(s.T, 9, s.Checkpoint(moved))
	s.Check(1) // the event in flight
}

// rawTaken records what the SDK does: reading continues after a claim was lost, without an error.
func rawTaken(s *scene.Scene) {
	s.Send(1, "0")
	r := s.Raw("owner", scene.Group, s.RawStore(), earliest)
	c := r.Partition()
	r.Next(c)
	takeInStore(s, r.Store, "0")
	s.Send(1, "0")
	// The thief doesn't renew its claim, so the Processor takes the partition again. By then it has listed the owners, and
	// its own claim has been refused.
	s.Until("the Processor has seen the loss", func() bool {
		return s.Ownership(r.Store, scene.Group)["0"].OwnerID == "owner"
	})
	ctx, cancel := context.WithTimeout(s.T.Context(), time.Minute)
	defer cancel()
	if _, err := c.ReceiveEvents(ctx, 1, nil); err != nil {
		s.Mended("a partition client goes on reading when the claim was lost",
			"the claims' contexts in internal/balance")
	}
}

var formerOwnerWakesUp = []aCase{
	{"another instance has gone on", wakesUp},
	{"its machine comes back to the network", in(1, comesBack)},
	{"raw SDK", in(2, rawWakesUp)},
}

// wakesUp stops a process in the middle of a handler, has another consumer take over, and lets the process continue.
func wakesUp(t *testing.T) {
	s := onSockets(t, 1)
	s.Send(20, "0")
	old := start(s, childOptions{Name: "old", CheckpointCount: 1, BlockAt: 5})
	s.UntilCheckpoint("0", 4)
	s.Until("a handler is running", func() bool { return s.Tally.HasCome("0", 5) })
	pause(old)
	o := quick()
	o.CheckpointCount = 1
	next := s.Receive("next", o, scene.Nothing)
	s.UntilHandled()
	s.UntilCheckpoint("0", 19)
	old.unblock()
	resume(old)
	s.Until("the handler has returned", func() bool { _, handled := s.Tally.Times("0", 5); return handled == 2 })
	old.end()
	require.EqualValues(s.T, 19, s.Checkpoint("0"))
	s.Send(10, "0")
	s.UntilHandled()
	next.Stop()
	require.EqualValues(s.T, 29, s.Checkpoint("0"))
	require.Equal(s.T, []int64{0, 5}, s.Tally.Begins("0"))
	s.Check(1)
}

// comesBack cuts a machine off in the middle of a handler, for so long that another consumer takes over.
func comesBack(s *scene.Scene) {
	s.Send(20, "0")
	release := make(chan struct{})
	old := s.ConsumerOn(s.Host(), "old", eventhubs.ConsumerOptions{})
	old.Receive(func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber == 5 {
			await(s, release) // it ignores its context
		}
		return nil
	})
	s.UntilCheckpoint("0", 4)
	old.Host.Silence()
	next := s.Receive("next", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.UntilCheckpoint("0", 19)
	old.Host.Heal()
	close(release)
	s.Until("the handler has returned", func() bool { _, handled := s.Tally.Times("0", 5); return handled == 2 })
	s.Send(10, "0")
	s.UntilHandled()
	require.GreaterOrEqual(s.T, s.Checkpoint("0"), int64(19), "it never moves backwards")
	s.UntilCheckpoint("0", 29)
	old.Stop()
	next.Stop()
	require.EqualValues(s.T, 29, s.Checkpoint("0"))
	s.Check(15) // the old owner handles what it has read: to it, storage seems to be down
}

// rawWakesUp records what the SDK does: it writes a checkpoint whatever the store holds.
func rawWakesUp(s *scene.Scene) {
	s.Send(10, "0", "1")
	first := s.Raw("old", scene.Group, s.RawStore(), earliest)
	old := map[string]*azeventhubs.ProcessorPartitionClient{}
	begun := map[string]*azeventhubs.ReceivedEventData{}
	for range 2 {
		c := first.Partition()
		old[c.PartitionID()], begun[c.PartitionID()] = c, first.Next(c)
	}
	second := s.Raw("next", scene.Group, s.RawStore(), earliest)
	next := second.Partition() // takes its share
	id := next.PartitionID()
	last := second.Next(next)
	for last.SequenceNumber < 9 {
		last = second.Next(next)
	}
	require.NoError(s.T, next.UpdateCheckpoint(s.T.Context(), last, nil))
	require.EqualValues(s.T, 9, s.CheckpointIn(first.Store, id))
	err := old[id].UpdateCheckpoint(s.T.Context(), begun[id], nil)
	if err != nil || s.CheckpointIn(first.Store, id) != 0 {
		s.Mended("an old checkpoint takes the place of a newer one", "SetCheckpoint in internal/checkpoint")
	}
}
