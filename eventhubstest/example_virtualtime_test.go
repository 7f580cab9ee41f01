package eventhubstest_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestVirtualTime tests in virtual time that a consumer survives an hour without storage, and a broken connection. It
// takes hours on the clock of its bubble, and next to nothing on yours. A test of your program looks the same.
func TestVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true})
		store, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
		require.NoError(t, err)
		cfg := srv.Config("hub")
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil)) // go test -v shows what happened when
		consumer, err := eventhubs.NewConsumer(cfg, store, nil)
		require.NoError(t, err)

		var handled []string // no lock: events go to one partition, so handlers don't run at once
		ended := make(chan error, 1)
		go func() {
			ended <- consumer.Receive(t.Context(), func(_ context.Context, e *eventhubs.ReceivedEvent) error {
				handled = append(handled, string(e.Body))
				return nil
			})
		}()
		send := func(body string) {
			require.NoError(t, srv.Send(t.Context(), "hub", eventhubs.Event{PartitionID: "0", Body: []byte(body)}))
		}

		send("before")
		time.Sleep(time.Minute)
		repair := srv.BlobFault(eventhubstest.BlobFault{Status: 503, Code: "ServerBusy"})
		srv.DropConnections()
		send("during the outage")
		time.Sleep(time.Hour)
		repair()
		send("after")
		time.Sleep(time.Minute)

		require.NoError(t, consumer.Close(t.Context()))
		require.NoError(t, <-ended)
		require.Equal(t, []string{"before", "during the outage", "after"}, handled)
	})
}
