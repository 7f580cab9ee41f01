package outside_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/outside"
	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func TestTotals(t *testing.T) {
	srv := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "orders", Partitions: 2}}})
	producer, err := eventhubs.NewProducer(srv.Config("orders"), nil)
	require.NoError(t, err)
	defer producer.Close(t.Context())
	for i := range 10 {
		require.NoError(t, producer.Send(t.Context(), eventhubs.Event{Body: []byte(strconv.Itoa(i))}))
	}

	consumer, err := eventhubs.NewConsumer(srv.Config("orders"), eventhubs.NewMemoryCheckpointStore(), nil)
	require.NoError(t, err)
	defer consumer.Close(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	received := make(chan error, 1)
	var totals outside.Totals
	go func() { received <- consumer.Receive(ctx, totals.Handle) }()
	require.Eventually(t, func() bool { return totals.Sum() == 45 }, 10*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-received)
}

// The checkpoints are in blobs, so that azblob is run as well, in whichever version this module requires.
func TestTotalsResumeAfterARestart(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	require.NoError(t, err)
	defer producer.Close(t.Context())
	var totals outside.Totals
	for sum := range 3 {
		require.NoError(t, producer.Send(t.Context(), eventhubs.Event{Body: []byte("1")}))
		store, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
		require.NoError(t, err)
		consumer, err := eventhubs.NewConsumer(srv.Config("hub"), store, nil)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		received := make(chan error, 1)
		go func() { received <- consumer.Receive(ctx, totals.Handle) }()
		require.Eventually(t, func() bool { return totals.Sum() > sum }, 10*time.Second, time.Millisecond)
		cancel()
		require.NoError(t, <-received)
		require.Equal(t, sum+1, totals.Sum())
		require.NoError(t, consumer.Close(t.Context()))
	}
}

func TestTotalsStopAtWhatIsNoAmount(t *testing.T) {
	srv := eventhubstest.Start(t, nil)
	producer, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	require.NoError(t, err)
	defer producer.Close(t.Context())
	require.NoError(t, producer.Send(t.Context(), eventhubs.Event{Body: []byte("many")}))

	consumer, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
	require.NoError(t, err)
	defer consumer.Close(t.Context())
	var failed *eventhubs.HandlerError
	require.ErrorAs(t, consumer.Receive(t.Context(), new(outside.Totals).Handle), &failed)
	require.ErrorContains(t, failed.Err, "not an amount")
}
