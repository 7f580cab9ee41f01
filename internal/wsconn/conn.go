// Package wsconn carries a stream of bytes, such as AMQP, in the binary messages of a WebSocket.
package wsconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/coder/websocket"
)

// Conn is a net.Conn over a WebSocket. It differs from what websocket.NetConn makes in two ways, both of which AMQP
// needs:
//
//   - Deadlines are those of the socket. If one passes, the call fails with os.ErrDeadlineExceeded, and the other
//     direction still works, so that a silent peer can be told why it is dropped. NetConn closes the connection
//     instead, with an error that says "canceled", which the SDK takes for its caller's cancellation (azeventhubs,
//     internal/errors.go, IsCancelError).
//   - Close closes the socket. NetConn's Close waits up to 10 seconds for a peer that may be gone; AMQP has its own
//     close frames.
type Conn struct {
	net.Conn // the socket, for addresses and deadlines

	ws      *websocket.Conn
	message io.Reader // the rest of the message being read; nil: there is none
}

// New returns a Conn over a WebSocket whose bytes go through a socket.
func New(ws *websocket.Conn, socket net.Conn) *Conn {
	ws.SetReadLimit(-1) // no limit is needed: Read returns messages piece by piece
	return &Conn{Conn: socket, ws: ws}
}

// Read reads from the current message, or waits for the next one. It must not be called concurrently.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		if c.message == nil {
			if err := c.next(); err != nil {
				return 0, err
			}
		}
		n, err := c.message.Read(b)
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next waits for the next message.
func (c *Conn) next() error {
	kind, message, err := c.ws.Reader(context.Background()) // the socket's deadline bounds it
	if code := websocket.CloseStatus(err); code == websocket.StatusNormalClosure || code == websocket.StatusGoingAway ||
		errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return err
	}
	if kind != websocket.MessageBinary {
		return fmt.Errorf("a WebSocket message of type %v, where only binary ones are expected", kind)
	}
	c.message = message
	return nil
}

// Write sends b as one message.
func (c *Conn) Write(b []byte) (int, error) {
	if err := c.ws.Write(context.Background(), websocket.MessageBinary, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close closes the socket. Calls of Read and Write in progress return.
func (c *Conn) Close() error { return c.ws.CloseNow() }
