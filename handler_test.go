package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// sendTo sends n events with the bodies 0, 1, … to one partition.
func sendTo(t *testing.T, srv *eventhubstest.Server, partition string, n int) {
	t.Helper()
	var events []eventhubs.Event
	for i := range n {
		events = append(events, eventhubs.Event{Body: fmt.Append(nil, i), PartitionID: partition})
	}
	require.NoError(t, newProducer(t, srv.Config("hub")).Send(t.Context(), events...))
}

// namespaceOf is what stands for the server in the names of checkpoints.
func namespaceOf(srv *eventhubstest.Server) string {
	_, rest, _ := strings.Cut(srv.ConnectionString(""), "sb://")
	namespace, _, _ := strings.Cut(rest, ";")
	return namespace
}

// checkpoint returns the sequence number that the store has for a partition, or -1.
func checkpoint(t *testing.T, srv *eventhubstest.Server, store eventhubs.CheckpointStore, partition string) int64 {
	t.Helper()
	list, err := store.ListCheckpoints(t.Context(), namespaceOf(srv), "hub", "$Default", nil)
	require.NoError(t, err)
	for _, c := range list {
		if c.PartitionID == partition {
			return *c.SequenceNumber
		}
	}
	return -1
}

func TestHandlerErrorRepeatsTheEventAndHoldsUpItsPartitionOnly(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	sendTo(t, srv, "0", 3)
	sendTo(t, srv, "1", 3)
	var mu sync.Mutex
	var calls []string
	var others atomic.Int32
	o := &eventhubs.ConsumerOptions{Backoff: func(attempt int, err error) time.Duration {
		require.EqualError(t, err, "not yet")
		return time.Millisecond
	}}
	c := newConsumer(t, srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), o)
	done := func() bool { mu.Lock(); defer mu.Unlock(); return len(calls) == 6 }
	receiveUntil(t, c, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if e.PartitionID == "1" {
			others.Add(1)
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, fmt.Sprintf("%s/%d", e.Body, e.Attempt))
		// It fails until the other partition has gone on, and then once more.
		if string(e.Body) == "1" && (others.Load() < 3 || e.Attempt < 4) {
			if others.Load() < 3 {
				calls = calls[:len(calls)-1]
			}
			return errors.New("not yet")
		}
		return nil
	}, func() bool { return done() || lastIs(&mu, &calls, "2/1") })
	require.Equal(t, "0/1", calls[0])
	require.Equal(t, "2/1", calls[len(calls)-1])
	require.EqualValues(t, 3, others.Load())
	for _, call := range calls[1 : len(calls)-1] {
		require.True(t, strings.HasPrefix(call, "1/"), "the later event must wait: %v", calls)
	}
}

func lastIs(mu *sync.Mutex, calls *[]string, want string) bool {
	mu.Lock()
	defer mu.Unlock()
	return len(*calls) > 0 && (*calls)[len(*calls)-1] == want
}

