package eventhubs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

func processIsKilled(t *testing.T) {
	cases(t, []guaranteeCase{
		{"while its handlers run", func(t *testing.T) {
			s := newScene(t, 2)
			s.send("0", 40)
			s.send("1", 40)
			killed := s.process(childOptions{Name: "killed", CheckpointCount: 10, BlockAt: 25})
			s.until("handlers run in both partitions", func() bool { return s.hasCome("0", 25) && s.hasCome("1", 25) })
			// The partitions are idle but for those events, so all before them gets covered.
			s.until("what was handled is covered", func() bool { return s.checkpoint("0") >= 24 && s.checkpoint("1") >= 24 })
			killed.kill()
			takenOver(t, s, []int64{24, 24})
		}},
		{"while events come", func(t *testing.T) {
			s := newScene(t, 2)
			s.send("0", 400)
			s.send("1", 400)
			killed := s.process(childOptions{Name: "killed", CheckpointCount: 10, BlockAt: -1})
			s.until("some events are handled", func() bool { return s.hasCome("0", 100) && s.hasCome("1", 100) })
			killed.kill()
			s.send("0", 1) // it may have been quick
			s.send("1", 1)
			takenOver(t, s, []int64{s.furthest["0"], s.furthest["1"]})
		}},
	})
}

// takenOver has a consumer go on where a process was killed that had completed the events up to the given ones.
func takenOver(t *testing.T, s *scene, completed []int64) {
	repeated := 0
	var stored []int64
	for i, id := range []string{"0", "1"} {
		stored = append(stored, s.checkpoint(id))
		repeated += int(completed[i] - stored[i])
	}
	require.Equal(t, "killed", s.owner("0"), "nobody has given it back")
	r := s.receive("next", quick(), nothing)
	s.untilAll()
	r.stop()
	require.Equal(t, []int64{0, stored[0] + 1}, s.begins("0"), "from the last checkpoint")
	require.Equal(t, []int64{0, stored[1] + 1}, s.begins("1"))
	s.require(t, 0, max(repeated, 0), 0)
}

func ownershipMoves(t *testing.T) {
	cases(t, []guaranteeCase{
		{"to a second consumer", moves},
		{"in the store alone", movesInTheStore},
		{"to a reader with a higher epoch", movesByEpoch},
		{"back and forth", movesBackAndForth},
		{"raw SDK", rawMoves},
	})
}

// moves has a consumer join while handlers of the first one are running.
func moves(t *testing.T) {
	s := newScene(t, 2)
	s.send("0", 10)
	s.send("1", 10)
	o := quick()
	o.CheckpointCount = 1
	release, lost := make(chan struct{}), make(chan string, 2)
	first := s.receive("first", o, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber < 5 {
			return nil
		}
		select {
		case <-release:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), eventhubs.ErrOwnershipLost) {
				lost <- e.PartitionID
			}
		}
		return nil // it takes no notice, and says that the event is processed
	})
	s.untilCheckpoint("0", 4)
	s.untilCheckpoint("1", 4)
	goOn := make(chan struct{})
	second := s.receive("second", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		<-goOn
		return nil
	})
	moved := take(t, lost)
	kept := map[string]string{"0": "1", "1": "0"}[moved]
	s.until("the second consumer has the event that was in flight", func() bool { came, handled := s.times(moved, 5); return came == 2 && handled == 1 })
	close(release)
	s.until("the first consumer goes on with what it has kept", func() bool { _, handled := s.times(kept, 9); return handled == 1 })
	first.stop()
	require.EqualValues(t, 9, s.checkpoint(kept))
	require.EqualValues(t, 4, s.checkpoint(moved), "no checkpoint of ours is written after the loss")
	close(goOn)
	s.untilAll()
	second.stop()
	require.EqualValues(t, 9, s.checkpoint(moved))
	s.require(t, 0, 1, 0)
}

// takeInStore has somebody claim a partition who never opens a link.
func takeInStore(t *testing.T, s *scene, store eventhubs.CheckpointStore, partition string) {
	t.Helper()
	s.until("the claim is taken", func() bool { // it may be renewed at the same moment
		o := s.ownership(store, "$Default")[partition]
		o.OwnerID = "thief"
		claimed, err := store.ClaimOwnership(t.Context(), []azeventhubs.Ownership{o}, nil)
		require.NoError(t, err)
		return len(claimed) == 1
	})
}

// movesInTheStore has the claim be taken, and no link: nothing but the store tells of it.
func movesInTheStore(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 10)
	o := quick()
	o.CheckpointCount = 1
	lost := make(chan error, 1)
	var stolen atomic.Bool
	r := s.receive("owner", o, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		switch {
		case !stolen.Load() && e.SequenceNumber == 5:
			<-ctx.Done()
			lost <- context.Cause(ctx)
			return ctx.Err()
		case stolen.Load() && s.owner("0") != "owner":
			return eventhubs.Stop(errors.New("an event came while the partition was somebody else's"))
		}
		return nil
	})
	s.untilCheckpoint("0", 4)
	s.until("a handler is running", func() bool { return s.hasCome("0", 5) })
	takeInStore(t, s, s.store, "0")
	require.ErrorIs(t, take(t, lost), eventhubs.ErrOwnershipLost)
	stolen.Store(true)
	s.send("0", 10)
	s.untilAll() // the thief doesn't renew its claim
	r.stop()
	require.Equal(t, []int64{0, 5}, s.begins("0"))
	require.EqualValues(t, 19, s.checkpoint("0"))
	s.require(t, 0, 0, 0)
}

