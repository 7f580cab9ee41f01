package eventhubstest_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A silent connection sends nothing, not even the good-byes of TLS and WebSockets.
func TestSilenceConnection(t *testing.T) {
	for name, way := range map[string]struct {
		tls bool
		hop func(t *testing.T, nc net.Conn) net.Conn
	}{
		"plain":      {false, func(_ *testing.T, nc net.Conn) net.Conn { return nc }},
		"TLS":        {true, func(_ *testing.T, nc net.Conn) net.Conn { return nc }},
		"WebSockets": {false, func(t *testing.T, nc net.Conn) net.Conn { return dialWebSocket(t, nc, "amqp") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: way.tls})
				var happened atomic.Int64
				s.Fault(eventhubstest.Fault{
					On: eventhubstest.OnOpen, SilenceConnection: true, Times: 1, Happened: &happened,
				})
				address, _, _ := strings.Cut(strings.TrimPrefix(s.ConnectionString(""), "Endpoint=sb://"), ";")
				below, err := s.DialContext(t.Context(), "tcp", address)
				require.NoError(t, err)
				nc := below
				if way.tls {
					nc = tls.Client(below, s.Config("hub").TLSConfig)
				}
				nc = way.hop(t, nc)
				_, err = io.WriteString(nc, amqpHeader+openFrame)
				require.NoError(t, err)
				_, err = io.ReadFull(nc, make([]byte, len(amqpHeader)))
				require.NoError(t, err)
				require.NoError(t, nc.SetReadDeadline(time.Now().Add(time.Hour)))
				n, err := below.Read(make([]byte, 100))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Zero(t, n)
				require.EqualValues(t, 1, happened.Load())

				require.NoError(t, nc.SetReadDeadline(time.Now().Add(time.Hour)))
				s.DropConnections()
				_, err = below.Read(make([]byte, 100))
				require.Error(t, err)
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
				nc.Close()
			})
		})
	}
}

// Clients of the SDK come to every exchange, except that their links to $cbs and $management end with their sessions.
func TestSDKComesToEveryExchange(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	happened := map[string]*atomic.Int64{}
	count := func(name string, f eventhubstest.Fault) {
		f.Happened, f.Delay = new(atomic.Int64), time.Microsecond
		happened[name] = f.Happened
		s.Fault(f)
	}
	for _, on := range []eventhubstest.Operation{
		eventhubstest.OnConnect, eventhubstest.OnSASL, eventhubstest.OnOpen, eventhubstest.OnBegin,
		eventhubstest.OnHubProperties, eventhubstest.OnPartitionProperties, eventhubstest.OnPublish, eventhubstest.OnReceive,
		eventhubstest.OnEnd, eventhubstest.OnClose,
	} {
		count(string(on), eventhubstest.Fault{On: on})
	}
	links := []eventhubstest.LinkKind{
		eventhubstest.SenderLink, eventhubstest.ReaderLink, eventhubstest.TokenLink, eventhubstest.ManagementLink,
	}
	for _, link := range links {
		count("attach "+string(link), eventhubstest.Fault{On: eventhubstest.OnAttach, Link: link})
		if link != eventhubstest.TokenLink {
			count("token "+string(link), eventhubstest.Fault{On: eventhubstest.OnToken, Link: link})
		}
	}
	for _, link := range links[:2] {
		count("detach "+string(link), eventhubstest.Fault{On: eventhubstest.OnDetach, Link: link})
	}

	p, c := producer(t, s.Config("hub")), consumer(t, s.Config("hub"))
	require.NoError(t, send(ctx(t), p, "0", "x"))
	pc := partition(t, c, "0")
	_, err := pc.ReceiveEvents(ctx(t), 1, nil)
	require.NoError(t, err)
	_, err = c.GetEventHubProperties(ctx(t), nil)
	require.NoError(t, err)
	_, err = c.GetPartitionProperties(ctx(t), "0", nil)
	require.NoError(t, err)
	require.NoError(t, pc.Close(ctx(t)))
	require.NoError(t, p.Close(ctx(t)))
	require.NoError(t, c.Close(ctx(t)))
	for name, n := range happened {
		require.Eventually(t, func() bool { return n.Load() > 0 }, patience, time.Millisecond, name)
	}
}
