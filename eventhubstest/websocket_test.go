package eventhubstest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
	"github.com/go-eventhubs/eventhubs/internal/wsconn"
)

const (
	upgrade = "GET /$servicebus/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n" +
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
	forAMQP     = "Sec-WebSocket-Protocol: amqp\r\n"
	amqpHeader  = "AMQP\x00\x01\x00\x00"
	openFrame   = "\x00\x00\x00\x11\x02\x00\x00\x00\x00\x53\x10\xc0\x04\x01\xa1\x01c" // container-id "c"
	headerTaken = "HTTP/1.1 101 Switching Protocols\r\n"
)

// dialPlain connects to the server's AMQP address.
func dialPlain(t *testing.T, s *eventhubstest.Server) net.Conn {
	t.Helper()
	address, _ := addresses(t, s)
	nc, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	return nc
}

// dialWebSocket opens a WebSocket to a server. The connection that it returns carries AMQP.
func dialWebSocket(t *testing.T, nc net.Conn, protocol string) net.Conn {
	t.Helper()
	return dialWebSocketAt(t, nc, "/$ServiceBus/WebSocket", protocol)
}

func dialWebSocketAt(t *testing.T, nc net.Conn, path, protocol string) net.Conn {
	t.Helper()
	dialed := func(context.Context, string, string) (net.Conn, error) { return nc, nil }
	ws, _, err := websocket.Dial(ctx(t), "ws://localhost"+path, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: &http.Transport{DialContext: dialed}},
		Subprotocols: []string{"mqtt", protocol},
	})
	require.NoError(t, err)
	require.Equal(t, protocol, ws.Subprotocol())
	t.Cleanup(func() { _ = ws.CloseNow() })
	return wsconn.New(ws, nc)
}

// A request that is not for AMQP over WebSockets is answered, and the connection closed.
func TestWebSocketRefused(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	for name, tc := range map[string]struct {
		says string
		want int
	}{
		"another path":        {strings.Replace(upgrade, "$servicebus", "$iothub", 1) + forAMQP + "\r\n", 404},
		"two slashes":         {strings.Replace(upgrade, "websocket HTTP", "websocket// HTTP", 1) + forAMQP + "\r\n", 404},
		"the root":            {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		"no subprotocol":      {upgrade + "\r\n", 400},
		"another subprotocol": {upgrade + "Sec-WebSocket-Protocol: mqtt, amqp2\r\n\r\n", 400},
		"no upgrade":          {"GET /$servicebus/websocket HTTP/1.1\r\nHost: localhost\r\n" + forAMQP + "\r\n", 426},
		"another version":     {strings.Replace(upgrade, ": 13", ": 12", 1) + forAMQP + "\r\n", 400},
		"another origin":      {upgrade + forAMQP + "Origin: https://example.com\r\n\r\n", 403},
		"malformed":           {"GARBAGE\r\n\r\n", 400},
		"too large":           {upgrade + "X-Large: " + strings.Repeat("x", 64<<10) + "\r\n" + forAMQP + "\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			nc := dialPlain(t, s)
			_, err := io.WriteString(nc, tc.says)
			require.NoError(t, err)
			said, err := io.ReadAll(nc)
			require.NoError(t, err)
			require.Contains(t, string(said), "\r\nConnection: close\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(said)), nil)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, tc.want, answer.StatusCode)
		})
	}
}

// Official clients ask for AMQP by two names, and some end the path with a slash.
func TestWebSocketProtocols(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	for _, c := range []struct{ path, protocol string }{
		{"/$ServiceBus/WebSocket", "amqp"}, {"/$servicebus/websocket", "AMQPWSB10"}, {"/$servicebus/websocket/", "AMQPWSB10"},
	} {
		nc := dialWebSocketAt(t, dialPlain(t, s), c.path, c.protocol)
		_, err := io.WriteString(nc, amqpHeader)
		require.NoError(t, err)
		header := make([]byte, 8)
		_, err = io.ReadFull(nc, header)
		require.NoError(t, err)
		require.Equal(t, amqpHeader, string(header))
	}
}

// serve serves one connection with short limits, and returns the client's end of it, and what Serve returns.
func serve(t *testing.T, cfg amqp.Config) (net.Conn, <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	accepted, err := ln.Accept()
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- amqp.NewConn(eventhubstest.NewAMQPConn(accepted), cfg, nil).Serve() }()
	return nc, ended
}

// Peers that fall silent are dropped at every stage, as those that speak AMQP without WebSockets are.
func TestWebSocketSilence(t *testing.T) {
	for name, says := range map[string]string{
		"nothing":           "",
		"one byte":          "G",
		"half a request":    "GET /$servicebus/websocket HTTP/1.1\r\nHost: local",
		"no end of headers": upgrade + forAMQP,
		"only a WebSocket":  upgrade + forAMQP + "\r\n",
		"half a message":    upgrade + forAMQP + "\r\n\x82\x88\x00\x00\x00\x00AM",
		"half a header":     upgrade + forAMQP + "\r\n\x82\x84\x00\x00\x00\x00AMQP",
	} {
		t.Run(name, func(t *testing.T) {
			nc, ended := serve(t, amqp.Config{HandshakeTimeout: 50 * time.Millisecond})
			_, err := io.WriteString(nc, says)
			require.NoError(t, err)
			select {
			case err := <-ended:
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			case <-time.After(patience):
				t.Fatal("a silent peer is not dropped")
			}
			answer, err := io.ReadAll(nc)
			require.NoError(t, err)
			upgraded := strings.HasSuffix(says, "\r\n\r\n") || strings.Contains(says, "\x82")
			require.Equal(t, upgraded, bytes.HasPrefix(answer, []byte(headerTaken)), "%q", answer)
		})
	}
	t.Run("after the handshake", func(t *testing.T) { // it is told why
		nc, ended := serve(t, amqp.Config{IdleTimeout: 50 * time.Millisecond})
		over := dialWebSocket(t, nc, "amqp")
		_, err := io.WriteString(over, amqpHeader+openFrame)
		require.NoError(t, err)
		got, err := io.ReadAll(over)
		require.NoError(t, err)
		require.Contains(t, string(got), "the peer was silent for 50ms")
		require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
	})
}

