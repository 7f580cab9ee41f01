package receive_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// soon is how long the first event to cover waits, and interval the default CheckpointInterval.
const soon, interval = time.Second, 10 * time.Second

const written = "checkpoint written"

// failCheckpoints has the writing of checkpoints fail until heal is called.
func (s *scene) failCheckpoints(f eventhubstest.BlobFault) (heal func()) {
	f.NameContains = "/checkpoint/"
	return s.failWrites(f)
}

// failWrites has the writing of blobs fail.
func (s *scene) failWrites(f eventhubstest.BlobFault) (heal func()) {
	var heals []func()
	for _, f.Operation = range []string{"PutBlob", "SetBlobMetadata"} {
		heals = append(heals, s.srv.BlobFault(f))
	}
	return func() {
		for _, h := range heals {
			h()
		}
	}
}

// TestFirstEventIsCoveredSoon has an event come to a partition that was just taken, and others after long silence.
func TestFirstEventIsCoveredSoon(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		for i, idle := range []time.Duration{0, interval + time.Second, time.Hour} {
			time.Sleep(idle)
			s.send("0", 1)
			s.untilHandled(margin, "0", i+1)
			took := s.until(soon+margin, "it is covered", func() bool { return s.checkpoint("0") == int64(i) })
			require.InDelta(s, soon, took, float64(200*time.Millisecond))
			covered := r.partition("0").Checkpoint
			require.EqualValues(s, i, covered.SequenceNumber)
			require.Less(s, time.Since(covered.At), 200*time.Millisecond)
		}
	})
}

// TestCheckpointsArePaced has an event come every second for five minutes.
func TestCheckpointsArePaced(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		send := s.steady()
		began := time.Now()
		for range 100 {
			send("0")
			time.Sleep(time.Second)
		}
		lines := s.log.find(written)
		require.InDelta(s, float64(time.Since(began)/interval), len(lines), 3)
		for i := range lines[1:] {
			require.GreaterOrEqual(s, lines[i+1].at.Sub(lines[i].at), interval)
			require.Less(s, lines[i+1].at.Sub(lines[i].at), interval+2*time.Second)
		}
	})
}

// TestCheckpointInterval is shorter than a second.
func TestCheckpointInterval(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.receive("one", eventhubs.ConsumerOptions{CheckpointInterval: 100 * time.Millisecond}, nothing)
		s.send("0", 1)
		s.untilHandled(margin, "0", 1)
		s.until(200*time.Millisecond, "the event is covered", func() bool { return s.checkpoint("0") == 0 })
	})
}

// TestCheckpointCount has a checkpoint be written for every third event at once, and for what is left later.
func TestCheckpointCount(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.receive("one", eventhubs.ConsumerOptions{CheckpointCount: 3, CheckpointInterval: 10 * time.Minute}, nothing)
		s.send("0", 1)
		s.untilHandled(margin, "0", 1)
		s.until(soon+margin, "the first event is covered", func() bool { return s.checkpoint("0") == 0 })
		for i := range int64(3) {
			for range 2 {
				s.send("0", 1)
				time.Sleep(10 * time.Second)
			}
			require.Equal(s, 3*i, s.checkpoint("0"), "two events are not enough")
			s.send("0", 1)
			s.until(margin, "a third is", func() bool { return s.checkpoint("0") == 3*i+3 })
		}
		s.send("0", 1)
		s.until(10*time.Minute+margin, "what is left is covered too", func() bool { return s.checkpoint("0") == 10 })
	})
}

// TestCheckpointWhileAHandlerRuns covers what came before the event at hand.
func TestCheckpointWhileAHandlerRuns(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		release := make(chan struct{})
		s.send("0", 3)
		r := s.receive("one", eventhubs.ConsumerOptions{}, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 2 {
				<-release
			}
			return nil
		})
		s.untilHandled(margin, "0", 2)
		s.until(soon+margin, "they are covered", func() bool { return s.checkpoint("0") == 1 })
		close(release)
		s.untilHandled(margin, "0", 3)
		r.stop()
		require.EqualValues(s, 2, s.checkpoint("0"), "the last checkpoint waits for no interval")
	})
}

// slowStore takes a second for a checkpoint, or does what set says.
type slowStore struct {
	eventhubs.CheckpointStore
	writes atomic.Int64
	set    func(ctx context.Context, call int64) error // nil: nothing
}

func (s *slowStore) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions,
) error {
	call := s.writes.Add(1)
	if s.set == nil {
		time.Sleep(time.Second)
	} else if err := s.set(ctx, call); err != nil {
		return err
	}
	return s.CheckpointStore.SetCheckpoint(ctx, c, o)
}

// TestStopWhileACheckpointIsWritten waits for it, and writes no other one if it covers all.
func TestStopWhileACheckpointIsWritten(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		store := &slowStore{CheckpointStore: s.store}
		s.store = store
		s.send("0", 3)
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.untilHandled(margin, "0", 3)
		s.until(soon+margin, "a write has begun", func() bool { return store.writes.Load() == 1 })
		require.EqualValues(s, none, s.checkpoint("0"))
		r.stop()
		require.EqualValues(s, 2, s.checkpoint("0"))
		require.EqualValues(s, 1, store.writes.Load())
	})
}

