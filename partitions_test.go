package eventhubs_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// untilStatus waits until a partition's status is as it should be, and returns it.
func (s *scene) untilStatus(c *eventhubs.Consumer, partition, what string, is func(eventhubs.PartitionStatus) bool) (found eventhubs.PartitionStatus) {
	s.t.Helper()
	s.until(what, func() bool {
		for _, p := range c.Partitions() {
			if p.PartitionID == partition && is(p) {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

func TestPartitions(t *testing.T) {
	s := newScene(t, 12)
	s.send("0", 3)
	began := time.Now()
	backoff, retry, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	o := calm()
	o.Backoff = func(int, error) time.Duration { backoff <- struct{}{}; <-retry; return 0 }
	c := s.consumer(o, nil)
	require.Equal(t, []eventhubs.PartitionStatus{}, c.Partitions(), "Receive isn't running")
	r := s.receiveWith(c, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		switch {
		case e.SequenceNumber == 1 && e.Attempt == 1:
			return errors.New("not yet")
		case e.SequenceNumber == 1:
			<-release
		}
		return nil
	})

	take(t, backoff)
	p := s.untilStatus(c, "0", "the first event is covered by a checkpoint", func(p eventhubs.PartitionStatus) bool { return p.CheckpointSequenceNumber == 0 })
	require.True(t, p.Open)
	require.WithinRange(t, p.Since, began, time.Now())
	require.Zero(t, p.HandledSequenceNumber)
	require.WithinRange(t, p.HandledAt, p.Since, time.Now())
	require.WithinRange(t, p.CheckpointAt, p.HandledAt, time.Now())
	require.Equal(t, 1, p.Attempt)
	require.Zero(t, p.AttemptSince, "it has failed")
	require.EqualValues(t, 1, p.AttemptSequenceNumber)
	require.Equal(t, "not yet", p.LastError)
	require.WithinRange(t, p.LastErrorAt, p.HandledAt, time.Now())
	require.Contains(t, []int{1, 2}, p.Fetched)

	close(retry)
	p = s.untilStatus(c, "0", "the second attempt is under way", func(p eventhubs.PartitionStatus) bool { return p.Attempt == 2 && p.Behind >= 0 })
	require.WithinRange(t, p.AttemptSince, p.LastErrorAt, time.Now())
	require.EqualValues(t, 1, p.AttemptSequenceNumber)
	require.EqualValues(t, 2, p.Behind)
	require.EqualValues(t, 2, p.LastEnqueuedSequenceNumber)
	require.WithinRange(t, p.BehindAsOf, p.Since, time.Now())

	close(release)
	p = s.untilStatus(c, "0", "all are covered by a checkpoint", func(p eventhubs.PartitionStatus) bool { return p.CheckpointSequenceNumber == 2 })
	require.EqualValues(t, 2, p.HandledSequenceNumber)
	require.Zero(t, p.Attempt)
	require.Zero(t, p.AttemptSince)
	require.EqualValues(t, -1, p.AttemptSequenceNumber)
	require.Zero(t, p.Fetched)
	require.Zero(t, p.Behind)
	require.Equal(t, "not yet", p.LastError, "it is kept")

	p = s.untilStatus(c, "11", "an empty partition is known to be read to its end", func(p eventhubs.PartitionStatus) bool { return p.Behind >= 0 })
	require.Equal(t, eventhubs.PartitionStatus{
		PartitionID: "11", Since: p.Since, Open: true, HandledSequenceNumber: -1, CheckpointSequenceNumber: -1, AttemptSequenceNumber: -1,
		LastEnqueuedSequenceNumber: -1, BehindAsOf: p.BehindAsOf,
	}, p)
	for i, p := range c.Partitions() {
		require.Equal(t, strconv.Itoa(i), p.PartitionID)
	}
	r.stop()
	require.Equal(t, []eventhubs.PartitionStatus{}, c.Partitions(), "Receive has returned")
}

// TestPartitionsUnopened has the service refuse to let a partition be read: it is held, and that nobody reads it can be seen.
func TestPartitionsUnopened(t *testing.T) {
	s := newScene(t, 2)
	s.send("1", 1)
	allow := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Partition: "0", Condition: "com.microsoft:server-busy"})
	c := s.consumer(calm(), nil)
	s.receiveWith(c, nothing)
	s.untilAll()
	p := s.untilStatus(c, "0", "the partition is held", func(eventhubs.PartitionStatus) bool { return true })
	require.False(t, p.Open)
	allow()
	s.untilStatus(c, "0", "the partition is read", func(p eventhubs.PartitionStatus) bool { return p.Open })
}

// TestPartitionsLost has another consumer take a partition over: it isn't shown any more, though its handler still runs. When it comes back, nothing is known of it.
func TestPartitionsLost(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 2)
	release := make(chan struct{})
	defer close(release)
	c := s.consumer(quick(), nil)
	s.receiveWith(c, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber == 1 {
			<-release
		}
		return ctx.Err()
	})
	before := s.untilStatus(c, "0", "the handler runs", func(p eventhubs.PartitionStatus) bool {
		return p.CheckpointSequenceNumber == 0 && p.AttemptSequenceNumber == 1
	})
	takeInStore(t, s, s.store, "0")
	s.until("the partition is lost", func() bool { return len(c.Partitions()) == 0 })
	release <- struct{}{}
	after := s.untilStatus(c, "0", "the handler runs again", func(p eventhubs.PartitionStatus) bool { return p.Attempt == 1 })
	require.True(t, after.Since.After(before.Since))
	require.EqualValues(t, -1, after.HandledSequenceNumber)
	require.EqualValues(t, -1, after.CheckpointSequenceNumber)
	require.Empty(t, after.LastError)
	require.Equal(t, 1, s.log.count("level=INFO", "another consumer has taken a partition over", "event_hub=hub", "group=$Default", "owner=only", "partition=0"))
}

