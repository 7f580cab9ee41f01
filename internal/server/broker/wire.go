package broker

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// wire is the socket of a peer. It can be cut, and it can go silent. A silent socket stays open: the peer gets neither
// data nor a close any more, and nothing that it sends is read. This side goes on as if the peer had fallen silent,
// until its idle timeout. All waits are on channels, timers and the socket.
type wire struct {
	net.Conn
	silent  atomic.Bool
	cutOnce sync.Once
	gone    chan struct{} // closed by cut

	stateMu  sync.Mutex
	closed   bool          // Close was called
	deadline time.Time     // of Read; zero: none
	moved    chan struct{} // closed and replaced when closed or deadline changes while await may wait
}

func newWire(nc net.Conn) *wire {
	return &wire{Conn: nc, moved: make(chan struct{}), gone: make(chan struct{})}
}

// below returns the socket below TLS and WebSockets. Closing TLS would send a good-bye.
func (w *wire) below() net.Conn {
	if t, ok := w.Conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return w.Conn
}

// cut closes the socket without a word, as a broken network does. A connection in memory loses what is in flight.
func (w *wire) cut() {
	w.cutOnce.Do(func() { close(w.gone) })
	if c, ok := w.below().(interface{ Cut() }); ok {
		c.Cut()
	} else {
		w.below().Close()
	}
	w.Conn.Close() // releases what a WebSocket holds
}

// silence makes the wire silent. It can't be undone.
func (w *wire) silence() { w.silent.Store(true) }

// linger waits until a silent wire is cut, so that its peer sees no close before. If the wire isn't silent, it returns
// at once.
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

// await waits until the read deadline passes, or the wire is closed or cut.
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

// at returns a channel that reports when a time has come. It is nil for the zero time.
func at(t time.Time) (due <-chan time.Time, stop func() bool) {
	if t.IsZero() {
		return nil, func() bool { return false }
	}
	timer := time.NewTimer(time.Until(t))
	return timer.C, timer.Stop
}

// Write writes to the socket, or discards b if the wire is silent.
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

// SetReadDeadline sets the deadline of Read, also of a silent wire.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.change(func() { w.deadline = t })
	return w.Conn.SetReadDeadline(t)
}

// SetDeadline sets the deadlines of Read and Write.
func (w *wire) SetDeadline(t time.Time) error {
	if err := w.SetReadDeadline(t); err != nil {
		return err
	}
	return w.SetWriteDeadline(t)
}

// change changes the state, and makes await look at it again.
func (w *wire) change(f func()) {
	w.stateMu.Lock()
	defer w.stateMu.Unlock()
	f()
	if w.silent.Load() { // otherwise nobody waits: await reads the state after it has gone silent
		close(w.moved)
		w.moved = make(chan struct{})
	}
}
