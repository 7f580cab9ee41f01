package eventhubs

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

const (
	// connectTimeout is how long a socket may take to be connected. Where a firewall swallows packets the kernel would try for two minutes.
	connectTimeout = 5 * time.Second
	// handshakeTimeout is how long all may take that comes between the socket and AMQP: a proxy, TLS, WebSockets; and then the peer's first bytes of AMQP.
	handshakeTimeout = 10 * time.Second

	portTLS        = "5671"
	portPlaintext  = "5672" // of an emulator, which has no other
	portWebSockets = "443"
)

// timeouts are connectTimeout, handshakeTimeout and batchTimeout, if they are not zero, for tests that can't wait so long.
type timeouts struct{ connect, handshake, batch time.Duration }

// dialer makes the connections of a client. The SDK's own way (go-amqp, conn.go, dialConn) differs from it in nothing but what it lacks: it waits for a socket and for the first
// bytes of AMQP without a bound, and with WebSockets it ignores the endpoint. What it does beyond the socket, SASL and open frame with the namespace's name, is up to the SDK here too.
type dialer struct {
	address    string      // host:port to dial
	host       string      // the namespace, as HTTP's Host: with its port if it has one
	tls        *tls.Config // nil: plaintext
	webSockets bool
	timeouts   timeouts

	mu     sync.Mutex
	socket net.Conn // that was made last: a client of the SDK has one at a time; nil: none yet
}

// drop closes the socket, so that the SDK makes a new connection, new links and new claims. What its own recovery doesn't mend is mended by that.
func (d *dialer) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.socket != nil {
		d.socket.Close()
	}
}

// dialer is for a Config that is resolved.
func (c Config) dialer() *dialer {
	d := &dialer{address: c.address(), host: c.Namespace, webSockets: c.WebSockets, timeouts: c.timeouts}
	setDefault(&d.timeouts.connect, connectTimeout)
	setDefault(&d.timeouts.handshake, handshakeTimeout)
	if c.plaintext() {
		return d
	}
	d.tls = &tls.Config{}
	if c.TLSConfig != nil {
		d.tls = c.TLSConfig.Clone()
	}
	setDefault(&d.tls.ServerName, hostOf(c.Namespace))
	return d
}

// address is what is dialled, as host:port.
func (c Config) address() string {
	host := c.Endpoint
	setDefault(&host, c.Namespace)
	port := portTLS
	switch {
	case c.plaintext():
		port = portPlaintext
	case c.WebSockets:
		port = portWebSockets
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		setDefault(&p, port)
		return net.JoinHostPort(h, p)
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// plaintext reports whether the connection string is for an emulator, which is spoken to without TLS.
func (c Config) plaintext() bool {
	p, err := azeventhubs.ParseConnectionString(c.ConnectionString)
	return err == nil && p.Emulator
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

// dial is the NewWebSocketConn of a client: the SDK speaks AMQP over whatever it returns (azeventhubs, internal/namespace.go, newClientImpl). Its error is a dialError,
// which the SDK takes for a lost connection and tries again, unless ctx has ended.
func (d *dialer) dial(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
	r, err := d.route()
	if err != nil {
		return nil, d.failed(ctx, r, err)
	}
	socket, err := (&net.Dialer{Timeout: d.timeouts.connect}).DialContext(ctx, "tcp", r.first)
	if err != nil {
		return nil, d.failed(ctx, r, r.unreached(err))
	}
	watched := context.AfterFunc(ctx, func() { socket.Close() })
	_ = socket.SetDeadline(time.Now().Add(d.timeouts.handshake)) // a socket that can't do it fails below
	nc, err := d.handshake(socket, r)
	if !watched() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		socket.Close()
		return nil, d.failed(ctx, r, err)
	}
	// go-amqp waits for the first bytes of AMQP without a bound, and sets a deadline before each read after that (conn.go, readProtoHeader and readFrame).
	_ = socket.SetDeadline(time.Time{})
	_ = socket.SetReadDeadline(time.Now().Add(d.timeouts.handshake))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.socket = socket
	return nc, nil
}

// handshake goes through what comes between the socket and AMQP. The socket's deadline bounds it.
func (d *dialer) handshake(socket net.Conn, r route) (net.Conn, error) {
	switch {
	case d.webSockets:
		return d.upgrade(socket, r)
	case d.tls == nil:
		return socket, nil
	}
	nc := tls.Client(socket, d.tls)
	return nc, nc.Handshake()
}
