// Package dial makes the connections of the SDK's clients: sockets, TLS, proxies and WebSockets.
//
// The SDK's own dialling (go-amqp, conn.go, dialConn) has no bound for the wait for a socket or for the first bytes of
// AMQP, and ignores the endpoint with WebSockets.
package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

const (
	// connectTimeout bounds the wait for a socket. If a firewall drops packets, the kernel tries for two minutes.
	connectTimeout = 5 * time.Second
	// handshakeTimeout bounds what comes between the socket and AMQP (proxy, TLS, WebSockets), and then, once more, the
	// wait for the peer's first bytes of AMQP.
	handshakeTimeout = 10 * time.Second
)

// The default ports of a namespace.
const (
	portTLS        = "5671"
	portPlaintext  = "5672" // of an emulator, which has no other
	portWebSockets = "443"
)

// Options say what to dial, and how.
type Options struct {
	// Namespace is the namespace's host, or host:port. Certificates and HTTP's Host are for it.
	Namespace string
	// Endpoint is the host, or host:port, to dial instead of the namespace. "" means the namespace.
	Endpoint string
	// Plaintext means that the peer is an emulator, which speaks AMQP without TLS.
	Plaintext bool
	// WebSockets carries AMQP over WebSockets.
	WebSockets bool
	// TLS is copied. Nil means the system's roots. Its ServerName defaults to the namespace.
	TLS *tls.Config
	// DialContext makes the socket to the first hop. Nil means a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dialer makes the connections of one client of the SDK, which has one at a time. It is safe for concurrent use.
type Dialer struct {
	options Options
	address string // host:port to dial
	tls     *tls.Config
	watch   watch
	cause   atomic.Pointer[error]

	open context.Context // ends when the Dialer is closed
	shut context.CancelFunc
	life context.Context // see Context
	end  context.CancelFunc

	socketMu sync.Mutex
	socket   net.Conn // the latest; nil: none yet
	users    int      // dials under way, and connections that go-amqp has not closed
}

// New returns a Dialer that has not dialled yet.
func New(o Options) *Dialer {
	if o.DialContext == nil {
		o.DialContext = new(net.Dialer).DialContext
	}
	d := &Dialer{options: o, address: o.address(), watch: watch{ended: func() {}, detached: func() {}}}
	d.open, d.shut = context.WithCancel(context.Background())
	d.life, d.end = context.WithCancel(context.Background())
	if o.Plaintext {
		return d
	}
	d.tls = &tls.Config{}
	if o.TLS != nil {
		d.tls = o.TLS.Clone()
	}
	if d.tls.ServerName == "" {
		d.tls.ServerName = hostOf(o.Namespace)
	}
	return d
}

// address is what is dialled, as host:port.
func (o Options) address() string {
	host := o.Endpoint
	if host == "" {
		host = o.Namespace
	}
	port := portTLS
	switch {
	case o.Plaintext:
		port = portPlaintext
	case o.WebSockets:
		port = portWebSockets
	}
	h, p, err := net.SplitHostPort(host)
	if err != nil {
		h = strings.Trim(host, "[]")
	}
	if p == "" {
		p = port
	}
	return net.JoinHostPort(h, p)
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

// ErrClosed is the error of a closed Dialer. The SDK does not retry it.
var ErrClosed error = errClosed{}

type errClosed struct{}

func (errClosed) Error() string { return "the client is closed" }

// NonRetriable tells the SDK that an error is final (azeventhubs, internal/errors.go, GetRecoveryKind).
func (errClosed) NonRetriable() {}

// Drop closes the socket without a word. Calls of the client that wait for an answer fail, and the SDK makes a new
// connection, new links and new claims.
func (d *Dialer) Drop() {
	d.socketMu.Lock()
	socket := d.socket
	d.socket = nil
	d.socketMu.Unlock()
	if socket != nil {
		socket.Close()
	}
}

// Close drops the socket, ends a dial that is under way, and makes every later one fail with ErrClosed. So nothing of
// the client waits for the network after that.
func (d *Dialer) Close() {
	d.shut()
	d.Drop()
	d.socketMu.Lock()
	defer d.socketMu.Unlock()
	if d.users == 0 {
		d.end()
	}
}

// Context returns a context that ends after Close, once go-amqp writes nothing more. Calls of the client that may send
// a message need it, because a context that ends earlier can make them hang for good, with a lock held: go-amqp gives
// back the credit of a message that was not written, and waits for its link to take it, even if the link has ended by
// then (sender.go, send). Close makes such a call fail in any case, unless it waits for a credential. The context has
// no deadline: go-amqp would set it on the socket, in place of what Dial has set (conn.go, startImpl).
func (d *Dialer) Context() context.Context { return d.life }

// enter counts a user, unless the Dialer is closed.
func (d *Dialer) enter() bool {
	d.socketMu.Lock()
	defer d.socketMu.Unlock()
	if d.open.Err() != nil {
		return false
	}
	d.users++
	return true
}

func (d *Dialer) leave() {
	d.socketMu.Lock()
	defer d.socketMu.Unlock()
	d.users--
	if d.users == 0 && d.open.Err() != nil {
		d.end()
	}
}

// Dial is the NewWebSocketConn of a client: the SDK speaks AMQP over whatever it returns (azeventhubs,
// internal/namespace.go, newClientImpl). Its error is an [Error], which the SDK takes for a lost connection and
// retries, unless ctx has ended. It takes at most connectTimeout and handshakeTimeout.
func (d *Dialer) Dial(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
	if !d.enter() {
		return nil, ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.open, cancel)()
	nc, err := d.dial(ctx)
	if err != nil {
		d.leave()
		return nil, err
	}
	d.cause.Store(nil)
	return &watchedConn{Conn: nc, dialer: d}, nil
}

func (d *Dialer) dial(ctx context.Context) (net.Conn, error) {
	r, err := d.route()
	if err != nil {
		return nil, d.failed(ctx, r, err)
	}
	socket, err := d.connect(ctx, r)
	if err != nil {
		return nil, d.failed(ctx, r, err)
	}
	watched := context.AfterFunc(ctx, func() { socket.Close() })
	_ = socket.SetDeadline(time.Now().Add(handshakeTimeout)) // a socket that can't do it fails below
	nc, err := d.handshake(socket, r)
	if !watched() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = d.keep(socket)
	}
	if err != nil {
		socket.Close()
		return nil, d.failed(ctx, r, err)
	}
	// go-amqp waits for the first bytes of AMQP without a bound, and sets a deadline before each read after that (conn.go,
	// readProtoHeader and readFrame).
	_ = socket.SetDeadline(time.Time{})
	_ = socket.SetReadDeadline(time.Now().Add(handshakeTimeout))
	return nc, nil
}

// connect makes the socket to the first hop.
func (d *Dialer) connect(ctx context.Context, r route) (net.Conn, error) {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	socket, err := d.options.DialContext(connecting, "tcp", r.first)
	if err == nil && socket == nil {
		err = errors.New("DialContext returned neither a connection nor an error")
	}
	if err != nil {
		return nil, r.unreached(err)
	}
	return socket, nil
}

// keep makes the socket the one that Drop closes.
func (d *Dialer) keep(socket net.Conn) error {
	d.socketMu.Lock()
	defer d.socketMu.Unlock()
	if d.open.Err() != nil {
		return ErrClosed
	}
	d.socket = socket
	return nil
}

// handshake does what comes between the socket and AMQP. The socket's deadline bounds it.
func (d *Dialer) handshake(socket net.Conn, r route) (net.Conn, error) {
	switch {
	case d.options.WebSockets:
		return d.upgrade(socket, r)
	case d.tls == nil:
		return socket, nil
	}
	nc := tls.Client(socket, d.tls)
	return nc, nc.Handshake()
}
