package eventhubsotel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func TestObserve(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.options.LagInterval = time.Second
		busy := make(chan struct{})
		r := s.receive(s.Context(), s.telemetry.Handler(func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 2 {
				<-busy
			}
			return nil
		}), nil)
		stop := s.telemetry.Observe(r.Consumer)
		s.put(eventhubs.Event{}, eventhubs.Event{})
		time.Sleep(30 * time.Second)
		require.Equal(s, 1.0, s.value("eventhubs.consumer.partitions", "messaging.destination.name", "hub",
			"messaging.consumer.group.name", "$Default", "server.address", s.address()))
		require.Equal(s, 1.0, s.value("eventhubs.consumer.state", "eventhubs.consumer.state", "receiving"))
		require.Equal(s, 0.0, s.value("eventhubs.consumer.state", "eventhubs.consumer.state", "store unreachable"))
		for _, zero := range []string{
			"lag.events", "lag.duration", "ahead", "uncovered", "fetched", "checkpoint.age", "attempt.number",
			"attempt.duration",
		} {
			require.Zero(s, s.value("eventhubs.partition."+zero, "messaging.destination.partition.id", "0"), zero)
		}

		s.put(eventhubs.Event{}, eventhubs.Event{}) // the handler hangs with the first of them
		time.Sleep(time.Minute)
		for name, want := range map[string]float64{
			"lag.events": 2, "lag.duration": 60, "ahead": 0, "uncovered": 0, "fetched": 2, "attempt.number": 1,
			"attempt.duration": 60,
		} {
			require.Equal(s, want, s.value("eventhubs.partition."+name), name)
		}
		close(busy)
		time.Sleep(30 * time.Second)
		require.Zero(s, s.value("eventhubs.partition.lag.duration"))

		require.NoError(s, r.stop())
		require.Equal(s, 1.0, s.value("eventhubs.consumer.state", "eventhubs.consumer.state", "stopped"))
		require.Empty(s, s.points("eventhubs.partition.lag.events"))
		stop()
		stop() // does no harm
		require.Empty(s, s.points("eventhubs.consumer.state"))
	})
}

func TestObserveFailures(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		blobs, err := eventhubs.NewBlobCheckpointStore(s.Context(), s.server.BlobConfig("checkpoints"))
		require.NoError(s, err)
		s.store = s.telemetry.CheckpointStore(blobs)
		r := s.receive(s.Context(), s.telemetry.Handler(func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 3 {
				return errors.New("never")
			}
			return nil
		}), nil)
		s.telemetry.Observe(r.Consumer)
		s.put(eventhubs.Event{})
		time.Sleep(time.Minute)
		repair := s.server.BlobFault(eventhubstest.BlobFault{Status: 503, Code: "ServerBusy"})
		s.put(eventhubs.Event{}, eventhubs.Event{}, eventhubs.Event{})
		time.Sleep(40 * time.Second) // the partition is held for 60
		require.Greater(s, s.value("eventhubs.store.failing.duration"), 15.0)
		require.Equal(s, 1.0, s.value("eventhubs.consumer.state", "eventhubs.consumer.state", "store unreachable"))
		require.Greater(s, s.value("eventhubs.partition.failing.duration", "eventhubs.failure", "checkpointing"), 15.0)
		require.Zero(s, s.value("eventhubs.partition.failing.duration", "eventhubs.failure", "reading"))
		require.Equal(s, 2.0, s.value("eventhubs.partition.uncovered"))
		require.Greater(s, s.value("eventhubs.partition.checkpoint.age"), 60.0)
		require.Greater(s, s.value("eventhubs.partition.attempt.number"), 5.0)
		require.Equal(s, 40.0, s.value("eventhubs.partition.lag.duration"), "it waits for its next attempt")
		repair()
		time.Sleep(time.Minute)
		require.Zero(s, s.value("eventhubs.store.failing.duration"))
		require.Zero(s, s.value("eventhubs.partition.uncovered"))
		require.Zero(s, s.value("eventhubs.partition.checkpoint.age"))
	})
}

