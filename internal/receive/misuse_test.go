package receive_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// TestHandlersEndTheirGoroutines has as many handlers do so as may run. An earlier event is still tried again, so that
// the prefix has no gap.
func TestHandlersEndTheirGoroutines(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 4)
		var failed atomic.Bool
		o := keyed(2, 10)
		o.Backoff = func(int, error) time.Duration { return 5 * time.Second }
		r := s.receive("one", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			switch {
			case e.SequenceNumber == 0 && !failed.Swap(true):
				return errors.New("not yet")
			case e.SequenceNumber > 1:
				time.Sleep(time.Second)
				runtime.Goexit()
			}
			return nil
		})
		began := time.Now()
		<-r.ended
		require.Less(s, time.Since(began), 10*time.Second)
		require.ErrorContains(s, r.err, "runtime.Goexit was called")
		require.EqualValues(s, 1, s.checkpoint("0"))
	})
}

// TestBatchHandlerChangesTheSlice and gets the same events again after an error.
func TestBatchHandlerChangesTheSlice(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 10)
		c, err := eventhubs.NewConsumer(s.cfg, s.store, &eventhubs.ConsumerOptions{BatchWait: time.Second})
		require.NoError(s, err)
		ctx, cancel := context.WithCancel(s.Context())
		var batches [][]int64
		err = c.ReceiveBatch(ctx, func(_ context.Context, events []*eventhubs.ReceivedEvent) error {
			var batch []int64
			for _, e := range events {
				batch = append(batch, e.SequenceNumber)
			}
			if batches = append(batches, batch); len(batches) == 3 {
				cancel()
				return nil
			}
			slices.Reverse(events)
			odd := slices.DeleteFunc(events, func(e *eventhubs.ReceivedEvent) bool { return e.SequenceNumber%2 == 0 })
			return fmt.Errorf("%d are odd", len(odd))
		})
		require.NoError(s, err)
		require.Equal(s, [][]int64{sequences(0, 10), sequences(0, 10), sequences(0, 10)}, batches)
		require.NoError(s, c.Close(context.Background()))
	})
}