func TestPartitionStatusAsJSON(t *testing.T) {
	text, err := json.Marshal(eventhubs.PartitionStatus{PartitionID: "0", HandledSequenceNumber: -1, CheckpointSequenceNumber: -1, AttemptSequenceNumber: -1, Behind: -1, LastEnqueuedSequenceNumber: -1})
	require.NoError(t, err)
	require.JSONEq(t, `{
		"partition_id": "0", "since": "0001-01-01T00:00:00Z", "open": false, "handled_sequence_number": -1, "checkpoint_sequence_number": -1, "fetched": 0,
		"attempt": 0, "attempt_sequence_number": -1, "last_error": "", "behind": -1, "last_enqueued_sequence_number": -1
	}`, string(text))
}

// TestBehindBeforeTheFirstEvent holds events up, so that all that is known is where reading began.
func TestBehindBeforeTheFirstEvent(t *testing.T) {
	const unknown = -1
	fromTime := azeventhubs.StartPosition{EnqueuedTime: ptr(time.Unix(0, 0))}
	for name, tc := range map[string]struct {
		events     int
		start      azeventhubs.StartPosition
		checkpoint int64 // -1: none
		want       int64
	}{
		"the earliest event":              {events: 5, checkpoint: -1, want: 5},
		"the latest event":                {events: 5, start: azeventhubs.StartPosition{Latest: ptr(true)}, checkpoint: -1, want: 0},
		"a checkpoint":                    {events: 5, checkpoint: 1, want: 3},
		"a time":                          {events: 5, start: fromTime, checkpoint: -1, want: unknown},
		"a time, where there is no event": {start: fromTime, checkpoint: -1, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 1)
			if tc.events > 0 {
				s.send("0", tc.events)
			}
			if tc.checkpoint >= 0 {
				require.NoError(t, s.store.SetCheckpoint(t.Context(), azeventhubs.Checkpoint{
					FullyQualifiedNamespace: s.namespace(), EventHubName: "hub", ConsumerGroup: "$Default", PartitionID: "0",
					SequenceNumber: &tc.checkpoint, Offset: ptr(s.srv.Events("hub", "0")[tc.checkpoint].Offset),
				}, nil))
			}
			s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Delay: time.Hour})
			o := calm()
			o.Start.Default = tc.start
			c := s.consumer(o, nil)
			s.receiveWith(c, nothing)
			p := s.untilStatus(c, "0", "the end is known", func(p eventhubs.PartitionStatus) bool { return !p.BehindAsOf.IsZero() })
			require.EqualValues(t, tc.want, p.Behind)
			require.EqualValues(t, tc.events-1, p.LastEnqueuedSequenceNumber)
			require.EqualValues(t, -1, p.HandledSequenceNumber)
		})
	}
}

// TestBehindAtTheFirstEvent begins where only the first event tells where that is.
func TestBehindAtTheFirstEvent(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 5)
	o := calm()
	o.Start.Default = azeventhubs.StartPosition{SequenceNumber: ptr(int64(2))}
	release := make(chan struct{})
	defer close(release)
	c := s.consumer(o, nil)
	s.receiveWith(c, func(context.Context, *eventhubs.ReceivedEvent) error { <-release; return nil })
	p := s.untilStatus(c, "0", "the end is known", func(p eventhubs.PartitionStatus) bool { return p.Attempt == 1 && !p.BehindAsOf.IsZero() })
	require.EqualValues(t, 3, p.AttemptSequenceNumber)
	require.EqualValues(t, 2, p.Behind)
}

// TestBehindDoesNotCountWhatHasExpired begins at the earliest event, which isn't the first that there was.
func TestBehindDoesNotCountWhatHasExpired(t *testing.T) {
	s := newSceneOn(t, eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}, RetentionBytes: 1 << 10})
	for range 10 {
		s.send("0", 10)
	}
	left := len(s.srv.Events("hub", "0"))
	require.Less(t, left, 100)
	s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Delay: time.Hour})
	c := s.consumer(calm(), nil)
	s.receiveWith(c, nothing)
	p := s.untilStatus(c, "0", "the end is known", func(p eventhubs.PartitionStatus) bool { return !p.BehindAsOf.IsZero() })
	require.EqualValues(t, left, p.Behind)
}
