package dial

import "net"

// Watch has ended called when a connection of the Dialer ends, for whatever reason, or when the client takes leave of a
// link on it. It is called before the client's calls notice, so that there is time to keep the client from recovering.
// It is called from goroutines that the connection waits for, possibly more than once. Watch comes before the first
// dial.
func (d *Dialer) Watch(ended func()) { d.ended = ended }

// watchedConn is a connection whose end is told.
type watchedConn struct {
	net.Conn
	ended func()
}

// Write looks for frames that detach a link. go-amqp writes a frame at a time (conn.go, writeFrame). When the peer has
// detached a link, go-amqp answers before the calls that use the link notice (link.go, muxHandleFrame); and the SDK
// detaches a link before it opens a new one.
func (w watchedConn) Write(b []byte) (int, error) {
	if isDetach(b) {
		w.ended()
	}
	return w.Conn.Write(b)
}

// Close is how go-amqp ends a connection, for whatever reason, before it tells its sessions and links (conn.go, close).
func (w watchedConn) Close() error {
	w.ended()
	return w.Conn.Close()
}

// isDetach reports whether a frame detaches a link. Its header takes eight bytes if it has no extended header, and
// go-amqp writes none; then comes the descriptor of the performative.
func isDetach(frame []byte) bool {
	const header, smallULong, detach = 8, 0x53, 0x16
	return len(frame) > header+2 && frame[header] == 0 && frame[header+1] == smallULong && frame[header+2] == detach
}