func TestHandlerEndsReceive(t *testing.T) {
	cause := errors.New("no use")
	for name, tc := range map[string]struct {
		options *eventhubs.ConsumerOptions
		fail    func() error
		check   func(t *testing.T, e *eventhubs.HandlerError)
	}{
		"Stop": {nil, func() error { return eventhubs.Stop(cause) }, func(t *testing.T, e *eventhubs.HandlerError) {
			require.ErrorIs(t, e, cause)
			require.EqualError(t, e, "eventhubs: receive: handler of partition 0 at sequence number 2: no use")
		}},
		"a wrapped Stop": {nil, func() error { return fmt.Errorf("wrapped: %w", eventhubs.Stop(cause)) }, func(t *testing.T, e *eventhubs.HandlerError) {
			require.ErrorIs(t, e, cause)
		}},
		"Backoff gives up": {&eventhubs.ConsumerOptions{Backoff: func(int, error) time.Duration { return -1 }}, func() error { return cause },
			func(t *testing.T, e *eventhubs.HandlerError) { require.ErrorIs(t, e, cause) }},
		"panic": {nil, func() error { panic("oh no") }, func(t *testing.T, e *eventhubs.HandlerError) {
			require.Equal(t, "oh no", e.Panic)
			require.Contains(t, string(e.Stack), "handler_test.go")
			require.NoError(t, e.Err)
		}},
		"panic with an error": {nil, func() error { panic(cause) }, func(t *testing.T, e *eventhubs.HandlerError) { require.Equal(t, cause, e.Panic) }},
		"Goexit": {nil, func() error { runtime.Goexit(); return nil }, func(t *testing.T, e *eventhubs.HandlerError) {
			require.Equal(t, "runtime.Goexit was called", e.Panic)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := eventhubstest.Start(t, nil)
			sendTo(t, srv, "0", 5)
			store := eventhubs.NewMemoryCheckpointStore()
			c := newConsumer(t, srv.Config("hub"), store, tc.options)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var calls atomic.Int32
			err := c.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
				calls.Add(1)
				if e.SequenceNumber == 2 {
					return tc.fail()
				}
				return nil
			})
			var failed *eventhubs.HandlerError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, "0", failed.PartitionID)
			require.EqualValues(t, 2, failed.SequenceNumber)
			tc.check(t, failed)
			require.EqualValues(t, 3, calls.Load(), "it must not be tried again, nor anything after it")
			require.EqualValues(t, 1, checkpoint(t, srv, store, "0"), "the checkpoint covers what came before it")
		})
	}
}

func TestStopFinishesWhatIsRunning(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, c *eventhubs.Consumer, cancel func()){
		"ctx is cancelled": func(_ *testing.T, _ *eventhubs.Consumer, cancel func()) { cancel() },
		"Close":            func(t *testing.T, c *eventhubs.Consumer, _ func()) { require.NoError(t, c.Close(t.Context())) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := eventhubstest.Start(t, nil)
			sendTo(t, srv, "0", 5)
			store := stores["blob"](t, srv)
			c := newConsumer(t, srv.Config("hub"), store, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			running, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			var calls atomic.Int32
			go func() {
				ended <- c.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
					if calls.Add(1) == 1 {
						close(running)
						<-release
						return ctx.Err() // it must not be cancelled
					}
					return nil
				})
			}()
			<-running
			stopped := make(chan struct{})
			go func() { defer close(stopped); stop(t, c, cancel) }()
			select {
			case <-ended:
				t.Fatal("Receive returned while a handler was running")
			case <-time.After(50 * time.Millisecond): // not a synchronisation: the test only gets sharper with time
			}
			close(release)
			require.NoError(t, <-ended)
			<-stopped
			require.EqualValues(t, 1, calls.Load(), "nothing new is begun")
			require.EqualValues(t, 0, checkpoint(t, srv, store, "0"))
			for _, o := range owners(t, srv, store) {
				require.Empty(t, o, "ownership is released")
			}
		})
	}
}

// owners returns the owner of each partition that the store knows.
func owners(t *testing.T, srv *eventhubstest.Server, store eventhubs.CheckpointStore) (out []string) {
	t.Helper()
	list, err := store.ListOwnership(t.Context(), namespaceOf(srv), "hub", "$Default", nil)
	require.NoError(t, err)
	for _, o := range list {
		out = append(out, o.OwnerID)
	}
	require.NotEmpty(t, out)
	return out
}

func TestDrainTimeoutCancelsHandlers(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	sendTo(t, srv, "0", 2)
	store := eventhubs.NewMemoryCheckpointStore()
	c := newConsumer(t, srv.Config("hub"), store, &eventhubs.ConsumerOptions{DrainTimeout: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.Receive(ctx, func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
		cancel()
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), eventhubs.ErrDraining)
		return ctx.Err()
	})
	require.NoError(t, err)
	require.EqualValues(t, -1, checkpoint(t, srv, store, "0"), "what was not processed is not covered")
}

