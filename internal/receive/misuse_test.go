package receive_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

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
