package eventhubstest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestInMemory runs everything in virtual time, over each way to reach the server.
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
				sendAndReceive(t, cfg, blobs, 2)
				srv.Close()
				requireAlone(t)
			})
		})
	}
}

// sendAndReceive sends and receives an event every few minutes.
func sendAndReceive(t *testing.T, cfg eventhubs.Config, blobs eventhubs.BlobConfig, events int) {
	t.Helper()
	const pause = 5 * time.Minute
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
		time.Sleep(pause)
	}
	require.EqualValues(t, events, handled.Load())
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, c.Close(t.Context()))
	require.NoError(t, p.Close(t.Context()))
	require.Equal(t, time.Duration(events)*pause, time.Since(began).Truncate(pause))
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
		requireAlone(t)
	})
}

// TestSDKInMemory connects clients of the SDK itself to the server.
func TestSDKInMemory(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]eventhubstest.Options{"plain": {}, "TLS": {TLS: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				options.InMemory = true
				srv := eventhubstest.Start(t, &options)
				p, err := azeventhubs.NewProducerClientFromConnectionString(srv.ConnectionString("hub"), "",
					&azeventhubs.ProducerClientOptions{NewWebSocketConn: srv.NewWebSocketConn})
				require.NoError(t, err)
				_, err = p.GetEventHubProperties(t.Context(), nil)
				require.NoError(t, err)
				c, err := azeventhubs.NewConsumerClientFromConnectionString(srv.ConnectionString("hub"), "", "$Default",
					&azeventhubs.ConsumerClientOptions{NewWebSocketConn: srv.NewWebSocketConn})
				require.NoError(t, err)
				_, err = c.GetEventHubProperties(t.Context(), nil) // leaves a goroutine, which Start has to wait for
				require.NoError(t, err)
				require.NoError(t, p.Close(t.Context()))
				require.NoError(t, c.Close(t.Context()))
				srv.Close()
				requireAlone(t)
			})
		})
	}
}

// TestIdentityEndpointInMemory asks the identity endpoint for a token.
func TestIdentityEndpointInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true})
		env := map[string]string{}
		for _, entry := range srv.PasswordlessEnv("hub") {
			name, value, _ := strings.Cut(entry, "=")
			env[name] = value
		}
		client := http.Client{Transport: &http.Transport{DialContext: srv.DialContext}}
		ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			env["IDENTITY_ENDPOINT"]+"?api-version=2019-08-01&resource=https://storage.azure.com/", nil)
		require.NoError(t, err)
		ask.Header.Set("X-IDENTITY-HEADER", env["IDENTITY_HEADER"])
		answer, err := client.Do(ask)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Contains(t, string(body), "access_token")
		srv.Close()
		requireAlone(t)
	})
}

// TestServersInMemoryAreApart shows that servers don't share addresses.
func TestServersInMemoryAreApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, Address: "127.0.0.1:5672"})
		second := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, Address: "127.0.0.1:5672"})
		require.NoError(t, first.Send(t.Context(), "hub", eventhubs.Event{Body: []byte("hello")}))
		require.Len(t, first.AllEvents("hub"), 1)
		require.Empty(t, second.AllEvents("hub"))
	})
}
