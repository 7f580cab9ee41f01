package dial_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/server/memnet"
)

const namespace = "contoso.servicebus.windows.net"

// header begins AMQP, on both sides.
const header = "AMQP\x03\x01\x00\x00"

// connect makes one connection, as the SDK has it made.
func connect(ctx context.Context, o dial.Options) (net.Conn, error) {
	return dial.New(o).Dial(ctx, azeventhubs.WebSocketConnParams{})
}

// network is a network in memory, and what listens there.
type network struct {
	*testing.T
	memnet.Network
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(n *network)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(&network{T: t}) })
}

// at are Options for a namespace whose endpoint is in memory.
func (n *network) at(address string) dial.Options {
	return dial.Options{Namespace: namespace, Endpoint: address, DialContext: n.DialContext}
}

func (n *network) listen() *memnet.Listener {
	n.Helper()
	l, err := n.Listen("127.0.0.1:0")
	require.NoError(n, err)
	n.Cleanup(func() { _ = l.Close() })
	return l
}

// refusing is an address where nobody listens.
func (n *network) refusing() string { return "127.0.0.1:1" }

// silent is the address of a listener that takes connections and never says anything.
func (n *network) silent() string { return n.listen().Addr().String() }

// unreachable is an address that swallows what is sent to it.
func (n *network) unreachable() string {
	l := n.listen()
	l.Ignore(true)
	return l.Addr().String()
}

// web serves HTTP over TLS, and returns its address.
func (n *network) web(h http.Handler) (address string, client *tls.Config) {
	s := &httptest.Server{Listener: n.listen(), Config: &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}}
	s.StartTLS()
	n.Cleanup(s.Close)
	client = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.ServerName = "example.com" // which the certificate is for
	return s.Listener.Addr().String(), client
}

// TestUnreached says what was dialled, why it failed, when, and what to do.
func TestUnreached(t *testing.T) {
	const (
		check   = "check the namespace " + namespace + " and the endpoint "
		blocked = " of 127.0.0.1 can't be reached, and may be blocked: set Config.WebSockets, which uses port 443; or " +
			check
		way   = " of 127.0.0.1 can't be reached: " + check
		proxy = "; where the way out is a proxy, name it in HTTPS_PROXY"
	)
	webSockets := func(o dial.Options) dial.Options { o.WebSockets = true; return o }
	emulator := func(o dial.Options) dial.Options { o.Plaintext = true; return o }
	notFound := func(n *network) dial.Options {
		o := webSockets(n.at(""))
		o.Endpoint, o.TLS = n.web(http.NotFoundHandler())
		return o
	}
	for name, c := range map[string]struct {
		options func(n *network) dial.Options
		why     string // ADDRESS and PORT stand for those of the endpoint
		advice  string
		after   time.Duration
	}{
		"TLS, refused": {
			func(n *network) dial.Options { return n.at(n.refusing()) },
			"dial ADDRESS over TLS: dial tcp ADDRESS: connect: connection refused", "port PORT" + blocked + "ADDRESS", 0,
		},
		"TLS, no connection": {
			func(n *network) dial.Options { return n.at(n.unreachable()) },
			"dial ADDRESS over TLS: dial tcp ADDRESS: ", "port PORT" + blocked + "ADDRESS", 5 * time.Second,
		},
		"TLS, no answer": {
			func(n *network) dial.Options { return n.at(n.silent()) },
			"dial ADDRESS over TLS: read tcp", "port PORT" + blocked + "ADDRESS", 10 * time.Second,
		},
		"WebSockets, refused": {
			func(n *network) dial.Options { return webSockets(n.at(n.refusing())) },
			"dial ADDRESS over WebSockets: dial tcp ADDRESS: connect: connection refused",
			"port PORT" + way + "ADDRESS" + proxy, 0,
		},
		"WebSockets, no answer": {
			func(n *network) dial.Options { return webSockets(n.at(n.silent())) },
			"dial ADDRESS over WebSockets: ", "port PORT" + way + "ADDRESS" + proxy, 10 * time.Second,
		},
		"emulator, refused": {
			func(n *network) dial.Options { return emulator(n.at(n.refusing())) },
			"dial ADDRESS without TLS: dial tcp ADDRESS: connect: connection refused",
			"nothing listens there: " + check + "ADDRESS", 0,
		},
		"emulator, no answer": {
			func(n *network) dial.Options { return emulator(webSockets(n.at(n.silent()))) },
			"dial ADDRESS over WebSockets without TLS: ", "it can't be reached: " + check + "ADDRESS", 10 * time.Second,
		},
		"no such name": {
			func(n *network) dial.Options { return webSockets(n.at("nowhere.example")) },
			"dial nowhere.example:443 over WebSockets: dial tcp: lookup nowhere.example: no such host",
			"the name does not resolve: " + check + "nowhere.example, and this machine's DNS", 0,
		},
		"no namespace": {
			notFound, "dial ADDRESS over WebSockets: the WebSocket was refused: 404 Not Found",
			"this is not an Event Hubs namespace, or something stands between here and it: " + check + "ADDRESS", 0,
		},
		"redirected": {
			func(n *network) dial.Options {
				o := notFound(n)
				o.Endpoint, o.TLS = n.web(http.RedirectHandler("https://"+o.Endpoint, http.StatusFound))
				return o
			}, "the WebSocket was refused: 302 Found", "this is not an Event Hubs namespace", 0,
		},
		"untrusted": {
			func(n *network) dial.Options {
				o := notFound(n)
				o.TLS = nil
				return o
			}, "tls: failed to verify certificate: x509: ",
			"the server's certificate is not trusted: give the CA in TLSConfig, or check that nothing stands between here and " +
				namespace, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *network) {
				o := c.options(n)
				d := dial.New(o)
				began := time.Now()
				_, err := d.Dial(n.Context(), azeventhubs.WebSocketConnParams{})
				require.Equal(n, c.after, time.Since(began))
				require.ErrorContains(n, err, addressed(c.why, o.Endpoint))
				require.Contains(n, d.Advice("receive hub: (connlost): "+err.Error()), addressed(c.advice, o.Endpoint))
				require.Empty(n, d.Advice("something else"))
			})
		})
	}
}

