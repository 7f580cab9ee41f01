package receive_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// batch is a call of a batch handler.
type batch struct {
	n  int
	at time.Duration // since the consumer was started
}

// receiveBatches starts a consumer whose batches the returned function shows, and how to stop it.
func (s *scene) receiveBatches(o eventhubs.ConsumerOptions) (batches func() []batch, stop func()) {
	s.Helper()
	c, err := eventhubs.NewConsumer(s.cfg, s.store, &o)
	require.NoError(s, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	began := time.Now()
	var got []batch
	go func() {
		defer close(ended)
		err := c.ReceiveBatch(ctx, func(_ context.Context, events []*eventhubs.ReceivedEvent) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			got = append(got, batch{len(events), time.Since(began)})
			return nil
		})
		if err != nil {
			s.Errorf("ReceiveBatch: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-ended
		if err := c.Close(context.Background()); err != nil {
			s.Errorf("close: %v", err)
		}
	}
	s.Cleanup(stop)
	return func() []batch {
		s.mu.Lock()
		defer s.mu.Unlock()
		return got
	}, stop
}

// TestBatchWait fills a batch for a while after its first event, and no longer than it takes to be full.
func TestBatchWait(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		batches, stop := s.receiveBatches(eventhubs.ConsumerOptions{MaxBatch: 10, BatchWait: 20 * time.Second})
		time.Sleep(time.Minute)
		for range 4 { // at 60, 70, 80, 90
			s.send("0", 1)
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		got := batches()
		require.NotEmpty(s, got)
		require.Equal(s, 2, got[0].n, "the third one comes when the time is over")
		require.InDelta(s, 80*time.Second, got[0].at, float64(time.Second))

		time.Sleep(time.Minute)
		before := len(batches())
		began := time.Now()
		s.send("0", 25)
		time.Sleep(time.Second)
		require.Len(s, batches(), before+2, "full ones come at once")
		time.Sleep(5 * time.Second)
		stop()
		got = batches()
		require.Len(s, got, before+3, "the one at hand comes when Receive ends")
		require.Equal(s, []int{10, 10, 5}, []int{got[before].n, got[before+1].n, got[before+2].n})
		require.Less(s, time.Since(began), 7*time.Second)
		require.EqualValues(s, 28, s.checkpoint("0"))
		require.Empty(s, s.owner("0"))
	})
}

// TestBatchWaitIsNotForReceive has single events come at once.
func TestBatchWaitIsNotForReceive(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.receive("one", eventhubs.ConsumerOptions{BatchWait: time.Hour}, nothing)
		s.send("0", 1)
		require.Less(s, s.untilHandled(margin, "0", 1), time.Second)
	})
}
