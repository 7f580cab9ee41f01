package eventhubs_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// withAndWithoutTLS runs a test over wss and over ws.
func withAndWithoutTLS(t *testing.T, test func(t *testing.T, s *scene)) {
	for name, secure := range map[string]bool{"wss": true, "ws": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSceneOn(t, eventhubstest.Options{TLS: secure, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 2}}})
			s.cfg.WebSockets = true
			test(t, s)
		})
	}
}

func TestWebSocketsSendAndReceive(t *testing.T) {
	withAndWithoutTLS(t, func(t *testing.T, s *scene) {
		large := eventhubs.Event{PartitionID: "1", Body: bytes.Repeat([]byte("x"), 900<<10)} // many frames, of AMQP and of WebSocket
		p := newProducer(t, s.cfg)
		require.NoError(t, p.Send(t.Context(), large, large))
		s.send("0", 1000)
		r := s.receive("only", calm(), func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.PartitionID == "1" && !bytes.Equal(e.Body, large.Body) {
				t.Error("the body has changed")
			}
			return nil
		})
		s.untilAll()
		r.stop()
		s.require(t, 0, 0, 0)
	})
}

// Connections that drop while handlers run lose nothing.
func TestWebSocketsDrop(t *testing.T) {
	withAndWithoutTLS(t, func(t *testing.T, s *scene) {
		s.send("0", 200)
		s.send("1", 200)
		var n atomic.Int32
		r := s.receive("only", calm(), func(context.Context, *eventhubs.ReceivedEvent) error {
			if n.Add(1)%80 == 0 {
				s.srv.DropConnections()
			}
			return nil
		})
		s.untilAll()
		s.send("0", 10)
		s.untilAll()
		r.stop()
		s.require(t, 0, 0, 0)
	})
}

// relay passes connections on to a server, and keeps what clients say first.
type relay struct {
	net.Listener
	to string

	mu    sync.Mutex
	first []string
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := &relay{to: to}
	r.Listener = listening(t, r.pass)
	return r
}

// listening serves each connection that is made to a listener of the test's.
func listening(t *testing.T, serve func(net.Conn)) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serve(nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return ln
}

func (r *relay) pass(nc net.Conn) {
	defer nc.Close()
	first := make([]byte, 4096)
	n, err := nc.Read(first)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.first = append(r.first, string(first[:n]))
	r.mu.Unlock()
	out, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer out.Close()
	join(io.MultiReader(bytes.NewReader(first[:n]), nc), nc, out)
}

// join copies between two connections until one of them ends. in is what is read from the first.
func join(in io.Reader, a, b net.Conn) {
	var copying sync.WaitGroup
	copying.Go(func() {
		defer b.Close()
		_, _ = io.Copy(b, in)
	})
	_, _ = io.Copy(a, b)
	a.Close()
	copying.Wait()
}

func (r *relay) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.first...)
}

// contoso is a connection string for a namespace that is not there: whoever gets through to the server has been told where it is.
func contoso(srv *eventhubstest.Server) string {
	return "Endpoint=sb://contoso.servicebus.windows.net" + strings.TrimPrefix(srv.ConnectionString("hub"), "Endpoint=sb://"+namespaceOf(srv))
}

// exchange sends an event and receives it.
func exchange(t *testing.T, cfg eventhubs.Config) {
	t.Helper()
	require.NoError(t, newProducer(t, cfg).Send(t.Context(), eventhubs.Event{PartitionID: "0", Body: []byte("event")}))
	require.NoError(t, receiveOne(t.Context(), cfg))
}

// receiveOne receives until an event comes.
func receiveOne(ctx context.Context, cfg eventhubs.Config) error {
	c, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	came := false
	err = c.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error {
		came = true
		stop()
		return nil
	})
	if err == nil && !came {
		err = context.Cause(ctx)
	}
	if closing := c.Close(context.WithoutCancel(ctx)); err == nil {
		err = closing
	}
	return err
}

// An Endpoint is what is dialled; names are still the namespace's. The caller's TLSConfig stays as it is.
func TestWebSocketsEndpoint(t *testing.T) {
	for name, webSockets := range map[string]bool{"TLS": false, "wss": true} {
		t.Run(name, func(t *testing.T) {
			srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
			var wanted sync.Map
			config := srv.Config("hub").TLSConfig
			config.ServerName = ""
			config.VerifyConnection = func(s tlsState) error {
				wanted.Store(s.ServerName, true)
				return nil
			}
			r := newRelay(t, namespaceOf(srv))
			cfg := eventhubs.Config{ConnectionString: contoso(srv), TLSConfig: config, Endpoint: r.Addr().String(), WebSockets: webSockets}
			exchange(t, cfg)
			require.NotEmpty(t, r.said(), "the endpoint was dialled")
			wanted.Range(func(name, _ any) bool {
				require.Equal(t, "contoso.servicebus.windows.net", name)
				return true
			})
			require.Empty(t, config.ServerName)
			require.Equal(t, "contoso.servicebus.windows.net/hub (connection string)"+map[bool]string{true: " over WebSockets"}[webSockets]+" through "+cfg.Endpoint, cfg.String())

			config.ServerName = "other.servicebus.windows.net"
			nc, err := eventhubs.Dial(t.Context(), cfg)
			require.NoError(t, err)
			require.NoError(t, nc.Close())
			_, given := wanted.Load("other.servicebus.windows.net")
			require.True(t, given, "a ServerName that is given is used")
		})
	}
	for name, webSockets := range map[string]bool{"plaintext": false, "ws": true} {
		t.Run(name, func(t *testing.T) {
			srv := eventhubstest.Start(t, nil)
			r := newRelay(t, namespaceOf(srv))
			exchange(t, eventhubs.Config{ConnectionString: contoso(srv), Endpoint: r.Addr().String(), WebSockets: webSockets})
			require.NotEmpty(t, r.said())
			for _, said := range r.said() {
				if !webSockets {
					require.True(t, strings.HasPrefix(said, "AMQP"), "%q", said)
					continue
				}
				require.True(t, strings.HasPrefix(said, "GET /$servicebus/websocket HTTP/1.1\r\n"), "%q", said)
				require.Contains(t, said, "\r\nHost: contoso.servicebus.windows.net\r\n")
				require.Contains(t, said, "\r\nSec-Websocket-Protocol: amqp\r\n")
			}
		})
	}
}

// A connection outlives the context that it was dialled with.
func TestWebSocketsOutliveTheirDial(t *testing.T) {
	withAndWithoutTLS(t, func(t *testing.T, s *scene) {
		ctx, cancel := context.WithCancel(t.Context())
		nc, err := eventhubs.Dial(ctx, s.cfg)
		require.NoError(t, err)
		defer nc.Close()
		cancel()
		_, err = nc.Write([]byte("AMQP\x03\x01\x00\x00"))
		require.NoError(t, err)
		header := make([]byte, 8)
		_, err = io.ReadFull(nc, header)
		require.NoError(t, err)
		require.Equal(t, "AMQP\x03\x01\x00\x00", string(header))
	})
}
