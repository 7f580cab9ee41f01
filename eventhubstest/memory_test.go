package eventhubstest_test

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

// tokenLife is longer than the SDK waits before it renews a token that nobody needs any more: see afterwards.
const tokenLife = 24 * time.Hour

// TestInMemory runs everything in virtual time, on each way to reach the server. The bubble fails if a goroutine is left.
func TestInMemory(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]struct {
		options      eventhubstest.Options
		passwordless bool
		webSockets   bool
	}{
		"plain":                    {},
		"TLS":                      {options: eventhubstest.Options{TLS: true}},
		"passwordless":             {options: eventhubstest.Options{TLS: true, TokenLifetime: time.Hour}, passwordless: true},
		"WebSockets":               {webSockets: true},
		"passwordless, WebSockets": {options: eventhubstest.Options{TLS: true}, passwordless: true, webSockets: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				way.options.InMemory = true
				srv := eventhubstest.Start(t, &way.options)
				cfg, blobs := srv.Config("hub"), srv.BlobConfig("checkpoints")
				if way.passwordless {
					cfg, blobs = srv.PasswordlessConfig("hub"), srv.PasswordlessBlobConfig("checkpoints")
				}
				cfg.WebSockets = way.webSockets
				sendAndReceive(t, cfg, blobs, 6)
				srv.Close()
				time.Sleep(tokenLife)
			})
		})
	}
}

// sendAndReceive sends and receives an event an hour.
func sendAndReceive(t *testing.T, cfg eventhubs.Config, blobs eventhubs.BlobConfig, events int) {
	began := time.Now()
	store, err := eventhubs.NewBlobCheckpointStore(t.Context(), blobs)
	require.NoError(t, err)
	p, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(t, err)
	c, err := eventhubs.NewConsumer(cfg, store, nil)
	require.NoError(t, err)
	var handled atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- c.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error {
			handled.Add(1)
			return nil
		})
	}()
	for i := range events {
		require.NoError(t, p.Send(t.Context(), eventhubs.Event{Body: fmt.Append(nil, i)}))
		time.Sleep(time.Hour)
	}
	require.EqualValues(t, events, handled.Load())
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, c.Close(t.Context()))
	require.NoError(t, p.Close(t.Context()))
	require.Equal(t, time.Duration(events)*time.Hour, time.Since(began).Truncate(time.Hour))
}

// TestRoundTripInMemory sends events to one partition.
func TestRoundTripInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const roundTrip, events = 100 * time.Millisecond, 10
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true, RoundTrip: roundTrip})
		p, err := eventhubs.NewProducer(srv.Config("hub"), nil)
		require.NoError(t, err)
		send := func(i int) {
			require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0", Body: fmt.Append(nil, i)}))
		}
		send(0) // opens the link
		began := time.Now()
		for i := range events {
			send(i)
		}
		require.Equal(t, events*roundTrip, time.Since(began))
		require.Len(t, srv.Events("hub", "0"), 1+events)
		require.NoError(t, p.Close(t.Context()))
		srv.Close()
		time.Sleep(tokenLife)
	})
}
