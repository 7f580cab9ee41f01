package eventhubs_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestPartitionThatCantBeOpened has a checkpoint that lies behind the end of its partition, as when an event hub was deleted and made anew. The service refuses to begin there,
// and the SDK's Processor says so only in its own log.
func TestPartitionThatCantBeOpened(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, nil)
	sendTo(t, srv, "0", 3)
	sendTo(t, srv, "1", 3)
	store := eventhubs.NewMemoryCheckpointStore()
	require.NoError(t, store.SetCheckpoint(t.Context(), azeventhubs.Checkpoint{
		FullyQualifiedNamespace: namespaceOf(srv), EventHubName: "hub", ConsumerGroup: "$Default", PartitionID: "0",
		SequenceNumber: ptr(int64(700)), Offset: ptr("70000"),
	}, nil))
	cfg := srv.Config("hub")
	var log logs
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	var got received
	cfg.Retry = quickRetry
	receiveUntil(t, newConsumer(t, cfg, store, &eventhubs.ConsumerOptions{UpdateInterval: 100 * time.Millisecond}), got.handle, func() bool { return got.len() == 6 })
	require.Positive(t, log.count("a partition can't be opened", "if the event hub was deleted and made anew, delete its checkpoints"))
	require.Equal(t, []int64{0, 1, 2}, got.seen["0"], "it begins with its earliest event")
	require.Equal(t, []int64{0, 1, 2}, got.seen["1"], "the others go on")
}
