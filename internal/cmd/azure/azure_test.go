// Package azure_test sends events to a real namespace and receives them, as "make azure". All other tests use the local
// namespace.
package azure_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// wanted is the variable that "make azure" sets. Without it no test may connect to another machine, whatever else the
// environment says.
const wanted = "EVENTHUBS_AZURE"

func TestAzure(t *testing.T) {
	if os.Getenv(wanted) == "" {
		t.Skip("run it with make azure")
	}
	cfg, err := eventhubs.ConfigFromEnv()
	blobs, blobErr := eventhubs.BlobConfigFromEnv()
	for _, missing := range []error{err, blobErr} {
		if missing != nil {
			t.Error(missing)
		}
	}
	if t.Failed() {
		t.Fatal("nothing was tried: the environment does not name a namespace and a storage account; see " +
			".github/CONTRIBUTING.md")
	}
	t.Logf("with %s and %s", cfg, blobs)
	roundTrip(t, cfg, blobs, os.Getenv("EVENT_HUB_CONSUMER_GROUP"), 4*time.Minute)
}

// TestLocally makes the same round trip in the local namespace, to show that TestAzure works.
func TestLocally(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	roundTrip(t, srv.Config("hub"), srv.BlobConfig("checkpoints"), "", 30*time.Second)
}

const (
	// keys is the number of partition keys in a round, and each the number of events for each key.
	keys, each = 8, 25
	// runKey is the property that tells the events of this run from those of others.
	runKey = "run"
)

// roundTrip sends twice and receives twice. The second consumer must resume after the last event that the first one
// processed.
func roundTrip(t *testing.T, cfg eventhubs.Config, blobs eventhubs.BlobConfig, group string, patience time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	run := fmt.Sprint(time.Now().UnixNano())
	store, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
	require.NoError(t, err)
	producer, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(t, err)
	defer producer.Close(context.WithoutCancel(ctx))

	var got received
	for round := range 2 {
		send(ctx, t, producer, run, round)
		consumer, err := eventhubs.NewConsumer(cfg, store, &eventhubs.ConsumerOptions{ConsumerGroup: group})
		require.NoError(t, err)
		receiving, stop := context.WithCancel(ctx)
		err = consumer.Receive(receiving, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.Properties[runKey] == run && got.add(*e.PartitionKey, string(e.Body)) == (round+1)*keys*each {
				stop()
			}
			return nil
		})
		stop()
		require.NoError(t, err)
		require.NoError(t, consumer.Close(context.WithoutCancel(ctx)))
		require.NoError(t, ctx.Err(), "not all events have arrived: %d of %d", got.count, (round+1)*keys*each)
	}
	for key, bodies := range got.byKey {
		require.True(t, slices.IsSorted(bodies), "the events of %s are not in order: %q", key, bodies)
		require.Len(
			t, slices.Compact(bodies), 2*each, "events of %s arrived twice, although the first consumer ended cleanly", key,
		)
	}
}

func send(ctx context.Context, t *testing.T, producer *eventhubs.Producer, run string, round int) {
	t.Helper()
	var events []eventhubs.Event
	for i := range each {
		for key := range keys {
			events = append(events, eventhubs.Event{
				Body: fmt.Appendf(nil, "%04d", round*each+i), PartitionKey: fmt.Sprint("key-", key),
				Properties: map[string]any{runKey: run},
			})
		}
	}
	require.NoError(t, producer.Send(ctx, events...))
}

// received collects the bodies that have arrived, by partition key.
type received struct {
	mu    sync.Mutex
	count int
	byKey map[string][]string
}

// add records an event and returns how many have arrived.
func (r *received) add(key, body string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey == nil {
		r.byKey = map[string][]string{}
	}
	r.byKey[key] = append(r.byKey[key], body)
	r.count++
	return r.count
}
