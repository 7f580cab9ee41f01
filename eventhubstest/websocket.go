package eventhubstest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/go-eventhubs/eventhubs/internal/wsconn"
)

const (
	webSocketPath = "/$servicebus/websocket"
	// maxRequest bounds the request for a WebSocket, with all its headers.
	maxRequest = 16 << 10
	// hearOutBytes and hearOutTimeout bound what is still read from a client that was refused. Reading on lets the answer
	// reach the client: if a socket is closed that has unread bytes, the kernel discards what was sent last.
	hearOutBytes   = 256 << 10
	hearOutTimeout = 500 * time.Millisecond
)

// webSocketProtocols are the subprotocols that official clients ask for: the standard's name (Go, .NET), and its
// predecessor (Python, Java, JavaScript).
var webSocketProtocols = []string{"amqp", "AMQPWSB10"}

var errNoWebSocket = errors.New("an HTTP request that is not for a WebSocket")

// amqpConn is a connection on which a client speaks AMQP, directly or over WebSockets. The first Read finds out which.
// So everything that bounds the client's first bytes of AMQP (deadlines, faults, limits, Close) bounds its request for
// a WebSocket as well.
type amqpConn struct {
	net.Conn
	begun bool
	first []byte // read to see what the client speaks; Read has yet to return it
	ws    atomic.Pointer[wsconn.Conn]
}

func newAMQPConn(nc net.Conn) *amqpConn { return &amqpConn{Conn: nc} }

// Read must not be called concurrently, and must be called before Write.
func (c *amqpConn) Read(b []byte) (int, error) {
	if !c.begun {
		if err := c.begin(); err != nil {
			return 0, err
		}
		c.begun = true
	}
	if ws := c.ws.Load(); ws != nil {
		return ws.Read(b)
	}
	if len(c.first) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// begin looks at the first byte: AMQP begins with an A, and a request for a WebSocket with GET.
func (c *amqpConn) begin() error {
	var first [1]byte
	if _, err := io.ReadFull(c.Conn, first[:]); err != nil {
		return err
	}
	c.first = first[:]
	if first[0] == 'G' {
		return c.upgrade()
	}
	return nil
}

// request reads what a client asks for: first the byte that was read before, and at most maxRequest bytes in all. It
// keeps the error of the connection, which http.ReadRequest reports as a malformed request.
type request struct {
	io.Reader
	err error
}

func (r *request) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// upgrade answers a request for a WebSocket.
func (c *amqpConn) upgrade() error {
	in := &request{Reader: io.LimitReader(io.MultiReader(bytes.NewReader(c.first), c.Conn), maxRequest)}
	br := bufio.NewReader(in)
	w := &answer{nc: c.Conn, in: br, header: http.Header{}}
	req, err := http.ReadRequest(br)
	switch {
	case in.err != nil:
		return in.err
	case err != nil:
		http.Error(w, "the request is malformed, or too large", http.StatusBadRequest)
	case !strings.EqualFold(strings.TrimSuffix(req.URL.Path, "/"), webSocketPath): // Python's client adds the slash
		http.Error(w, "there is nothing here but "+webSocketPath, http.StatusNotFound)
	case !asksForAMQP(req):
		http.Error(w, "the subprotocol has to be amqp", http.StatusBadRequest)
	default:
		ws, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: webSocketProtocols})
		if err == nil {
			c.ws.Store(wsconn.New(ws, c.Conn))
			return nil
		}
	}
	c.hearOut()
	return errNoWebSocket
}

func asksForAMQP(req *http.Request) bool {
	for _, line := range req.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if slices.ContainsFunc(webSocketProtocols, func(p string) bool {
				return strings.EqualFold(p, strings.TrimSpace(name))
			}) {
				return true
			}
		}
	}
	return false
}

// hearOut closes the sending half, and reads on until the client has closed, but not for long.
func (c *amqpConn) hearOut() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // if the connection is broken, reading fails, too
	}
	_ = c.SetReadDeadline(time.Now().Add(hearOutTimeout))
	_, _ = io.CopyN(io.Discard, c.Conn, hearOutBytes)
}

// Write sends b, as one message if the client speaks WebSocket.
func (c *amqpConn) Write(b []byte) (int, error) {
	if ws := c.ws.Load(); ws != nil {
		return ws.Write(b)
	}
	return c.Conn.Write(b)
}

func (c *amqpConn) Close() error {
	if ws := c.ws.Load(); ws != nil {
		return ws.Close()
	}
	return c.Conn.Close()
}

// NetConn returns the connection below TLS. Closing it sends no good-bye.
func (c *amqpConn) NetConn() net.Conn {
	if t, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return c.Conn
}

// answer is the http.ResponseWriter of the one request of a connection.
type answer struct {
	nc     net.Conn
	in     *bufio.Reader // holds what was read beyond the request
	header http.Header
}

func (a *answer) Header() http.Header { return a.header }

// WriteHeader sends the status and the headers. Unless the answer accepts a WebSocket, the connection is closed after
// it, which ends the body.
func (a *answer) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols {
		a.header.Set("Connection", "close")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = a.header.Write(&b) // to memory: it can't fail
	b.WriteString("\r\n")
	_, _ = a.nc.Write(b.Bytes()) // if the connection is broken, reading fails, too
}

// Write sends a part of the body.
func (a *answer) Write(b []byte) (int, error) { return a.nc.Write(b) }

// Hijack hands the connection over to the WebSocket.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.nc, bufio.NewReadWriter(a.in, bufio.NewWriter(a.nc)), nil
}
