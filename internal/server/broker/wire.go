package broker

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// wire is the socket of a peer, which can be cut and can go silent. A silent one stays open: the peer sees neither
// data nor a close any more, and nothing of what it sends is read. This side goes on as if the peer had fallen silent,
// up to its idle timeout. Waits are on channels, timers and the socket.
type wire struct {
	net.Conn
	silent  atomic.Bool
	cutOnce sync.Once
	gone    chan struct{} // closed by cut

	stateMu  sync.Mutex
	closed   bool          // by the side that serves it
	deadline time.Time     // of reading; zero: none
	moved    chan struct{} // closed and replaced when the others change while await may wait
}

func newWire(nc net.Conn) *wire {
	return &wire{Conn: nc, moved: make(chan struct{}), gone: make(chan struct{})}
}

// below is the socket beneath TLS, which speaks when it is closed, and beneath a WebSocket.
func (w *wire) below() net.Conn {
	if t, ok := w.Conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return w.Conn
}

// cut closes the socket without a word, as a broken network does. A connection in memory loses what is on its way.
func (w *wire) cut() {
	w.cutOnce.Do(func() { close(w.gone) })
	if c, ok := w.below().(interface{ Cut() }); ok {
		c.Cut()
	} else {
		w.below().Close()
	}
	w.Conn.Close() // has a WebSocket let go of what it holds
}

// silence has nothing pass from now on. It can't be undone.
func (w *wire) silence() { w.silent.Store(true) }

// linger waits until a silent wire is cut, so that its peer doesn't see a close before. It returns at once if the wire
// isn't silent.
func (w *wire) linger() {
	if w.silent.Load() {
		<-w.gone // DropConnections and Close cut it
	}
}

// Read reads from the socket, or waits for the deadline if the wire is silent.
func (w *wire) Read(b []byte) (int, error) {
	if !w.silent.Load() {
		n, err := w.Conn.Read(b)
		if !w.silent.Load() {
			return n, err
		}
	}
	return 0, w.await()
}

// await waits for the deadline of reading, or until the wire is closed or cut.
func (w *wire) await() error {
	for {
		w.stateMu.Lock()
		closed, deadline, moved := w.closed, w.deadline, w.moved
		w.stateMu.Unlock()
		if closed {
			return net.ErrClosed
		}
		due, stop := at(deadline)
		select {
		case <-w.gone:
			stop()
			return net.ErrClosed
		case <-due:
			return os.ErrDeadlineExceeded
		case <-moved:
			stop()
		}
	}
}

// at returns a channel that tells when a time has come, if it ever does.
func at(t time.Time) (due <-chan time.Time, stop func() bool) {
	if t.IsZero() {
		return nil, func() bool { return false }
	}
	timer := time.NewTimer(time.Until(t))
	return timer.C, timer.Stop
}

// Write writes to the socket, or loses b if the wire is silent.
func (w *wire) Write(b []byte) (int, error) {
	if w.silent.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

// Close closes the socket, unless the wire is silent.
func (w *wire) Close() error {
	w.change(func() { w.closed = true })
	if w.silent.Load() {
		return nil
	}
	return w.Conn.Close()
}

// SetReadDeadline holds when the wire is silent, too.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.change(func() { w.deadline = t })
	return w.Conn.SetReadDeadline(t)
}

// SetDeadline is both SetReadDeadline and SetWriteDeadline.
func (w *wire) SetDeadline(t time.Time) error {
	if err := w.SetReadDeadline(t); err != nil {
		return err
	}
	return w.SetWriteDeadline(t)
}

// change changes the state, and has await look at it again.
func (w *wire) change(f func()) {
	w.stateMu.Lock()
	defer w.stateMu.Unlock()
	f()
	if w.silent.Load() { // or nobody waits: Read looks at the state after it has found the wire silent
		close(w.moved)
		w.moved = make(chan struct{})
	}
}
