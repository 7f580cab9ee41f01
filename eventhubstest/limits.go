package eventhubstest

import (
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Limits on clients of the storage account and of the identity endpoint. AMQP has its own limits (internal/server/amqp,
// Config; internal/server/broker).
const (
	maxHTTPConnections = 1000
	maxHTTPHeader      = 64 << 10 // bytes of a request's header
	httpRequestTimeout = time.Minute
	httpIdleTimeout    = 2 * time.Minute
)

// httpServer returns a server whose timeouts bound clients that are slow, or that never send or read anything.
func httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: discardLog, MaxHeaderBytes: maxHTTPHeader,
		ReadHeaderTimeout: httpHeaderTimeout, ReadTimeout: httpRequestTimeout, IdleTimeout: httpIdleTimeout,
		// No WriteTimeout: it would run while a fault holds an answer back. httpConn has one that doesn't.
	}
}

// httpListener bounds the number of its connections. It fails writes to connections whose clients don't read.
type httpListener struct {
	net.Listener
	slots        chan struct{} // holds a token for each connection
	writeTimeout time.Duration
}

func newHTTPListener(l net.Listener, connections int, writeTimeout time.Duration) *httpListener {
	return &httpListener{l, make(chan struct{}, connections), writeTimeout}
}

// Accept returns the next connection for which there is room. It closes others at once, and their clients try again.
func (l *httpListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &httpConn{Conn: nc, listener: l}, nil
		default:
			nc.Close()
		}
	}
}

type httpConn struct {
	net.Conn
	listener *httpListener
	once     sync.Once
}

func (c *httpConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.listener.writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *httpConn) Close() error {
	c.once.Do(func() { <-c.listener.slots })
	return c.Conn.Close()
}

// warn logs a warning if programs on other machines can reach the server.
func (s *Server) warn(l *slog.Logger) {
	var beyond []string
	for _, l := range append(slices.Clone(s.amqp), s.blob) {
		if !onLoopback(l) {
			beyond = append(beyond, l.Addr().String())
		}
	}
	if len(beyond) == 0 {
		return
	}
	if l == nil {
		l = slog.Default()
	}
	l.Warn("eventhubstest: listening beyond this machine: the keys of this server are known to everyone, and anybody "+
		"who reaches its ports can read and write",
		"addresses", beyond)
}

func onLoopback(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