// movesByEpoch has the link be taken, and no claim: the store knows nothing of it.
func movesByEpoch(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 10)
	o := quick()
	o.CheckpointCount = 1
	r := s.receive("owner", o, nothing)
	s.untilAll()
	s.untilCheckpoint("0", 9)
	client, err := azeventhubs.NewConsumerClientFromConnectionString(s.cfg.ConnectionString, "", "$Default", nil)
	require.NoError(t, err)
	thief, err := client.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: earliest, OwnerLevel: ptr(int64(7))})
	require.NoError(t, err)
	_, err = thief.ReceiveEvents(t.Context(), 1, nil)
	require.NoError(t, err)
	s.until("the loss is noticed", func() bool { return s.log.count("another consumer has taken the partition over") > 0 })
	s.send("0", 10)
	require.NoError(t, thief.Close(t.Context()))
	require.NoError(t, client.Close(t.Context()))
	s.untilAll()
	r.stop()
	require.Equal(t, []int64{0, 10}, s.begins("0"))
	s.require(t, 0, 0, 0)
}

// movesBackAndForth has consumers come and go while events come. None is killed, so nothing is repeated but what was in flight at each move.
func movesBackAndForth(t *testing.T) {
	s := newScene(t, 4)
	ids := []string{"0", "1", "2", "3"}
	o := quick()
	o.CheckpointInterval = 50 * time.Millisecond
	stay := s.receive("stays", o, nothing)
	for range 3 {
		guest := s.receive("guest", o, nothing)
		s.until("the guest has its share", func() bool {
			n := 0
			for _, o := range s.ownership(s.store, "$Default") {
				if o.OwnerID == "guest" {
					n++
				}
			}
			return n == 2
		})
		for _, id := range ids {
			s.send(id, 20)
		}
		s.untilAll()
		guest.stop()
	}
	for _, id := range ids { // what was handled, but not covered when its partition moved, comes again first
		s.untilCheckpoint(id, 59)
	}
	stay.stop()
	moves := -len(ids) // how often a partition was taken, but for the first time
	for _, id := range ids {
		moves += len(s.begins(id))
	}
	s.require(t, 0, 20*moves, 0) // a move happens when all is handled, but perhaps not yet covered
}

// rawMoves records SDK-FACTS 6: nobody is told that a claim was lost, and reading goes on.
func rawMoves(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 1)
	r := s.raw("owner", "$Default", earliest)
	c := r.partition(t)
	rawEvent(t, c)
	takeInStore(t, s, r.store, "0")
	s.send("0", 1)
	// The Processor has looked who owns what, and its claim has been refused, when it takes the partition again that the thief doesn't renew.
	s.until("the Processor has seen the loss", func() bool { return s.ownership(r.store, "$Default")["0"].OwnerID == "owner" })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.ReceiveEvents(ctx, 1, nil); err != nil {
		mended(t, "a partition client goes on reading when the claim was lost", "what account in internal/lease does")
	}
}

// exOwnerWakesUp stops a process in the middle of a handler, has another consumer take over, and lets it go on.
func exOwnerWakesUp(t *testing.T) {
	cases(t, []guaranteeCase{
		{"another instance has gone on", func(t *testing.T) {
			s := newScene(t, 1)
			s.send("0", 20)
			old := s.process(childOptions{Name: "old", CheckpointCount: 1, BlockAt: 5})
			s.untilCheckpoint("0", 4)
			s.until("a handler is running", func() bool { return s.hasCome("0", 5) })
			old.pause()
			o := quick()
			o.CheckpointCount = 1
			next := s.receive("next", o, nothing)
			s.untilAll()
			s.untilCheckpoint("0", 19)
			old.unblock()
			old.resume()
			s.until("the handler has returned", func() bool { _, handled := s.times("0", 5); return handled == 2 })
			old.end()
			require.EqualValues(t, 19, s.checkpoint("0"))
			s.send("0", 10)
			s.untilAll()
			next.stop()
			require.EqualValues(t, 29, s.checkpoint("0"))
			require.Equal(t, []int64{0, 5}, s.begins("0"))
			s.require(t, 0, 1, 0)
		}},
		{"raw SDK", rawWakesUp},
	})
}

// rawWakesUp records SDK-FACTS 5: a checkpoint is written whatever the store holds.
func rawWakesUp(t *testing.T) {
	s := newScene(t, 2)
	s.send("0", 10)
	s.send("1", 10)
	first := s.raw("old", "$Default", earliest)
	old := map[string]*azeventhubs.ProcessorPartitionClient{}
	begun := map[string]*azeventhubs.ReceivedEventData{}
	for range 2 {
		c := first.partition(t)
		old[c.PartitionID()], begun[c.PartitionID()] = c, rawEvent(t, c)
	}
	next := s.raw("next", "$Default", earliest).partition(t) // takes its share
	id := next.PartitionID()
	last := rawEvent(t, next)
	for last.SequenceNumber < 9 {
		last = rawEvent(t, next)
	}
	require.NoError(t, next.UpdateCheckpoint(t.Context(), last, nil))
	require.EqualValues(t, 9, checkpoint(t, s.srv, first.store, id))
	if err := old[id].UpdateCheckpoint(t.Context(), begun[id], nil); err != nil || checkpoint(t, s.srv, first.store, id) != 0 {
		mended(t, "an old checkpoint takes the place of a newer one", "the comparison in internal/checkpoint, SetCheckpoint")
	}
}