func addressed(text, endpoint string) string {
	_, port, _ := net.SplitHostPort(endpoint)
	return strings.NewReplacer("ADDRESS", endpoint, "PORT", port).Replace(text)
}

// TestSilentEmulator has a peer say nothing over plaintext, where AMQP comes first.
func TestSilentEmulator(t *testing.T) {
	bubble(t, func(n *network) {
		o := n.at(n.silent())
		o.Plaintext = true
		began := time.Now()
		nc, err := connect(n.Context(), o)
		require.NoError(n, err)
		defer nc.Close()
		_, err = nc.Read(make([]byte, 1))
		require.ErrorIs(n, err, os.ErrDeadlineExceeded)
		require.Equal(n, 10*time.Second, time.Since(began))
	})
}

// TestErrors keeps the cause of an error, in a form that the SDK retries after.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		address func(n *network) string
		check   func(t *testing.T, err error)
	}{
		"refused": {(*network).refusing, func(t *testing.T, err error) {
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			requireTimeout(t, false, err)
		}},
		"no connection": {(*network).unreachable, requireTimedOut},
		"no answer":     {(*network).silent, requireTimedOut},
		"no such name": {func(*network) string { return "nowhere.example" }, func(t *testing.T, err error) {
			var dns *net.DNSError
			require.ErrorAs(t, err, &dns)
			requireTimeout(t, false, err)
		}},
		"untrusted": {func(n *network) string {
			address, _ := n.web(http.NotFoundHandler())
			return address
		}, func(t *testing.T, err error) {
			var certificate *tls.CertificateVerificationError
			require.ErrorAs(t, err, &certificate)
		}},
	} {
		for how, webSockets := range map[string]bool{"TLS": false, "WebSockets": true} {
			t.Run(name+", "+how, func(t *testing.T) {
				bubble(t, func(n *network) {
					o := n.at(c.address(n))
					o.WebSockets = webSockets
					_, err := connect(n.Context(), o)
					c.check(n.T, err)
				})
			})
		}
	}
}

func requireTimeout(t *testing.T, want bool, err error) {
	t.Helper()
	var network net.Error
	require.ErrorAs(t, err, &network)
	require.Equal(t, want, network.Timeout())
}

// requireTimedOut wants an error that nobody takes for the end of a context: the SDK would not retry then.
func requireTimedOut(t *testing.T, err error) {
	t.Helper()
	requireTimeout(t, true, err)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
}

