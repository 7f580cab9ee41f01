package eventhubs_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// partition returns the status of a partition, which has to be held.
func partition(t testing.TB, c *eventhubs.Consumer, id string) eventhubs.PartitionStatus {
	t.Helper()
	for _, p := range c.Partitions() {
		if p.PartitionID == id {
			return p
		}
	}
	t.Fatalf("partition %s is not held", id)
	return eventhubs.PartitionStatus{}
}

// TestPartitions follows three events of a partition, of which the second fails once and then takes a minute.
func TestPartitions(t *testing.T) {
	t.Parallel()
	scene.In(t, 12, func(s *scene.Scene) {
		s.Send(3, "0")
		began := time.Now()
		const pause, takes = 20 * time.Second, time.Minute
		r := s.Consumer("only", eventhubs.ConsumerOptions{
			LagInterval: 5 * time.Second, Backoff: func(int, error) time.Duration { return pause },
		})
		require.Equal(s.T, []eventhubs.PartitionStatus{}, r.Consumer.Partitions(), "Receive isn't running")
		r.Receive(func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			switch {
			case e.SequenceNumber == 1 && e.Attempt == 1:
				return errors.New("not yet")
			case e.SequenceNumber == 1:
				time.Sleep(takes)
			}
			return nil
		})

		s.UntilCheckpoint("0", 0)
		time.Sleep(5 * time.Second)
		p := partition(s.T, r.Consumer, "0")
		require.WithinRange(s.T, p.Since, began, time.Now())
		require.EqualValues(s.T, 0, p.Handled.SequenceNumber)
		require.WithinRange(s.T, p.Handled.At, p.Since, time.Now())
		require.EqualValues(s.T, 0, p.Checkpoint.SequenceNumber)
		require.WithinRange(s.T, p.Checkpoint.At, p.Handled.At.Add(time.Second), time.Now())
		require.Equal(s.T, &eventhubs.AttemptStatus{Number: 1, SequenceNumber: 1}, p.Attempt, "it has failed")
		require.Equal(s.T, &eventhubs.FailureStatus{Since: p.HandlerFailure.Since, Error: "not yet"}, p.HandlerFailure)
		require.WithinRange(s.T, p.HandlerFailure.Since, p.Handled.At, time.Now())
		require.Contains(s.T, []int{1, 2}, p.Fetched, "the last event may be fetched later")
		require.EqualValues(s.T, 2, p.Lag.Events)
		require.EqualValues(s.T, 2, p.Lag.LastEnqueuedSequenceNumber)
		require.WithinRange(s.T, p.Lag.AsOf, time.Now().Add(-10*time.Second), time.Now())
		require.Nil(s.T, p.Reading)
		require.Nil(s.T, p.Checkpointing)

		time.Sleep(pause)
		second := partition(s.T, r.Consumer, "0")
		require.Equal(s.T, p.HandlerFailure.Since.Add(pause), second.Attempt.Since)
		require.Equal(s.T, 2, second.Attempt.Number)
		require.EqualValues(s.T, 1, second.Attempt.SequenceNumber)

		s.UntilCheckpoint("0", 2)
		time.Sleep(5 * time.Second)
		last := partition(s.T, r.Consumer, "0")
		require.EqualValues(s.T, 2, last.Handled.SequenceNumber)
		require.Equal(s.T, second.Attempt.Since.Add(takes), last.Handled.At)
		require.Nil(s.T, last.Attempt)
		require.Zero(s.T, last.Fetched)
		require.Zero(s.T, last.Lag.Events)
		require.Equal(s.T, p.HandlerFailure, last.HandlerFailure, "it is kept")

		idle := partition(s.T, r.Consumer, "11")
		require.Equal(s.T, eventhubs.PartitionStatus{
			PartitionID: "11", Since: idle.Since,
			Lag: &eventhubs.LagStatus{Events: 0, LastEnqueuedSequenceNumber: -1, AsOf: idle.Lag.AsOf},
		}, idle, "an empty partition")
		for i, p := range r.Consumer.Partitions() {
			require.Equal(s.T, strconv.Itoa(i), p.PartitionID)
		}
		r.Stop()
		require.Equal(s.T, []eventhubs.PartitionStatus{}, r.Consumer.Partitions(), "Receive has returned")
	})
}

