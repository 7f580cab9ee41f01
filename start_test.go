package eventhubs_test

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestNothingListens compares how long Receive takes to fail with what doc.go says. After a first success it does not
// fail.
func TestNothingListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true})
		cfg := srv.Config("hub")
		dial := cfg.DialContext
		for name, tc := range map[string]struct {
			dial  func(ctx context.Context, network, address string) (net.Conn, error)
			bound time.Duration
		}{
			"refused": {func(_ context.Context, network, _ string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}, 10 * time.Second},
			"no such host": {func(_ context.Context, _, address string) (net.Conn, error) {
				return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
			}, 10 * time.Second},
			"not answered": {func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}, 30 * time.Second},
		} {
			cfg.DialContext = tc.dial
			c, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
			require.NoError(t, err)
			began := time.Now()
			require.Error(t, c.Receive(t.Context(), ignore), name)
			require.Less(t, time.Since(began), tc.bound, name)
			require.NoError(t, c.Close(t.Context()))

			cfg.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if time.Since(began) > time.Hour && time.Since(began) < 2*time.Hour {
					return tc.dial(ctx, network, address)
				}
				return dial(ctx, network, address)
			}
			c, err = eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
			require.NoError(t, err)
			time.AfterFunc(time.Until(began.Add(time.Hour+time.Minute)), func() { srv.DropConnections() })
			ctx, cancel := context.WithDeadline(t.Context(), began.Add(3*time.Hour))
			require.NoError(t, c.Receive(ctx, ignore), name)
			cancel()
			require.NoError(t, c.Close(t.Context()))
		}
	})
}

// TestStartHelpers starts with each of them in a partition that has events from before and after an hour.
func TestStartHelpers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(
			t,
			&eventhubstest.Options{InMemory: true, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}},
		)
		send := func(text string) {
			require.NoError(t, srv.Send(t.Context(), "hub", eventhubs.Event{Body: []byte(text)}))
		}
		send("a")
		time.Sleep(time.Hour)
		since := time.Now()
		send("b")
		time.Sleep(time.Hour)
		texts := "ab"
		for _, tc := range []struct {
			start azeventhubs.StartPositions
			want  func() string
		}{
			{eventhubs.Earliest(), func() string { return texts }},
			{eventhubs.Since(since), func() string { return texts[1:] }},
			{eventhubs.Since(since.Add(time.Millisecond)), func() string { return texts[2:] }},
			{eventhubs.Latest(), func() string { return texts[len(texts)-1:] }},
		} {
			c, err := eventhubs.NewConsumer(
				srv.Config("hub"),
				eventhubs.NewMemoryCheckpointStore(),
				&eventhubs.ConsumerOptions{Start: tc.start},
			)
			require.NoError(t, err)
			var got strings.Builder
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			time.AfterFunc(time.Minute, func() { send("c") })
			texts += "c"
			require.NoError(t, c.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
				got.Write(e.Body)
				return nil
			}))
			cancel()
			require.NoError(t, c.Close(t.Context()))
			require.Equal(t, tc.want(), got.String())
		}
	})
}

// TestLogsAreReadable looks at the log in JSON of a handler that fails and a store that is down: durations are texts.
func TestLogsAreReadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(
			t,
			&eventhubstest.Options{InMemory: true, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}},
		)
		require.NoError(t, srv.Send(t.Context(), "hub", eventhubs.Event{Body: []byte("a")}))
		var log records
		cfg, blobs := srv.Config("hub"), srv.BlobConfig("checkpoints")
		cfg.Logger, blobs.Logger = log.logger(), log.logger()
		store, err := eventhubs.NewBlobCheckpointStore(t.Context(), blobs)
		require.NoError(t, err)
		c, err := eventhubs.NewConsumer(cfg, store, nil)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		time.AfterFunc(time.Minute, func() {
			repair := srv.BlobFault(eventhubstest.BlobFault{Status: 503})
			srv.DropConnections()
			time.AfterFunc(5*time.Minute, repair)
		})
		require.NoError(t, c.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			if e.Attempt < 5 {
				return context.DeadlineExceeded
			}
			select { // it stalls
			case <-time.After(10 * time.Minute):
			case <-ctx.Done():
			}
			return nil
		}))
		require.NoError(t, c.Close(t.Context()))
		require.NotEmpty(t, log.about("the handler failed"))
		require.NotEmpty(t, log.about("stalled"))
		require.NotEmpty(t, log.about("store answers again"))
		for _, line := range log.about("") {
			for name, value := range line {
				switch name {
				case "again_in", "after", "for", "since", "took":
					d, err := time.ParseDuration(value.(string))
					require.NoError(t, err, "%v", line)
					require.Equal(t, d.Round(time.Millisecond), d, "%v", line)
				}
				if n, ok := value.(float64); ok {
					require.Less(t, n, 1e6, "%s in %v may be nanoseconds", name, line)
				}
			}
		}
	})
}