// TestDialContextReturnsNothing is an error that says so.
func TestDialContextReturnsNothing(t *testing.T) {
	nothing := func(context.Context, string, string) (net.Conn, error) { return nil, nil }
	_, err := connect(t.Context(), dial.Options{Namespace: "contoso.servicebus.windows.net", DialContext: nothing})
	require.ErrorContains(t, err, "DialContext returned neither a connection nor an error")
}

// TestDialEndsWithItsContext cancels a dial while the peer's answer is waited for.
func TestDialEndsWithItsContext(t *testing.T) {
	for how, webSockets := range map[string]bool{"TLS": false, "WebSockets": true} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(n *network) {
				l := n.listen()
				o := n.at(l.Addr().String())
				o.WebSockets = webSockets
				ctx, cancel := context.WithCancelCause(n.Context())
				ended := make(chan error, 1)
				go func() {
					_, err := connect(ctx, o)
					ended <- err
				}()
				nc, err := l.Accept()
				require.NoError(n, err)
				defer nc.Close()
				synctest.Wait()
				cancel(errors.New("no more"))
				require.ErrorIs(n, <-ended, context.Canceled)
				_, err = io.Copy(io.Discard, nc)
				require.NoError(n, err, "the socket is closed")
			})
		})
	}
}

// ways are the ways to a server.
var ways = map[string]struct{ tls, webSockets bool }{
	"plaintext": {}, "TLS": {tls: true}, "ws": {webSockets: true}, "wss": {tls: true, webSockets: true},
}

// onEachWay runs a test with Options for a server in memory whose name is the namespace.
func onEachWay(t *testing.T, test func(t *testing.T, srv *eventhubstest.Server, o dial.Options)) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: way.tls})
				p, err := azeventhubs.ParseConnectionString(srv.ConnectionString("hub"))
				require.NoError(t, err)
				test(t, srv, dial.Options{
					Namespace: namespace, Endpoint: p.FullyQualifiedNamespace, Plaintext: !way.tls, WebSockets: way.webSockets,
					TLS: srv.Config("hub").TLSConfig, DialContext: srv.DialContext,
				})
			})
		})
	}
}

// exchange begins AMQP.
func exchange(t *testing.T, nc net.Conn) {
	t.Helper()
	_, err := nc.Write([]byte(header))
	require.NoError(t, err)
	answer := make([]byte, len(header))
	_, err = io.ReadFull(nc, answer)
	require.NoError(t, err)
	require.Equal(t, header, string(answer))
}

// TestConnectionOutlivesItsDial cancels the context of a dial that has succeeded.
func TestConnectionOutlivesItsDial(t *testing.T) {
	onEachWay(t, func(t *testing.T, _ *eventhubstest.Server, o dial.Options) {
		ctx, cancel := context.WithCancel(t.Context())
		nc, err := connect(ctx, o)
		require.NoError(t, err)
		defer nc.Close()
		cancel()
		synctest.Wait()
		exchange(t, nc)
	})
}

// TestEndpoint dials an endpoint by the name of the namespace.
func TestEndpoint(t *testing.T) {
	onEachWay(t, func(t *testing.T, srv *eventhubstest.Server, o dial.Options) {
		var dialled, asked []string
		var said strings.Builder
		o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			nc, err := srv.DialContext(ctx, network, address)
			return &recordedConn{nc, &said}, err
		}
		if o.TLS != nil {
			o.TLS.ServerName = ""
			o.TLS.VerifyConnection = func(s tls.ConnectionState) error {
				asked = append(asked, s.ServerName)
				return nil
			}
			o.TLS.InsecureSkipVerify = true // VerifyConnection still runs
		}
		nc, err := connect(t.Context(), o)
		require.NoError(t, err)
		exchange(t, nc)
		require.NoError(t, nc.Close())
		require.Equal(t, []string{o.Endpoint}, dialled)
		switch {
		case o.TLS != nil:
			require.Equal(t, []string{namespace}, asked)
			require.Empty(t, o.TLS.ServerName, "the caller's TLSConfig stays as it is")
		case o.WebSockets:
			request := said.String()
			require.True(t, strings.HasPrefix(request, "GET /$servicebus/websocket HTTP/1.1\r\n"), "%q", request)
			require.Contains(t, request, "\r\nHost: "+namespace+"\r\n")
			require.Contains(t, request, "\r\nSec-Websocket-Protocol: amqp\r\n")
		default:
			require.Equal(t, header, said.String())
		}
	})
}

