package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// impatient is a Config with which the SDK gives up soon, and says nothing.
func impatient(srv *eventhubstest.Server) eventhubs.Config {
	cfg := srv.Config("hub")
	cfg.Retry = quickRetry
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	return cfg
}

// TestSendSharesBatches has many calls send to one partition, whose batches go one by one. If each call had a batch of its own, they would take 20 seconds.
func TestSendSharesBatches(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, srv.Config("hub"))
	require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0"}))
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Delay: 100 * time.Millisecond})
	began := time.Now()
	var sending sync.WaitGroup
	errs := make([]error, 200)
	for i := range errs {
		sending.Go(func() { errs[i] = p.Send(t.Context(), eventhubs.Event{PartitionID: "0"}) })
	}
	sending.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Less(t, time.Since(began), 10*time.Second)
	require.Len(t, srv.Events("hub", "0"), 201)
}

// TestSendOutlastsTheSDK has the service be busy, or links and connections fail, more often than the SDK tries.
func TestSendOutlastsTheSDK(t *testing.T) {
	for _, condition := range []string{"com.microsoft:server-busy", "com.microsoft:timeout", "amqp:link:detach-forced", "amqp:connection:forced", "amqp:internal-error"} {
		t.Run(condition, func(t *testing.T) {
			t.Parallel()
			srv := eventhubstest.Start(t, nil)
			p := newProducer(t, impatient(srv))
			require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0", Body: []byte("0")}))
			srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: condition, Times: 9})
			var want []string
			for i := range 10 {
				want = append(want, fmt.Sprint(i))
			}
			for _, body := range want[1:] {
				require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0", Body: []byte(body)}))
			}
			var got []string
			for _, e := range srv.Events("hub", "0") {
				got = append(got, string(e.Body))
			}
			require.Equal(t, want, got)
		})
	}
}

// TestSendGivesUpBeforeTheFirstSuccess: where nothing ever answered, waiting is of no use.
func TestSendGivesUpBeforeTheFirstSuccess(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, impatient(srv))
	srv.Close()
	require.ErrorContains(t, p.Send(t.Context(), eventhubs.Event{}), "eventhubs: send hub: nothing listens there: check the namespace ")
}

// TestFailureHoldsBackWhatIsBehind: an event must not overtake one of the same key that has failed.
func TestFailureHoldsBackWhatIsBehind(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, impatient(srv))
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: "amqp:resource-limit-exceeded", Times: 1})
	var events []eventhubs.Event
	for i := range 3000 { // of 1 KB: three batches
		events = append(events, eventhubs.Event{PartitionKey: "key", Body: fmt.Appendf(nil, "%01000d", i)})
	}
	var failed *eventhubs.SendError
	require.ErrorAs(t, p.Send(t.Context(), events...), &failed)
	require.Len(t, failed.Unsent, len(events))
	require.True(t, slices.IsSorted(failed.Unsent))
	require.Empty(t, srv.AllEvents("hub"))
}

func TestCloseEndsSend(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, nil)
	p, err := eventhubs.NewProducer(srv.Config("hub"), nil)
	require.NoError(t, err)
	srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, After: true}) // answers are lost
	ended := make(chan error, 1)
	go func() { ended <- p.Send(t.Context(), eventhubs.Event{}) }()
	require.Eventually(t, func() bool { return len(srv.AllEvents("hub")) == 1 }, patience, time.Millisecond)
	require.NoError(t, p.Close(t.Context()))
	require.ErrorContains(t, <-ended, "the producer is closed")
	require.ErrorContains(t, p.Send(t.Context(), eventhubs.Event{}), "the producer is closed")
	require.NoError(t, p.Close(t.Context()))
}

// TestSendWaitsForRoom sends far more than a Producer has on its way while no answer comes, so that it has to wait; when the caller leaves, all that it had is free again.
func TestSendWaitsForRoom(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, &eventhubstest.Options{RetentionBytes: 256 << 20})
	p := newProducer(t, srv.Config("hub"))
	remove := srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, After: true})
	events := make([]eventhubs.Event, 1000)
	for i := range events {
		events[i] = eventhubs.Event{Body: make([]byte, 100<<10), PartitionKey: fmt.Sprint(i % 50)}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Send(ctx, events...) }()
	require.Eventually(t, func() bool { return len(srv.AllEvents("hub")) > 50 }, patience, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Less(t, len(srv.AllEvents("hub")), 500, "most of it was never on its way")
	remove()
	srv.DropConnections() // those whose answers were lost are sent again
	require.NoError(t, p.Send(t.Context(), events[:200]...))
}

// TestSendToManyKeys: keys travel side by side, and leave nothing behind.
func TestSendToManyKeys(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, nil)
	p := newProducer(t, srv.Config("hub"))
	events := make([]eventhubs.Event, 20_000)
	for i := range events {
		events[i] = eventhubs.Event{PartitionKey: fmt.Sprint(i)}
	}
	require.NoError(t, p.Send(t.Context(), events...))
	require.Len(t, srv.AllEvents("hub"), len(events))
}