// What the handler was at before the partition was lost is no lag once another consumer has handled it.
func TestObserveRetaken(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.store = eventhubs.NewMemoryCheckpointStore()
		s.put(eventhubs.Event{})
		r := s.receive(s.Context(), s.telemetry.Handler(func(context.Context, *eventhubs.ReceivedEvent) error {
			return errors.New("never")
		}), nil)
		s.telemetry.Observe(r.Consumer)
		time.Sleep(time.Minute)
		require.Equal(s, 60.0, s.value("eventhubs.partition.lag.duration"))
		s.steal(s.store)
		sequence, offset := int64(0), s.server.Events("hub", "0")[0].Offset
		require.NoError(s, s.store.SetCheckpoint(s.Context(), azeventhubs.Checkpoint{
			FullyQualifiedNamespace: s.namespace(), EventHubName: "hub", ConsumerGroup: "$Default", PartitionID: "0",
			SequenceNumber: &sequence, Offset: &offset,
		}, nil))
		time.Sleep(5 * time.Minute)
		require.Equal(s, 1.0, s.value("eventhubs.consumer.partitions"), "it is ours again")
		require.Zero(s, s.value("eventhubs.partition.lag.duration"))
	})
}

// A backlog of which nothing was read has an unknown age.
func TestObserveUnread(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.options.LagInterval = time.Second
		s.put(eventhubs.Event{}, eventhubs.Event{})
		r := s.receive(s.Context(), s.telemetry.Handler(succeed), nil)
		s.telemetry.Observe(r.Consumer)
		time.Sleep(time.Minute)
		require.NoError(s, r.stop())
		s.telemetry = eventhubsotel.New(s.cfg, &eventhubsotel.Options{MeterProvider: s.meters})
		s.server.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Hang: true})
		r = s.receive(s.Context(), s.telemetry.Handler(succeed), nil)
		s.telemetry.Observe(r.Consumer)
		time.Sleep(30 * time.Second)
		require.Equal(s, 2.0, s.value("eventhubs.partition.lag.events"))
		require.Empty(s, s.points("eventhubs.partition.lag.duration"))
	})
}

// With several handlers of a partition at once, the lag is that of the oldest event that one of them is at.
func TestObserveConcurrency(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		s.options.Concurrency = 4
		s.options.Key = func(e *eventhubs.ReceivedEvent) string { return string(e.Body) }
		stuck := make(chan struct{})
		r := s.receive(s.Context(), s.telemetry.Handler(func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if string(e.Body) == "a" {
				<-stuck
			}
			return nil
		}), nil)
		s.telemetry.Observe(r.Consumer)
		s.put(eventhubs.Event{Body: []byte("a")})
		time.Sleep(time.Minute)
		s.put(eventhubs.Event{Body: []byte("b")}, eventhubs.Event{Body: []byte("c")}, eventhubs.Event{Body: []byte("a")})
		time.Sleep(time.Minute)
		require.Equal(s, 120.0, s.value("eventhubs.partition.lag.duration"))
		require.Equal(s, 2.0, s.value("eventhubs.partition.ahead"))
		require.Len(s, s.named("process hub"), 2)
		close(stuck)
		time.Sleep(time.Minute)
		require.Zero(s, s.value("eventhubs.partition.lag.duration"))
		require.Len(s, s.named("process hub"), 4)
	})
}

// A partition that can't be read has an unknown lag, rather than none.
func TestObserveReadingFails(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		r := s.receive(s.Context(), s.telemetry.Handler(succeed), nil)
		s.telemetry.Observe(r.Consumer)
		s.put(eventhubs.Event{})
		time.Sleep(time.Minute)
		require.Zero(s, s.value("eventhubs.partition.lag.duration"))
		s.server.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Condition: "com.microsoft:server-busy"})
		s.server.DropConnections()
		time.Sleep(time.Minute)
		require.Greater(s, s.value("eventhubs.partition.failing.duration", "eventhubs.failure", "reading"), 50.0)
		require.Empty(s, s.points("eventhubs.partition.lag.duration"))
	})
}