// TestStopWhileACheckpointHangs gives that one up, and writes it again.
func TestStopWhileACheckpointHangs(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		store := &slowStore{CheckpointStore: s.store, set: func(ctx context.Context, call int64) error {
			if call == 1 {
				<-ctx.Done()
			}
			return ctx.Err()
		}}
		s.store = store
		s.send("0", 3)
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.untilHandled(margin, "0", 3)
		s.until(soon+margin, "a write has begun", func() bool { return store.writes.Load() == 1 })
		require.Less(s, r.stop(), 3*time.Second)
		require.EqualValues(s, 2, s.checkpoint("0"))
	})
}

// TestNoCheckpointAfterAClaimHasExpired has claims not be renewed, so that any consumer may take the partition.
func TestNoCheckpointAfterAClaimHasExpired(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 1)
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.until(margin, "it is covered", func() bool { return s.checkpoint("0") == 0 })
		heal := s.failWrites(eventhubstest.BlobFault{NameContains: "/ownership/", Status: 503, Code: "ServerBusy"})
		time.Sleep(2 * time.Minute)
		s.send("0", 1)
		s.untilHandled(margin, "0", 2)
		time.Sleep(time.Minute)
		require.EqualValues(s, 0, s.checkpoint("0"))
		require.Contains(s, r.partition("0").Checkpointing.Error, "not held for certain")
		heal()
		s.until(time.Minute, "it is covered too", func() bool { return s.checkpoint("0") == 1 })
	})
}

// TestLossCutsOffACheckpoint that is being written, so that it cannot arrive after those of the new owner.
func TestLossCutsOffACheckpoint(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		var began, ended atomic.Int64
		s.store = &slowStore{CheckpointStore: s.store, set: func(ctx context.Context, _ int64) error {
			began.Add(1)
			<-ctx.Done()
			ended.Add(1)
			return ctx.Err()
		}}
		s.send("0", 3)
		s.receive("one", eventhubs.ConsumerOptions{UpdateInterval: time.Second}, nothing)
		s.untilHandled(margin, "0", 3)
		s.until(soon+margin, "a write has begun", func() bool { return began.Load() == 1 })
		s.steal("0")
		s.until(3*time.Second, "it is cut off", func() bool { return ended.Load() == 1 })
	})
}

// TestCheckpointCountWhileTheStoreFails is retried after CheckpointInterval, and not at once.
func TestCheckpointCountWhileTheStoreFails(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		store := &slowStore{CheckpointStore: s.store, set: func(context.Context, int64) error { return errors.New("no") }}
		s.store = store
		s.send("0", 3)
		r := s.receive("one", eventhubs.ConsumerOptions{CheckpointCount: 1}, nothing)
		s.untilHandled(margin, "0", 3)
		time.Sleep(time.Minute)
		require.InDelta(s, 6, store.writes.Load(), 2)
		r.cancel()
	})
}

// TestCheckpointsFail has the store refuse checkpoints, or not answer, for a while.
func TestCheckpointsFail(t *testing.T) {
	for name, c := range map[string]struct {
		fault eventhubstest.BlobFault
		why   string
	}{
		"busy":      {eventhubstest.BlobFault{Status: 503, Code: "ServerBusy"}, "the storage account is busy"},
		"forbidden": {eventhubstest.BlobFault{Code: "AuthorizationFailure"}, "not authorized"},
		"hanging":   {eventhubstest.BlobFault{Hang: true}, "context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
				heal := s.failCheckpoints(c.fault)
				s.send("0", 1)
				s.untilHandled(margin, "0", 1)
				began := time.Now()
				send := s.steady()
				for range 10 {
					send("0")
					time.Sleep(30 * time.Second)
				}
				require.Equal(s, sequences(0, 11), s.handledOf("0"), "reading continues")
				failing := r.partition("0").Checkpointing
				require.NotNil(s, failing)
				require.Contains(s, failing.Error, c.why)
				require.InDelta(s, time.Since(began), time.Since(failing.Since), float64(25*time.Second))
				require.Nil(s, r.partition("0").Reading)
				require.Nil(s, r.partition("1").Checkpointing)
				told := s.log.count("level=WARN", "a checkpoint could not be written", "partition=0", c.why)
				require.LessOrEqual(s, told, 5, "at growing intervals")
				require.GreaterOrEqual(s, told, 3)

				heal()
				s.until(40*time.Second, "all is covered", func() bool { return s.checkpoint("0") == 10 })
				require.Equal(s, 1, s.log.count("level=INFO", "checkpoints can be written again", "partition=0"))
				require.Nil(s, r.partition("0").Checkpointing)
				require.Less(s, r.stop(), margin)
			})
		})
	}
}

// TestCheckpointsDoNotMoveBack has a consumer be replaced by another one that is further.
func TestCheckpointsDoNotMoveBack(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 5)
		s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.untilHandled(margin, "0", 5)
		s.setCheckpoint("0", 100, "100000")
		s.send("0", 1)
		time.Sleep(time.Minute)
		require.EqualValues(s, 100, s.checkpoint("0"))
	})
}