func TestReceiveRunsOnce(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	c := newConsumer(t, srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	sendTo(t, srv, "0", 1)
	var second error
	var once sync.Once
	var first received
	receiveUntil(t, c, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		once.Do(func() { second = c.Receive(ctx, first.handle) })
		return first.handle(ctx, e)
	}, func() bool { return first.len() == 1 })
	require.EqualError(t, second, "eventhubs: receive hub/$Default: the consumer is receiving already: make a second Consumer to read with two")

	sendTo(t, srv, "0", 1)
	var again received
	receiveUntil(t, c, again.handle, func() bool { return again.len() == 1 })
	require.Equal(t, []int64{1}, again.seen["0"], "it may be called again, and goes on")
}

func TestReceiveDoesNotWaitForMore(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	c := newConsumer(t, srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	var got received
	p := newProducer(t, srv.Config("hub"))
	require.NoError(t, p.Send(t.Context(), numbered(0, 1)...))
	receiveUntil(t, c, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if got.len() < 20 { // each event is sent only when the one before it was handled
			require.NoError(t, p.Send(ctx, numbered(got.len(), got.len()+1)...))
		}
		return got.handle(ctx, e)
	}, func() bool { return got.len() >= 20 })
}

func TestReceiveBatch(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	sendTo(t, srv, "0", 25)
	store := eventhubs.NewMemoryCheckpointStore()
	c := newConsumer(t, srv.Config("hub"), store, &eventhubs.ConsumerOptions{MaxBatch: 10, Backoff: func(int, error) time.Duration { return 0 }})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var processed []int64
	failed := map[int64]int{}
	err := c.ReceiveBatch(ctx, func(_ context.Context, events []*eventhubs.ReceivedEvent) error {
		require.LessOrEqual(t, len(events), 10)
		first := events[0].SequenceNumber
		if failed[first]++; failed[first] == 1 { // each batch fails once, and comes again as it was
			require.Equal(t, 1, events[0].Attempt)
			failed[first] += 100 * len(events)
			return errors.New("once")
		}
		require.Equal(t, 2, events[len(events)-1].Attempt)
		require.Equal(t, 100*len(events)+2, failed[first])
		for _, e := range events {
			processed = append(processed, e.SequenceNumber)
		}
		if len(processed) == 25 {
			cancel()
		}
		return nil
	})
	require.NoError(t, err)
	require.Len(t, processed, 25)
	require.True(t, slices.IsSorted(processed))
	require.EqualValues(t, 24, checkpoint(t, srv, store, "0"))
}

func TestCheckpointIsWrittenWhileReceiving(t *testing.T) {
	for name, o := range map[string]eventhubs.ConsumerOptions{
		"the partition is idle": {CheckpointInterval: time.Hour},
		"by count":              {CheckpointInterval: time.Hour, CheckpointCount: 3},
		"by interval":           {CheckpointInterval: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			srv := eventhubstest.Start(t, nil)
			store := stores["blob"](t, srv)
			c := newConsumer(t, srv.Config("hub"), store, &o)
			sendTo(t, srv, "0", 3)
			blocked := make(chan struct{})
			var got received
			receiveUntil(t, c, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
				if name != "the partition is idle" && e.SequenceNumber == 3 { // it is not idle: a handler is running
					<-blocked
				}
				return got.handle(ctx, e)
			}, func() bool {
				covered := checkpoint(t, srv, store, "0") == 2
				if covered {
					close(blocked)
				}
				return covered
			})
			require.Len(t, got.seen["0"], 3)
		})
	}
}

func TestPartitionsRunConcurrently(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	for _, id := range []string{"0", "1", "2", "3"} {
		sendTo(t, srv, id, 1)
	}
	c := newConsumer(t, srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	var together sync.WaitGroup
	together.Add(4)
	var got received
	receiveUntil(t, c, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		together.Done()
		together.Wait() // all four have to be here at once
		return got.handle(ctx, e)
	}, func() bool { return got.len() == 4 })
}
