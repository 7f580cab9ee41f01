package guarantee_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

var handlerReturnsNil = []aCase{
	{"and is called with the next event", in(2, succeeds)},
}

func succeeds(s *scene.Scene) {
	s.Send(30, "0", "1")
	began := time.Now()
	first := s.Receive("first", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.UntilCovered("0", "1")
	require.Less(s.T, time.Since(began), 2*time.Second, "the first events are covered within about a second")
	first.Stop()

	s.Send(1, "0", "1")
	second := s.Receive("second", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	second.Stop()
	require.EqualValues(s.T, 30, s.Checkpoint("0"))
	s.Check(0)
}

var handlerReturnsError = []aCase{
	{"Receive", in(2, func(s *scene.Scene) {
		failing(s, func(h eventhubs.Handler) *scene.Receiver {
			return s.Receive("only", eventhubs.ConsumerOptions{}, h)
		})
	})},
	{"ReceiveBatch", in(2, func(s *scene.Scene) {
		failing(s, func(h eventhubs.Handler) *scene.Receiver {
			return s.ReceiveBatch("only", eventhubs.ConsumerOptions{MaxBatch: 1}, alone(h))
		})
	})},
	{"a batch comes again as it was", in(1, failingBatches)},
}

// alone makes a BatchHandler for batches of one event.
func alone(h eventhubs.Handler) eventhubs.BatchHandler {
	return func(ctx context.Context, events []*eventhubs.ReceivedEvent) error { return h(ctx, events[0]) }
}

// failing has the handler of one partition fail until the other partition is done, and at least three times.
func failing(s *scene.Scene, start func(eventhubs.Handler) *scene.Receiver) {
	s.Send(6, "0")
	s.Send(20, "1")
	var others atomic.Int32
	var attempts []time.Time // partition 0 has one handler at a time
	r := start(func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if e.PartitionID == "1" {
			others.Add(1)
			return nil
		}
		if e.SequenceNumber == 2 {
			attempts = append(attempts, time.Now())
			if e.Attempt != len(attempts) {
				return eventhubs.Stop(fmt.Errorf("attempt %d says it is %d", len(attempts), e.Attempt))
			}
			if others.Load() < 20 || e.Attempt < 4 {
				return errors.New("not yet")
			}
		}
		return nil
	})
	s.UntilHandled()
	r.Stop()
	for i, pause := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		require.InDelta(s.T, pause, attempts[i+1].Sub(attempts[i]), float64(pause)/4, "give or take a quarter")
	}
	for attempt := 1; attempt < len(attempts); attempt++ {
		n := s.Log.Count("level=WARN", "partition=0", "sequence=2", fmt.Sprintf("attempt=%d ", attempt), "not yet")
		require.Equal(s.T, 1, n, "each attempt that fails is logged")
	}
	came, _ := s.Tally.Times("0", 2)
	require.Len(s.T, attempts, came)
	require.EqualValues(s.T, 5, s.Checkpoint("0"))
	s.Check(0)
}

func failingBatches(s *scene.Scene) {
	s.Send(50, "0")
	o := eventhubs.ConsumerOptions{MaxBatch: 20}
	o.Backoff = func(int, error) time.Duration { return 0 }
	var failed []*eventhubs.ReceivedEvent // those of the last batch, if it has failed
	r := s.ReceiveBatch("only", o, func(_ context.Context, events []*eventhubs.ReceivedEvent) error {
		if failed == nil {
			failed = append(failed, events...)
			return errors.New("once")
		}
		if !slices.Equal(failed, events) {
			return eventhubs.Stop(fmt.Errorf("%d events from %d came after %d from %d had failed",
				len(events), events[0].SequenceNumber, len(failed), failed[0].SequenceNumber))
		}
		failed = nil
		return nil
	})
	s.UntilHandled()
	r.Stop()
	require.EqualValues(s.T, 49, s.Checkpoint("0"))
	s.Check(0)
}

var errNoUse = errors.New("no use")

var handlerReturnsStop = []aCase{
	{"while another handler runs", in(2, func(s *scene.Scene) {
		ended(s, func() error { return eventhubs.Stop(errNoUse) }, func(t testing.TB, e *eventhubs.HandlerError) {
			require.ErrorIs(t, e, errNoUse)
		})
	})},
}

var handlerPanics = []aCase{
	{"while another handler runs", in(2, func(s *scene.Scene) {
		ended(s, func() error { panic("oh no") }, func(t testing.TB, e *eventhubs.HandlerError) {
			require.Equal(t, "oh no", e.Panic)
			require.Contains(t, string(e.Stack), "handler_test.go")
		})
	})},
}

// ended has a handler end Receive while a handler of another partition is running.
func ended(s *scene.Scene, fail func() error, check func(testing.TB, *eventhubs.HandlerError)) {
	s.Send(10, "0", "1")
	running, failing, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	r := s.Receive("first", eventhubs.ConsumerOptions{}, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		switch {
		case e.PartitionID == "1" && e.SequenceNumber == 5:
			close(running)
			await(s, release)
			return ctx.Err() // it is not cancelled
		case e.PartitionID == "0" && e.SequenceNumber == 5:
			await(s, running)
			close(failing)
			return fail()
		}
		return nil
	})
	<-failing
	time.Sleep(29 * time.Second)
	require.False(s.T, r.Ended(), "a handler is running, within DrainTimeout")
	close(release)
	var failed *eventhubs.HandlerError
	require.ErrorAs(s.T, r.Result(), &failed)
	require.Equal(s.T, "0", failed.PartitionID)
	require.EqualValues(s.T, 5, failed.SequenceNumber)
	check(s.T, failed)
	came, _ := s.Tally.Times("0", 5)
	require.Equal(s.T, 1, came, "it is not tried again")
	require.EqualValues(s.T, 4, s.Checkpoint("0"), "up to the event before it")
	require.EqualValues(s.T, 5, s.Checkpoint("1"), "the other partition has drained")
	require.Empty(s.T, s.Owner("0"), "ownership is released")

	again := s.Receive("second", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	again.Stop()
	s.Check(0)
}
