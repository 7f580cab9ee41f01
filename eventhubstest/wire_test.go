package eventhubstest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// wire dials the connections of an SDK client. It counts them, and the links to hubs that the client asks for.
type wire struct {
	address string

	mu           sync.Mutex
	conns, links int
}

// dial is for NewWebSocketConn, whose result the SDK uses as it is.
func (w *wire) dial(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", w.address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns++
	return &wiretap{Conn: nc, wire: w}, nil
}

func (w *wire) count() (conns, links int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns, w.links
}

// wiretap looks at the frames that are sent on a connection.
type wiretap struct {
	net.Conn
	wire *wire
	rest []byte
}

func (t *wiretap) Write(b []byte) (int, error) {
	t.wire.mu.Lock()
	t.rest = append(t.rest, b...)
	for len(t.rest) >= 8 {
		size := 8 // the size of a protocol header
		if !bytes.HasPrefix(t.rest, []byte("AMQP")) {
			size = int(binary.BigEndian.Uint32(t.rest))
		}
		if len(t.rest) < size {
			break
		}
		frame := t.rest[:size]
		t.rest = t.rest[size:]
		attach := len(frame) > 11 && bytes.Equal(frame[8:11], []byte{0x00, 0x53, 0x12})
		if attach && !bytes.Contains(frame, []byte("$cbs")) && !bytes.Contains(frame, []byte("$management")) {
			t.wire.links++
		}
	}
	t.wire.mu.Unlock()
	return t.Conn.Write(b)
}
