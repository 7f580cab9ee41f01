package dial

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Watch calls ended when a connection of the Dialer is no longer of use, because it ends or because the client keeps
// trying to renew a token. It calls detached when the client detaches a link on it. Either may be nil. They are called
// before the client's calls notice, so that there is time to keep the client from recovering; from goroutines that the
// connection waits for; and possibly more than once. Call Watch before the first dial.
func (d *Dialer) Watch(ended, detached func()) {
	if ended != nil {
		d.watch.ended = ended
	}
	if detached != nil {
		d.watch.detached = detached
	}
}

// Cause is why the latest connection has failed, or nil. That it was closed here is no reason.
func (d *Dialer) Cause() error {
	if err := d.cause.Load(); err != nil {
		return *err
	}
	return nil
}

// watch has the callbacks of Watch.
type watch struct{ ended, detached func() }

// renewal is shorter than the SDK waits between a token and the next one, if all is well (azeventhubs,
// internal/namespace.go, nextClaimRefreshDuration).
const renewal = time.Minute

// watchedConn is a connection that reports its end.
type watchedConn struct {
	net.Conn
	dialer *Dialer
	begun  atomic.Int64 // when the latest session was begun, in nanoseconds since 1970
	closed sync.Once
}

// Read notes why it fails.
func (w *watchedConn) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.note(err)
	return n, err
}

// note notes why the connection fails.
func (w *watchedConn) note(err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		w.dialer.cause.CompareAndSwap(nil, &err)
	}
}

// Write looks for two kinds of frames. go-amqp writes a frame at a time (conn.go, writeFrame).
//
// One detaches a link. When the peer has detached it, go-amqp answers before the calls that use the link notice
// (link.go, muxHandleFrame); and the SDK detaches a link before it opens a new one.
//
// The other begins a session. Each time that the SDK renews a token it begins one. A renewal that fails is tried
// again, and where a client's retries are off, at once and forever (azeventhubs, internal/namespace.go,
// startNegotiateClaimRenewer).
func (w *watchedConn) Write(b []byte) (int, error) {
	switch performative(b) {
	case detach:
		w.dialer.watch.detached()
	case begin:
		now := time.Now().UnixNano()
		if last := w.begun.Swap(now); now-last < int64(renewal) {
			w.dialer.watch.ended()
		}
	}
	n, err := w.Conn.Write(b)
	w.note(err)
	return n, err
}

// Close is how go-amqp ends a connection, for whatever reason, after it has ended writing and before it tells its
// sessions and links (conn.go, close).
func (w *watchedConn) Close() error {
	w.closed.Do(func() {
		w.dialer.watch.ended()
		w.dialer.leave()
	})
	return w.Conn.Close()
}

// Codes of performatives.
const (
	begin  = 0x11
	detach = 0x16
)

// performative is what a frame is about. Its header takes eight bytes if it has no extended header, and go-amqp
// writes none; then comes the descriptor.
func performative(frame []byte) byte {
	const header, smallULong = 8, 0x53
	if len(frame) > header+2 && frame[header] == 0 && frame[header+1] == smallULong {
		return frame[header+2]
	}
	return 0
}