// TestServerName prefers a name that the caller's TLSConfig has.
func TestServerName(t *testing.T) {
	onEachWay(t, func(t *testing.T, _ *eventhubstest.Server, o dial.Options) {
		if o.TLS == nil {
			t.Skip("there is no certificate")
		}
		var asked string
		o.TLS.ServerName, o.TLS.InsecureSkipVerify = "other.servicebus.windows.net", true
		o.TLS.VerifyConnection = func(s tls.ConnectionState) error { asked = s.ServerName; return nil }
		nc, err := connect(t.Context(), o)
		require.NoError(t, err)
		require.NoError(t, nc.Close())
		require.Equal(t, "other.servicebus.windows.net", asked)
	})
}

// recordedConn keeps what is written.
type recordedConn struct {
	net.Conn
	said *strings.Builder
}

func (c *recordedConn) Write(b []byte) (int, error) {
	c.said.Write(b)
	return c.Conn.Write(b)
}

// TestDrop has the peer's end of the connection be seen, and a new one be made.
func TestDrop(t *testing.T) {
	bubble(t, func(n *network) {
		l := n.listen()
		o := n.at(l.Addr().String())
		o.Plaintext = true
		d := dial.New(o)
		d.Drop() // nothing
		for range 2 {
			_, err := d.Dial(n.Context(), azeventhubs.WebSocketConnParams{})
			require.NoError(n, err)
			nc, err := l.Accept()
			require.NoError(n, err)
			d.Drop()
			_, err = io.Copy(io.Discard, nc)
			require.NoError(n, err)
			require.NoError(n, nc.Close())
		}
	})
}

// TestClose ends a dial that is under way, and refuses every later one, in a way that the SDK does not retry.
func TestClose(t *testing.T) {
	bubble(t, func(n *network) {
		l := n.listen()
		o := n.at(l.Addr().String())
		o.Plaintext = true
		arrived, proceed := make(chan struct{}), make(chan struct{})
		o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := n.DialContext(ctx, network, address)
			close(arrived)
			<-proceed
			return nc, err
		}
		d := dial.New(o)
		ended := make(chan error, 1)
		go func() {
			_, err := d.Dial(n.Context(), azeventhubs.WebSocketConnParams{})
			ended <- err
		}()
		<-arrived
		d.Close()
		close(proceed)
		require.ErrorIs(n, <-ended, dial.ErrClosed)
		nc, err := l.Accept()
		require.NoError(n, err)
		_, err = io.Copy(io.Discard, nc)
		require.NoError(n, err, "the socket is closed")
		require.NoError(n, nc.Close())
		_, err = d.Dial(n.Context(), azeventhubs.WebSocketConnParams{})
		require.ErrorIs(n, err, dial.ErrClosed)
		var final interface{ NonRetriable() }
		require.ErrorAs(n, err, &final)
	})
}

// TestCloseWhileDialling ends each step of a dial at once.
func TestCloseWhileDialling(t *testing.T) {
	for name, address := range map[string]func(*network) string{
		"no connection": (*network).unreachable,
		"no answer":     (*network).silent,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(n *network) {
				d := dial.New(n.at(address(n)))
				ended := make(chan error, 1)
				go func() {
					_, err := d.Dial(context.Background(), azeventhubs.WebSocketConnParams{})
					ended <- err
				}()
				synctest.Wait()
				began := time.Now()
				d.Close()
				require.ErrorIs(n, <-ended, dial.ErrClosed)
				require.Zero(n, time.Since(began))
				require.Error(n, d.Context().Err())
			})
		})
	}
}

// TestContext ends when the Dialer is closed and go-amqp has closed the connection, in whatever order.
func TestContext(t *testing.T) {
	bubble(t, func(n *network) {
		o := n.at(n.silent())
		o.Plaintext = true
		d := dial.New(o)
		var connections []net.Conn
		for range 2 {
			nc, err := d.Dial(n.Context(), azeventhubs.WebSocketConnParams{})
			require.NoError(n, err)
			connections = append(connections, nc)
		}
		require.NoError(n, connections[0].Close())
		require.NoError(n, d.Context().Err())
		d.Close()
		_ = connections[0].Close()
		require.NoError(n, d.Context().Err(), "a connection is still written to")
		_ = connections[1].Close()
		require.Error(n, d.Context().Err())
	})
}
