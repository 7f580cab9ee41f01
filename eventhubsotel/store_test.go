package eventhubsotel_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/eventhubstest/storetest"
)

func TestCheckpointStore(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		blobs, err := eventhubs.NewBlobCheckpointStore(s.Context(), s.server.BlobConfig("checkpoints"))
		require.NoError(s, err)
		s.store = s.telemetry.CheckpointStore(blobs)
		r := s.receive(s.Context(), s.telemetry.Handler(succeed), nil)
		s.put(eventhubs.Event{})
		time.Sleep(30 * time.Second)
		repair := s.server.BlobFault(eventhubstest.BlobFault{Status: 503, Code: "ServerBusy"})
		s.put(eventhubs.Event{})
		time.Sleep(5 * time.Minute)
		repair()
		time.Sleep(5 * time.Minute)
		require.NoError(s, r.stop())

		spans := s.named("checkpoint hub")
		span := spans[0]
		require.Equal(s, trace.SpanKindClient, span.SpanKind)
		require.Equal(s, codes.Unset, span.Status.Code)
		got := attributes(span.Attributes)
		delete(got, "server.port")
		require.Equal(s, map[string]any{
			"messaging.system": "eventhubs", "messaging.operation.name": "checkpoint", "messaging.operation.type": "settle",
			"messaging.destination.name": "hub", "messaging.destination.partition.id": "0",
			"messaging.consumer.group.name": "$Default", "server.address": s.address(),
		}, got)
		require.Equal(s, codes.Error, spans[1].Status.Code)
		require.Equal(s, "ServerBusy", attributes(spans[1].Attributes)["error.type"])
		require.Equal(s, codes.Unset, spans[len(spans)-1].Status.Code)

		s.value("messaging.client.operation.duration", "messaging.operation.name", "checkpoint", "error.type", "ServerBusy")
		for _, operation := range []string{"claim_ownership", "list_ownership", "list_checkpoints", "set_checkpoint"} {
			p, ok := s.find("eventhubs.store.operation.duration", "eventhubs.store.operation", operation)
			require.True(s, ok, operation)
			require.NotZero(s, p.count)
		}
		s.value("eventhubs.store.operation.duration", "eventhubs.store.operation", "list_ownership",
			"error.type", "ServerBusy")
		require.Equal(s, 1.0, s.value("eventhubs.partition.changes", "eventhubs.partition.change", "claimed"))
		require.Equal(s, 1.0, s.value("eventhubs.partition.changes", "eventhubs.partition.change", "released"))
	})
}

// A consumer that joins asks for its share through a wrapped store, so that nothing is repeated.
func TestHandOver(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		require.NoError(s, s.server.AddPartitions("hub", 1))
		s.store = s.telemetry.CheckpointStore(eventhubs.NewMemoryCheckpointStore())
		var handled atomic.Int64
		count := func(context.Context, *eventhubs.ReceivedEvent) error { handled.Add(1); return nil }
		first := s.receive(s.Context(), s.telemetry.Handler(count), nil)
		stop := s.telemetry.Observe(first.Consumer)
		send := func() {
			for range 60 {
				require.NoError(s, s.server.Send(s.Context(), "hub",
					eventhubs.Event{PartitionID: "0"}, eventhubs.Event{PartitionID: "1"}))
				time.Sleep(time.Second)
			}
		}
		send()
		require.Equal(s, 2.0, s.value("eventhubs.consumer.partitions"))
		second := s.receive(s.Context(), s.telemetry.Handler(count), nil)
		send()
		require.Equal(s, 1.0, s.value("eventhubs.consumer.partitions"))
		stop()
		require.NoError(s, first.stop())
		require.NoError(s, second.stop())
		for change, n := range map[string]float64{"requested": 1, "promised": 1, "claimed": 3, "released": 3} {
			require.Equal(s, n, s.changes(change), change)
		}
		require.Zero(s, s.changes("lost"))
		require.Equal(s, int64(240), handled.Load(), "nothing is repeated")
	})
}

// changes counts the changes of a kind, of all partitions.
func (s *scene) changes(kind string) (n float64) {
	for _, p := range s.points("eventhubs.partition.changes") {
		if p.attributes["eventhubs.partition.change"] == kind {
			n += p.value
		}
	}
	return n
}

// A wrapped store is a store.
func TestWrappedStores(t *testing.T) {
	t.Parallel()
	telemetry := eventhubsotel.New(eventhubs.Config{}, nil)
	storetest.Run(t, func(t *testing.T) func() azeventhubs.CheckpointStore {
		s := telemetry.CheckpointStore(eventhubs.NewMemoryCheckpointStore())
		return func() azeventhubs.CheckpointStore { return s }
	})
}

func TestNoStore(t *testing.T) {
	t.Parallel()
	telemetry := eventhubsotel.New(eventhubs.Config{}, nil)
	require.Nil(t, telemetry.CheckpointStore(nil))
	var none *eventhubs.BlobCheckpointStore
	require.Nil(t, telemetry.CheckpointStore(none))
	require.Nil(t, telemetry.Handler(nil))
	require.Nil(t, telemetry.BatchHandler(nil))
}

// lateStore has a partition claimed while it is listed, and lists what was there before.
type lateStore struct {
	eventhubs.CheckpointStore
	claim func()
}

func (s lateStore) ListOwnership(
	context.Context, string, string, string, *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	time.Sleep(time.Second)
	s.claim()
	return []azeventhubs.Ownership{{PartitionID: "0", OwnerID: "before"}}, nil
}

// A listing that began before a claim says nothing of it.
func TestListedBeforeClaim(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		var store eventhubs.CheckpointStore
		claim := func() {
			_, err := store.ClaimOwnership(s.Context(), []azeventhubs.Ownership{{
				FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "", PartitionID: "0", OwnerID: "we",
			}}, nil)
			require.NoError(s, err)
		}
		store = s.telemetry.CheckpointStore(lateStore{claimsAll{eventhubs.NewMemoryCheckpointStore()}, claim})
		_, err := store.ListOwnership(s.Context(), "ns", "hub", "", nil)
		require.NoError(s, err)
		require.Equal(s, 1.0, s.changes("claimed"))
		require.Zero(s, s.changes("lost"))
		time.Sleep(time.Second)
		_, err = store.ListOwnership(s.Context(), "ns", "hub", "", nil)
		require.NoError(s, err)
		require.Equal(s, 1.0, s.changes("lost"), "it is not ours in a listing that began after that")
	})
}

// claimsAll gives everybody everything.
type claimsAll struct{ eventhubs.CheckpointStore }

func (claimsAll) ClaimOwnership(
	_ context.Context, wanted []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	return wanted, nil
}

// brokenStore fails to claim, but gets a partition all the same.
type brokenStore struct{ eventhubs.CheckpointStore }

func (brokenStore) ClaimOwnership(
	_ context.Context, wanted []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	return wanted[:1], errors.New("half of it")
}

// Claims count that were written beside an error.
func TestClaimedBesideError(t *testing.T) {
	inScene(t, eventhubsotel.Options{}, func(s *scene) {
		store := s.telemetry.CheckpointStore(brokenStore{eventhubs.NewMemoryCheckpointStore()})
		_, err := store.ClaimOwnership(s.Context(), []azeventhubs.Ownership{{PartitionID: "0", OwnerID: "a"}, {}}, nil)
		require.EqualError(s, err, "half of it")
		require.Equal(s, 1.0, s.changes("claimed"))
	})
}
