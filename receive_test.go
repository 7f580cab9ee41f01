package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// TestReceiveResumesAfterTheLastProcessedEvent does so with each of the package's stores.
func TestReceiveResumesAfterTheLastProcessedEvent(t *testing.T) {
	for name, open := range map[string]func(s *scene.Scene) eventhubs.CheckpointStore{
		"blob":   func(s *scene.Scene) eventhubs.CheckpointStore { return s.Store },
		"memory": func(*scene.Scene) eventhubs.CheckpointStore { return memory() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scene.In(t, 4, func(s *scene.Scene) {
				store := open(s)
				for _, who := range []string{"first", "second", "third"} {
					s.Send(5, "0", "1", "2", "3")
					r := s.ConsumerWith(s.Config, store, eventhubs.ConsumerOptions{InstanceID: who})
					r.Receive(nothing)
					s.UntilHandled()
					r.Stop()
				}
				s.Check(0)
			})
		})
	}
}

// TestLogOfAQuietHour has nothing go wrong: what is logged above DEBUG is who has taken which partition.
func TestLogOfAQuietHour(t *testing.T) {
	t.Parallel()
	scene.In(t, 2, func(s *scene.Scene) {
		r := s.Receive("only", eventhubs.ConsumerOptions{}, nothing)
		s.Send(5, "0")
		time.Sleep(time.Hour)
		s.Send(5, "0")
		s.UntilHandled()
		r.Stop()
		attributes := []string{"event_hub=hub", "group=$Default", "owner=only", "partition=0"}
		require.Equal(s.T, 1, s.Log.Count(append(attributes, "level=INFO", `msg="eventhubs: partition taken"`, "held=")...))
		require.Equal(s.T, 2, s.Log.Count("level=INFO"), "one for each partition")
		require.Zero(s.T, s.Log.Count("level=WARN")+s.Log.Count("level=ERROR"))
		require.Equal(s.T, 2, s.Log.Count(append(attributes, "level=DEBUG", `msg="eventhubs: checkpoint written"`)...))
	})
}

// TestHandlerErrorRepeatsTheEvent has later events of the partition wait, and those of others not.
func TestHandlerErrorRepeatsTheEvent(t *testing.T) {
	t.Parallel()
	scene.In(t, 2, func(s *scene.Scene) {
		s.Send(3, "0", "1")
		var calls []string
		var failures []int
		o := eventhubs.ConsumerOptions{Backoff: func(attempt int, err error) time.Duration {
			require.EqualError(s.T, err, "not yet")
			failures = append(failures, attempt)
			return time.Minute
		}}
		began := time.Now()
		r := s.Receive("only", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.PartitionID == "1" {
				require.Less(s.T, time.Since(began), time.Minute)
				return nil
			}
			calls = append(calls, fmt.Sprintf("%d/%d", e.SequenceNumber, e.Attempt))
			if e.SequenceNumber == 1 && e.Attempt < 4 {
				return errors.New("not yet")
			}
			return nil
		})
		s.UntilHandled()
		require.InDelta(s.T, 3*time.Minute, time.Since(began), float64(5*time.Second))
		r.Stop()
		require.Equal(s.T, []string{"0/1", "1/1", "1/2", "1/3", "1/4", "2/1"}, calls)
		require.Equal(s.T, []int{1, 2, 3}, failures)
		s.Check(0)
	})
}

// TestDefaultBackoff has an event fail for twenty minutes.
func TestDefaultBackoff(t *testing.T) {
	t.Parallel()
	scene.In(t, 1, func(s *scene.Scene) {
		s.Send(1, "0")
		var at []time.Time
		r := s.Receive("only", eventhubs.ConsumerOptions{}, func(context.Context, *eventhubs.ReceivedEvent) error {
			at = append(at, time.Now())
			return errors.New("not yet")
		})
		time.Sleep(20 * time.Minute)
		r.Stop()
		want := 100 * time.Millisecond
		for i := range len(at) - 1 {
			require.InDelta(s.T, want, at[i+1].Sub(at[i]), float64(want)/4+1e6, "after attempt %d", i+1)
			want = min(2*want, 30*time.Second)
		}
		require.Greater(s.T, len(at), 35)
		told := s.Log.Count("level=WARN", "the handler failed", "partition=0", "sequence=0")
		require.Equal(s.T, len(at), told, "each is logged")
	})
}