// takeAway claims a partition as another SDK does, without asking.
func takeAway(t testing.TB, s *scene.Scene, partition string) {
	t.Helper()
	record := s.Ownership(s.Store, scene.Group)[partition]
	record.OwnerID = "somebody else"
	claimed, err := s.Store.ClaimOwnership(t.Context(), []azeventhubs.Ownership{record}, nil)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
}

// TestPartitionsLost has a partition be taken away: it isn't shown any more, though its handler still runs. When it
// comes back, nothing is known of it, and it waits for that handler.
func TestPartitionsLost(t *testing.T) {
	t.Parallel()
	scene.In(t, 1, func(s *scene.Scene) {
		s.Send(2, "0")
		release := make(chan struct{})
		let := sync.OnceFunc(func() { close(release) })
		defer let()
		r := s.Receive("only", eventhubs.ConsumerOptions{}, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 1 {
				<-release
			}
			return ctx.Err()
		})
		s.UntilCheckpoint("0", 0)
		before := partition(s.T, r.Consumer, "0")
		require.Equal(s.T, 1, before.Attempt.Number)
		takeAway(s.T, s, "0")
		s.Until("the partition is lost", func() bool { return len(r.Consumer.Partitions()) == 0 })
		require.Equal(s.T, 1, s.Log.Count("level=INFO", "partition lost", "owner=only", "partition=0"))
		require.Equal(s.T, eventhubs.StateIdle, r.Consumer.Status().State)
		s.Until("the partition is taken again", func() bool { return len(r.Consumer.Partitions()) == 1 })
		time.Sleep(10 * time.Second)
		require.True(s.T, partition(s.T, r.Consumer, "0").Since.After(before.Since))
		let()
		s.UntilHandled()
		after := partition(s.T, r.Consumer, "0")
		require.Nil(s.T, after.Checkpoint)
		require.Nil(s.T, after.HandlerFailure)
		s.Check(0)
	})
}

// TestStatus follows a Consumer through its states.
func TestStatus(t *testing.T) {
	t.Parallel()
	scene.In(t, 2, func(s *scene.Scene) {
		r := s.Consumer("first", eventhubs.ConsumerOptions{})
		state := func(r *scene.Receiver) eventhubs.State { return r.Consumer.Status().State }
		require.Equal(s.T, eventhubs.ConsumerStatus{
			State: eventhubs.StateStopped, Partitions: []eventhubs.PartitionStatus{},
		}, r.Consumer.Status())

		heal := s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Condition: "com.microsoft:server-busy"})
		r.Receive(nothing)
		time.Sleep(time.Minute)
		require.Equal(s.T, eventhubs.StateStarting, state(r), "the service does not say which partitions there are")
		heal()
		s.Until("partitions are held", func() bool { return len(r.Consumer.Partitions()) == 2 })
		require.Equal(s.T, eventhubs.StateReceiving, state(r))

		second := s.Receive("second", eventhubs.ConsumerOptions{}, nothing)
		third := s.Receive("third", eventhubs.ConsumerOptions{}, nothing)
		time.Sleep(time.Minute)
		states := map[eventhubs.State]int{}
		for _, r := range []*scene.Receiver{r, second, third} {
			states[state(r)]++
		}
		require.Equal(s.T, map[eventhubs.State]int{eventhubs.StateReceiving: 2, eventhubs.StateIdle: 1}, states)

		began := time.Now()
		heal = s.Server.BlobFault(eventhubstest.BlobFault{Code: "ServerBusy"})
		time.Sleep(40 * time.Second)
		for _, r := range []*scene.Receiver{r, second, third} {
			status := r.Consumer.Status()
			require.Equal(s.T, eventhubs.StateStoreUnreachable, status.State)
			require.WithinRange(s.T, status.Store.Since, began, began.Add(20*time.Second))
			require.NotEmpty(s.T, status.Store.Error)
			require.Equal(s.T, r.Consumer.Partitions(), status.Partitions)
		}
		heal()
		time.Sleep(time.Minute)
		for _, r := range []*scene.Receiver{r, second, third} {
			require.Nil(s.T, r.Consumer.Status().Store)
		}

		for _, r := range []*scene.Receiver{r, second, third} {
			r.Stop()
			require.Equal(s.T, eventhubs.StateStopped, state(r))
		}
	})
}

