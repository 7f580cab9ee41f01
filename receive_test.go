package eventhubs_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// stores are the checkpoint stores that everything has to work with.
var stores = map[string]func(t *testing.T, srv *eventhubstest.Server) eventhubs.CheckpointStore{
	"blob": func(t *testing.T, srv *eventhubstest.Server) eventhubs.CheckpointStore {
		s, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
		require.NoError(t, err)
		return s
	},
	"memory": func(*testing.T, *eventhubstest.Server) eventhubs.CheckpointStore {
		return eventhubs.NewMemoryCheckpointStore()
	},
}

// patience is how long a test waits for what has to happen. It passes only when something is wrong.
const patience = 20 * time.Second

// received collects the events that a handler gets.
type received struct {
	mu     sync.Mutex
	bodies []string
	seen   map[string][]int64 // sequence numbers by partition
}

func (r *received) handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string][]int64{}
	}
	r.bodies = append(r.bodies, string(e.Body))
	r.seen[e.PartitionID] = append(r.seen[e.PartitionID], e.SequenceNumber)
	return nil
}

func (r *received) has(body string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.bodies, body)
}

func (r *received) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

// receiveUntil runs Receive until the condition holds, and returns what Receive returned.
func receiveUntil(t *testing.T, c *eventhubs.Consumer, h eventhubs.Handler, until func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Receive(ctx, h) }()
	require.Eventually(t, until, patience, time.Millisecond)
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(patience):
		t.Fatal("Receive did not return after its context was cancelled")
	}
}

func numbered(from, to int) (events []eventhubs.Event) {
	for i := from; i < to; i++ {
		events = append(events, eventhubs.Event{Body: fmt.Appendf(nil, "event %d", i), PartitionKey: fmt.Sprint(i % 7)})
	}
	return events
}

func newProducer(t *testing.T, cfg eventhubs.Config) *eventhubs.Producer {
	t.Helper()
	p, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.WithoutCancel(t.Context()))) })
	return p
}

func newConsumer(t *testing.T, cfg eventhubs.Config, store eventhubs.CheckpointStore, o *eventhubs.ConsumerOptions) *eventhubs.Consumer {
	t.Helper()
	c, err := eventhubs.NewConsumer(cfg, store, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.WithoutCancel(t.Context()))) })
	return c
}

func TestReceiveResumesAfterTheLastProcessedEvent(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			srv := eventhubstest.Start(t, nil)
			store := open(t, srv)
			producer := newProducer(t, srv.Config("hub"))
			require.NoError(t, producer.Send(t.Context(), numbered(0, 50)...))

			var first received
			receiveUntil(t, newConsumer(t, srv.Config("hub"), store, nil), first.handle, func() bool { return first.len() == 50 })

			require.NoError(t, producer.Send(t.Context(), numbered(50, 80)...))
			var second received
			receiveUntil(t, newConsumer(t, srv.Config("hub"), store, nil), second.handle, func() bool { return second.len() >= 30 })
			require.Len(t, second.bodies, 30)
			for _, b := range second.bodies {
				require.NotContains(t, first.bodies, b)
			}
		})
	}
}

// What was received can be sent on as it was.
func TestForward(t *testing.T) {
	srv := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}})
	full := eventhubs.Event{
		Body: []byte("all"), PartitionKey: "key", Properties: map[string]any{"a": int64(1)}, ContentType: "text/plain", MessageID: "m", CorrelationID: "c",
	}
	require.NoError(t, srv.Send(t.Context(), "hub", full, eventhubs.Event{Body: []byte("bare"), MessageID: "n"}))
	c := newConsumer(t, srv.Config("hub"), memory(), nil)
	var on []eventhubs.Event
	got := &received{}
	receiveUntil(t, c, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		event := e.Event()
		event.Properties["more"] = true
		require.NotContains(t, e.Properties, "more")
		on = append(on, event)
		return got.handle(ctx, e)
	}, func() bool { return got.len() == 2 })
	full.Properties = map[string]any{"a": int64(1), "more": true}
	require.ElementsMatch(t, []eventhubs.Event{full, {Body: []byte("bare"), MessageID: "n", Properties: map[string]any{"more": true}}}, on)
}
