package eventhubstest_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

// header is the first thing that a client sends that speaks AMQP with SASL. The server answers with the same.
const header = "AMQP\x03\x01\x00\x00"

// exchangeHeaders opens a connection to the server, and exchanges the first bytes.
func exchangeHeaders(t *testing.T, srv *eventhubstest.Server) net.Conn {
	t.Helper()
	nc, err := srv.NewWebSocketConn(t.Context(), azeventhubs.WebSocketConnParams{})
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	_, err = io.WriteString(nc, header)
	require.NoError(t, err)
	answer := make([]byte, len(header))
	_, err = io.ReadFull(nc, answer)
	require.NoError(t, err)
	require.Equal(t, header, string(answer))
	return nc
}

// eachMemory runs a test with servers in memory, with and without TLS and a round trip.
func eachMemory(t *testing.T, test func(t *testing.T, srv *eventhubstest.Server)) {
	t.Parallel()
	for name, options := range map[string]eventhubstest.Options{
		"plain": {}, "TLS": {TLS: true}, "TLS, far away": {TLS: true, RoundTrip: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				options.InMemory = true
				test(t, eventhubstest.Start(t, &options))
			})
		})
	}
}

func TestDropConnectionsInMemory(t *testing.T) {
	eachMemory(t, func(t *testing.T, srv *eventhubstest.Server) {
		nc := exchangeHeaders(t, srv)
		began := time.Now()
		srv.DropConnections()
		_, err := io.Copy(io.Discard, nc)
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Zero(t, time.Since(began))
		exchangeHeaders(t, srv)
	})
}

func TestSilenceConnections(t *testing.T) {
	eachMemory(t, func(t *testing.T, srv *eventhubstest.Server) {
		nc := exchangeHeaders(t, srv)
		srv.SilenceConnections()
		for range 10 {
			_, err := io.WriteString(nc, strings.Repeat("lost", 1<<20))
			require.NoError(t, err)
		}
		require.NoError(t, nc.SetReadDeadline(time.Now().Add(24*time.Hour)))
		_, err := io.Copy(io.Discard, nc)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the server's own timeout must not be noticed")
		exchangeHeaders(t, srv)
		srv.Close()
		requireAlone(t)
	})
}

func TestIgnoreDials(t *testing.T) {
	eachMemory(t, func(t *testing.T, srv *eventhubstest.Server) {
		resume := srv.IgnoreDials()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		_, err := srv.NewWebSocketConn(ctx, azeventhubs.WebSocketConnParams{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Hour, time.Since(began))
		time.AfterFunc(time.Hour, resume)
		exchangeHeaders(t, srv)
		require.GreaterOrEqual(t, time.Since(began), 2*time.Hour)
	})
}

// TestSendAfterSilence shows that a producer reaches the server again after its connection went silent.
func TestSendAfterSilence(t *testing.T) {
	eachMemory(t, func(t *testing.T, srv *eventhubstest.Server) {
		for _, webSockets := range []bool{false, true} {
			cfg := srv.Config("hub")
			cfg.WebSockets = webSockets
			p, err := eventhubs.NewProducer(cfg, nil)
			require.NoError(t, err)
			event := eventhubs.Event{PartitionID: "0", Body: []byte("hello")}
			require.NoError(t, p.Send(t.Context(), event))
			stored := len(srv.Events("hub", "0"))
			srv.SilenceConnections()
			began := time.Now()
			for p.Send(t.Context(), event) != nil {
				require.Less(t, time.Since(began), 10*time.Minute)
			}
			require.NotZero(t, time.Since(began))
			require.Len(t, srv.Events("hub", "0"), stored+1)
			require.NoError(t, p.Close(t.Context()))
		}
		srv.Close()
		requireAlone(t)
	})
}

func TestSilenceBlobConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true})
		store, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
		require.NoError(t, err)
		began := time.Now()
		list := func() {
			_, err := store.ListOwnership(t.Context(), "namespace", "hub", "$Default", nil)
			require.NoError(t, err)
		}
		list()
		require.Zero(t, time.Since(began))
		srv.SilenceBlobConnections()
		list() // succeeds on a new connection once azblob has given this one up
		require.NotZero(t, time.Since(began))
		srv.Close()
		requireAlone(t)
	})
}

// TestCloseTwiceAtOnce has a silent peer hold Close up, while another goroutine closes the server as well.
func TestCloseTwiceAtOnce(t *testing.T) {
	eachMemory(t, func(t *testing.T, srv *eventhubstest.Server) {
		exchangeHeaders(t, srv)
		synctest.Wait()
		began := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(srv.Close)
		}
		wg.Wait()
		require.NotZero(t, time.Since(began), "nothing held it up")
		requireAlone(t)
	})
}

// requireAlone fails the test if other goroutines are left in its bubble, except those that the SDK leaves.
func requireAlone(t *testing.T) {
	t.Helper()
	require.Empty(t, leaktest.LeftInBubble())
}
