package checkpoint_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestConsumerOutlivesItsContainer deletes the container of a consumer that goes on: it handles each event once, and
// has its checkpoints in the end.
func TestConsumerOutlivesItsContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true})
		blobs := srv.BlobConfig("checkpoints")
		blobs.Logger = slog.New(slog.DiscardHandler)
		store, err := eventhubs.NewBlobCheckpointStore(t.Context(), blobs)
		require.NoError(t, err)
		cfg := srv.PasswordlessConfig("hub")
		c, err := eventhubs.NewConsumer(cfg, store, nil)
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		handled := map[string]int{}
		events := make(chan string)
		ended := make(chan error)
		go func() {
			ended <- c.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
				events <- string(e.Body)
				return ctx.Err()
			})
		}()
		const minutes = 3
		for n := range minutes * 60 {
			require.NoError(t, srv.Send(t.Context(), "hub", eventhubs.Event{Body: fmt.Append(nil, n)}))
			handled[<-events]++
			time.Sleep(time.Second)
			if n == 60 {
				_, err := store.Client().Delete(t.Context(), nil)
				require.NoError(t, err)
			}
		}
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, c.Close(t.Context()))
		require.Len(t, handled, minutes*60)
		for body, times := range handled {
			require.Equal(t, 1, times, "event %s", body)
		}
		namespace, _, _ := strings.Cut(cfg.Namespace, ":")
		found, err := store.ListCheckpoints(t.Context(), namespace, "hub", "$Default", nil)
		require.NoError(t, err)
		require.Len(t, found, 4)
	})
}