func TestHandlerEndsReceive(t *testing.T) {
	cause := errors.New("no use")
	isCause := func(t testing.TB, e *eventhubs.HandlerError) { require.ErrorIs(t, e, cause) }
	for name, c := range map[string]struct {
		options eventhubs.ConsumerOptions
		fail    func() error
		check   func(t testing.TB, e *eventhubs.HandlerError)
	}{
		"Stop": {fail: func() error { return eventhubs.Stop(cause) }, check: func(t testing.TB, e *eventhubs.HandlerError) {
			require.ErrorIs(t, e, cause)
			require.EqualError(t, e, "eventhubs: receive: handler of partition 0 at sequence number 2: no use")
		}},
		"a wrapped Stop": {fail: func() error { return fmt.Errorf("wrapped: %w", eventhubs.Stop(cause)) }, check: isCause},
		"Stop(nil)": {
			fail: func() error { return eventhubs.Stop(nil) },
			check: func(t testing.TB, e *eventhubs.HandlerError) {
				require.ErrorContains(t, e, "at sequence number 2: stopped by the handler")
			},
		},
		"Backoff gives up": {
			options: eventhubs.ConsumerOptions{Backoff: func(int, error) time.Duration { return -1 }},
			fail:    func() error { return cause }, check: isCause,
		},
		"panic": {fail: func() error { panic("oh no") }, check: func(t testing.TB, e *eventhubs.HandlerError) {
			require.Equal(t, "oh no", e.Panic)
			require.Contains(t, string(e.Stack), "receive_test.go")
			require.NoError(t, e.Err)
		}},
		"panic with an error": {fail: func() error { panic(cause) }, check: func(t testing.TB, e *eventhubs.HandlerError) {
			require.Equal(t, cause, e.Panic)
		}},
		"Goexit": {fail: func() error { runtime.Goexit(); return nil }, check: func(t testing.TB, e *eventhubs.HandlerError) {
			require.Equal(t, "runtime.Goexit was called", e.Panic)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scene.In(t, 2, func(s *scene.Scene) {
				s.Send(5, "0")
				s.Send(1, "1")
				calls := 0
				r := s.Receive("only", c.options, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
					if e.PartitionID == "1" {
						time.Sleep(10 * time.Second) // it is finished
						return nil
					}
					calls++
					if e.SequenceNumber == 2 {
						time.Sleep(time.Second) // until the other one runs
						return c.fail()
					}
					return nil
				})
				var failed *eventhubs.HandlerError
				require.ErrorAs(s.T, r.Result(), &failed)
				require.Equal(s.T, "0", failed.PartitionID)
				require.EqualValues(s.T, 2, failed.SequenceNumber)
				c.check(s.T, failed)
				require.Equal(s.T, 3, calls, "it must not be tried again, nor anything after it")
				require.EqualValues(s.T, 1, s.Checkpoint("0"), "the checkpoint covers what came before it")
				require.EqualValues(s.T, 0, s.Checkpoint("1"))
				require.Zero(s.T, s.Owned("only"))
			})
		})
	}
}

// TestStopFinishesWhatIsRunning has both ways to stop wait for the handler that runs, and begin nothing new.
func TestStopFinishesWhatIsRunning(t *testing.T) {
	for name, stop := range map[string]func(t testing.TB, r *scene.Receiver){
		"ctx is cancelled": func(t testing.TB, r *scene.Receiver) {
			r.Cancel()
			require.NoError(t, r.Result())
		},
		"Close": func(t testing.TB, r *scene.Receiver) {
			require.NoError(t, r.Consumer.Close(t.Context()))
			require.NoError(t, r.Result())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scene.In(t, 1, func(s *scene.Scene) {
				s.Send(5, "0")
				running := make(chan struct{})
				calls := 0
				r := s.Receive("only", eventhubs.ConsumerOptions{}, func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
					calls++
					close(running)
					time.Sleep(20 * time.Second)
					return ctx.Err() // it must not be cancelled
				})
				<-running
				began := time.Now()
				stop(s.T, r)
				require.InDelta(s.T, 20*time.Second, time.Since(began), float64(time.Second))
				require.Equal(s.T, 1, calls)
				require.EqualValues(s.T, 0, s.Checkpoint("0"))
				require.Zero(s.T, s.Owned("only"))
			})
		})
	}
}

// key is that of a value in a context.
type key struct{}

// TestHandlerContext carries the values of Receive's own, and does not end with it.
func TestHandlerContext(t *testing.T) {
	t.Parallel()
	scene.In(t, 1, func(s *scene.Scene) {
		s.Send(1, "0")
		c := newConsumer(s.T, s.Config, memory(), nil)
		ctx, cancel := context.WithCancel(context.WithValue(s.T.Context(), key{}, "value"))
		require.NoError(s.T, c.Receive(ctx, func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
			cancel()
			time.Sleep(time.Second)
			require.Equal(s.T, "value", ctx.Value(key{}))
			return ctx.Err()
		}))
	})
}

// TestReceiveRunsOnce refuses a second call beside the first, and allows one after it.
func TestReceiveRunsOnce(t *testing.T) {
	t.Parallel()
	scene.In(t, 1, func(s *scene.Scene) {
		c := newConsumer(s.T, s.Config, s.Store, nil)
		for i := range int64(3) {
			s.Send(1, "0")
			ctx, cancel := context.WithCancel(s.T.Context())
			require.NoError(s.T, c.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
				require.Equal(s.T, i, e.SequenceNumber)
				require.EqualError(s.T, c.Receive(ctx, nothing),
					"eventhubs: receive hub/$Default: the consumer is receiving already: make a second Consumer to read with two")
				cancel()
				return nil
			}))
		}
	})
}