// TestStatusBeforeTheStoreAnswers has nobody know who owns what.
func TestStatusBeforeTheStoreAnswers(t *testing.T) {
	t.Parallel()
	scene.In(t, 1, func(s *scene.Scene) {
		r := s.Consumer("only", eventhubs.ConsumerOptions{})
		heal := s.Server.BlobFault(eventhubstest.BlobFault{Operation: "ListBlobs", Delay: 10 * time.Second})
		r.Receive(nothing)
		time.Sleep(5 * time.Second)
		require.Equal(s.T, eventhubs.StateStarting, r.Consumer.Status().State)
		heal()
		s.Until("a partition is held", func() bool { return r.Consumer.Status().State == eventhubs.StateReceiving })
	})
}

// TestStatusWhileTheNamespaceIsDown says since when partitions can't be read, and why, while it is so.
func TestStatusWhileTheNamespaceIsDown(t *testing.T) {
	t.Parallel()
	scene.In(t, 2, func(s *scene.Scene) {
		s.Send(1, "0", "1")
		r := s.Receive("only", eventhubs.ConsumerOptions{LagInterval: 10 * time.Second}, nothing)
		s.UntilHandled()
		time.Sleep(time.Minute)
		s.HangUp()
		resume := s.Server.IgnoreDials()
		s.Server.DropConnections()
		down := time.Now()
		time.Sleep(20 * time.Second)
		for _, p := range r.Consumer.Partitions() {
			require.WithinRange(s.T, p.Reading.Since, down, down.Add(5*time.Second)) // a dial takes as long
			require.NotEmpty(s.T, p.Reading.Error)
			require.LessOrEqual(s.T, p.Lag.AsOf, down, "the lag says how old it is")
		}
		require.Equal(s.T, eventhubs.StateReceiving, r.Consumer.Status().State)
		resume()
		s.Send(1, "0", "1")
		s.UntilHandled()
		for _, p := range r.Consumer.Partitions() {
			require.Nil(s.T, p.Reading)
		}
	})
}

func TestStatusAsJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	mark := &eventhubs.EventMark{SequenceNumber: 7, At: at}
	failure := &eventhubs.FailureStatus{Since: at, Error: "why"}
	for want, status := range map[string]any{
		`{"partition_id": "0", "since": "0001-01-01T00:00:00Z", "fetched": 0}`: eventhubs.PartitionStatus{PartitionID: "0"},
		`{
			"partition_id": "1", "since": "2026-01-02T03:04:05Z", "fetched": 3,
			"handled": {"sequence_number": 7, "at": "2026-01-02T03:04:05Z"},
			"checkpoint": {"sequence_number": 7, "at": "2026-01-02T03:04:05Z"},
			"attempt": {"number": 1, "sequence_number": 8},
			"handler_failure": {"since": "2026-01-02T03:04:05Z", "error": "why"},
			"lag": {"events": 9, "last_enqueued_sequence_number": 16, "as_of": "2026-01-02T03:04:05Z"},
			"reading": {"since": "2026-01-02T03:04:05Z", "error": "why"},
			"checkpointing": {"since": "2026-01-02T03:04:05Z", "error": "why"}
		}`: eventhubs.PartitionStatus{
			PartitionID: "1", Since: at, Handled: mark, Checkpoint: mark, Fetched: 3,
			Attempt: &eventhubs.AttemptStatus{Number: 1, SequenceNumber: 8}, HandlerFailure: failure,
			Lag:     &eventhubs.LagStatus{Events: 9, LastEnqueuedSequenceNumber: 16, AsOf: at},
			Reading: failure, Checkpointing: failure,
		},
		`{
			"state": "store unreachable", "store": {"since": "2026-01-02T03:04:05Z", "error": "why"}, "partitions": []
		}`: eventhubs.ConsumerStatus{
			State: eventhubs.StateStoreUnreachable, Store: failure, Partitions: []eventhubs.PartitionStatus{},
		},
	} {
		text, err := json.Marshal(status)
		require.NoError(t, err)
		require.JSONEq(t, want, string(text))
	}
}
