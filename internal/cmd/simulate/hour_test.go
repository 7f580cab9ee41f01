package simulate_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestAnHour is the design's figure: two consumers on four partitions, and an event a second, for an hour.
func TestAnHour(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true})
		store, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
		require.NoError(t, err)
		var handled atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for range 2 {
			c, err := eventhubs.NewConsumer(srv.Config("hub"), store, nil)
			require.NoError(t, err)
			go func() {
				err := c.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error { handled.Add(1); return nil })
				_ = c.Close(context.Background())
				ended <- err
			}()
		}
		p, err := eventhubs.NewProducer(srv.Config("hub"), nil)
		require.NoError(t, err)
		for i := range 3600 {
			require.NoError(t, p.Send(t.Context(), eventhubs.Event{Body: fmt.Append(nil, i)}))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
		require.NoError(t, p.Close(context.Background()))
		require.EqualValues(t, 3600, handled.Load())
	})
	t.Logf("an hour took %v", time.Since(began))
}