// A peer that breaks the rules of WebSockets, or of AMQP within them, loses its connection.
func TestWebSocketGarbage(t *testing.T) {
	begun := upgrade + forAMQP + "\r\n"
	for name, says := range map[string]string{
		"not WebSocket":      begun + strings.Repeat("garbage", 100),
		"not masked":         begun + "\x82\x08" + amqpHeader,
		"text":               begun + "\x81\x88\x00\x00\x00\x00" + amqpHeader,
		"a huge message":     begun + "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00" + strings.Repeat("x", 1000),
		"not AMQP":           begun + "\x82\x88\x00\x00\x00\x00garbage!",
		"a close frame":      begun + "\x88\x82\x00\x00\x00\x00\x03\xe8",
		"a broken close":     begun + "\x88\x81\x00\x00\x00\x00\x03",
		"a large ping":       begun + "\x89\xfe\x00\xff\x00\x00\x00\x00" + strings.Repeat("x", 255),
		"no frame but bytes": begun + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			nc, ended := serve(t, amqp.Config{})
			_, err := io.WriteString(nc, says)
			require.NoError(t, err)
			require.NoError(t, nc.(*net.TCPConn).CloseWrite())
			select {
			case err := <-ended:
				require.Error(t, err)
			case <-time.After(patience):
				t.Fatal("the connection goes on")
			}
		})
	}
	t.Run("empty messages without end", func(t *testing.T) {
		nc, ended := serve(t, amqp.Config{HandshakeTimeout: 100 * time.Millisecond})
		flooded := make(chan error, 1)
		go func() {
			_, err := io.WriteString(nc, begun)
			for err == nil {
				_, err = nc.Write(bytes.Repeat([]byte("\x82\x80\x00\x00\x00\x00"), 1000))
			}
			flooded <- err
		}()
		require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
		require.Error(t, <-flooded)
	})
}

// counted counts what is read from a socket.
type counted struct {
	net.Conn
	bytes int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes += n
	return n, err
}

// Close and DropConnections end WebSockets too, open ones and those that are being opened.
func TestWebSocketsEnd(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for name, end := range map[string]func(*eventhubstest.Server){
			"Close": (*eventhubstest.Server).Close, "DropConnections": (*eventhubstest.Server).DropConnections,
		} {
			t.Run(fmt.Sprintf("%s, TLS %v", name, secure), func(t *testing.T) {
				s := eventhubstest.Start(t, &eventhubstest.Options{TLS: secure})
				var socket *counted // the last one that was dialled
				dial := func() net.Conn {
					cfg := s.Config("hub")
					_, rest, _ := strings.Cut(cfg.ConnectionString, "sb://")
					address, _, _ := strings.Cut(rest, ";")
					nc, err := net.Dial("tcp", address)
					require.NoError(t, err)
					t.Cleanup(func() { nc.Close() })
					require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
					socket = &counted{Conn: nc}
					nc = socket
					if secure {
						nc = tls.Client(nc, cfg.TLSConfig)
					}
					return nc
				}
				asking := dial()
				_, err := io.WriteString(asking, upgrade)
				require.NoError(t, err)
				silent := dialWebSocket(t, dial(), "amqp")
				open := dialWebSocket(t, dial(), "amqp")
				_, err = io.WriteString(open, amqpHeader+openFrame)
				require.NoError(t, err)
				_, err = io.ReadFull(open, make([]byte, 20)) // it is served
				require.NoError(t, err)

				before, began := socket.bytes, time.Now()
				end(s)
				require.Less(t, time.Since(began), 3*time.Second)
				for _, nc := range []net.Conn{silent, open} {
					_, err := io.Copy(io.Discard, nc)
					var timeout net.Error
					require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
				}
				if name == "DropConnections" {
					require.Equal(t, before, socket.bytes, "it says no good-bye, not even for TLS")
				}
				if name == "Close" {
					_, err = io.Copy(io.Discard, asking)
					var timeout net.Error
					require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
				}
			})
		}
	}
}

// Connection faults happen to WebSockets, too.
func TestWebSocketConnectFaults(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	s.Fault(eventhubstest.Fault{
		On: eventhubstest.OnConnect, Condition: "amqp:connection:forced", Description: "not now", Times: 1,
	})
	nc := dialWebSocket(t, dialPlain(t, s), "amqp")
	_, err := io.WriteString(nc, amqpHeader+openFrame)
	require.NoError(t, err)
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Contains(t, string(got), "not now")

	s.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, DropConnection: true, Times: 1})
	dropped := dialPlain(t, s)
	_, err = dropped.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}