// watchedContext counts who waits for its end.
type watchedContext struct {
	context.Context
	done    chan struct{}
	waiting int
}

func (c *watchedContext) Done() <-chan struct{} { return c.done }

func (c *watchedContext) AfterFunc(func()) (stop func() bool) {
	c.waiting++
	return func() bool { c.waiting--; return true }
}

// TestReceiveThatCannotBegin leaves nothing behind in its context, which may live long.
func TestReceiveThatCannotBegin(t *testing.T) {
	c := newConsumer(t, eventhubs.Config{ConnectionString: keyed, EventHub: "orders"}, memory(), nil)
	require.NoError(t, c.Close(t.Context()))
	ctx := &watchedContext{Context: context.Background(), done: make(chan struct{})}
	require.ErrorIs(t, c.Receive(ctx, nothing), eventhubs.ErrClosed)
	require.Zero(t, ctx.waiting)
}

// TestReceiveDoesNotWaitForMore has each event be sent only when the one before it was handled.
func TestReceiveDoesNotWaitForMore(t *testing.T) {
	t.Parallel()
	scene.In(t, 1, func(s *scene.Scene) {
		s.Send(1, "0")
		c := newConsumer(s.T, s.Config, memory(), nil)
		ctx, cancel := context.WithCancel(s.T.Context())
		began := time.Now()
		require.NoError(s.T, c.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 20 {
				cancel()
			}
			s.Send(1, "0")
			return nil
		}))
		require.Less(s.T, time.Since(began), 5*time.Second)
	})
}

// TestReceiveBatch has each batch fail once, and come again as it was.
func TestReceiveBatch(t *testing.T) {
	t.Parallel()
	scene.In(t, 1, func(s *scene.Scene) {
		s.Send(25, "0")
		var processed []int64
		var failed []int64 // the batch that has failed
		o := eventhubs.ConsumerOptions{MaxBatch: 10}
		r := s.ReceiveBatch("only", o, func(_ context.Context, events []*eventhubs.ReceivedEvent) error {
			require.LessOrEqual(s.T, len(events), 10)
			var batch []int64
			for _, e := range events {
				batch = append(batch, e.SequenceNumber)
				require.Equal(s.T, events[0].Attempt, e.Attempt)
			}
			if failed == nil {
				require.Equal(s.T, 1, events[0].Attempt)
				failed = batch
				return errors.New("not yet")
			}
			require.Equal(s.T, 2, events[0].Attempt)
			require.Equal(s.T, failed, batch)
			failed = nil
			processed = append(processed, batch...)
			return nil
		})
		s.UntilHandled()
		r.Stop()
		require.Len(s.T, processed, 25)
		require.True(s.T, slices.IsSorted(processed))
		require.EqualValues(s.T, 24, s.Checkpoint("0"))
		s.Check(0)
	})
}

// TestPartitionsRunConcurrently has the handlers of four partitions wait for one another.
func TestPartitionsRunConcurrently(t *testing.T) {
	t.Parallel()
	scene.In(t, 4, func(s *scene.Scene) {
		s.Send(1, "0", "1", "2", "3")
		began := time.Now()
		s.Receive("only", eventhubs.ConsumerOptions{}, func(context.Context, *eventhubs.ReceivedEvent) error {
			time.Sleep(time.Minute)
			return nil
		})
		s.UntilHandled()
		require.InDelta(s.T, time.Minute, time.Since(began), float64(2*time.Second))
	})
}

// TestStartHelpers starts with each of them in a partition that has events from before and after an hour.
func TestStartHelpers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(
			t, &eventhubstest.Options{InMemory: true, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}},
		)
		send := func(text string) {
			require.NoError(t, srv.Send(t.Context(), "hub", eventhubs.Event{Body: []byte(text)}))
		}
		send("a")
		time.Sleep(time.Hour)
		since := time.Now()
		send("b")
		time.Sleep(time.Hour)
		texts := "ab"
		for _, tc := range []struct {
			start azeventhubs.StartPositions
			want  func() string
		}{
			{eventhubs.Earliest(), func() string { return texts }},
			{eventhubs.Since(since), func() string { return texts[1:] }},
			{eventhubs.Since(since.Add(time.Millisecond)), func() string { return texts[2:] }},
			{eventhubs.Latest(), func() string { return texts[len(texts)-1:] }},
		} {
			c, err := eventhubs.NewConsumer(
				srv.Config("hub"),
				eventhubs.NewMemoryCheckpointStore(),
				&eventhubs.ConsumerOptions{Start: tc.start},
			)
			require.NoError(t, err)
			var got strings.Builder
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			time.AfterFunc(time.Minute, func() { send("c") })
			texts += "c"
			require.NoError(t, c.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
				got.Write(e.Body)
				return nil
			}))
			cancel()
			require.NoError(t, c.Close(t.Context()))
			require.Equal(t, tc.want(), got.String())
		}
	})
}
