package memnet

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"
)

// Listener accepts the connections of one port. Its methods are safe for concurrent use.
type Listener struct {
	network *Network
	addr    *net.TCPAddr

	pendingMu sync.Mutex    // guards what follows
	changed   chan struct{} // closed and replaced to wake dials and calls of Accept
	pending   []*Conn       // connections that nobody has accepted yet
	conns     map[*Conn]struct{}
	delay     time.Duration
	ignores   bool
	closed    bool
}

func newListener(n *Network, addr *net.TCPAddr) *Listener {
	return &Listener{network: n, addr: addr, changed: make(chan struct{}), conns: map[*Conn]struct{}{}}
}

// Addr returns a *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return l.addr }

// serves reports whether the listener listens at that address of the loopback interface.
func (l *Listener) serves(ip net.IP) bool {
	return ip.IsLoopback() && (l.addr.IP.IsUnspecified() || l.addr.IP.Equal(ip))
}

// SetRoundTrip delays by d what the accepted side sends, in order, on connections that are made from now on. It does
// not limit the bandwidth.
func (l *Listener) SetRoundTrip(d time.Duration) {
	l.pendingMu.Lock()
	defer l.pendingMu.Unlock()
	l.delay = d
}

// Ignore sets whether dials stay unanswered, as with a firewall that swallows packets. They wait until their contexts
// end, or until Ignore(false) is called.
func (l *Listener) Ignore(ignore bool) {
	l.pendingMu.Lock()
	defer l.pendingMu.Unlock()
	l.ignores = ignore
	l.wakeLocked()
}

// Cut cuts all connections: see [Conn.Cut].
func (l *Listener) Cut() { l.each((*Conn).Cut) }

// Silence makes all connections silent: see [Conn.Silence].
func (l *Listener) Silence() { l.each((*Conn).Silence) }

func (l *Listener) each(do func(*Conn)) {
	l.pendingMu.Lock()
	conns := make([]*Conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.pendingMu.Unlock()
	for _, c := range conns {
		do(c)
	}
}

// Accept waits for a connection, until Close is called.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		l.pendingMu.Lock()
		if l.closed {
			l.pendingMu.Unlock()
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
		}
		if len(l.pending) > 0 {
			c := l.pending[0]
			l.pending = l.pending[1:]
			l.pendingMu.Unlock()
			return c, nil
		}
		changed := l.changed
		l.pendingMu.Unlock()
		<-changed
	}
}

// connect makes a connection, and queues its other side for Accept. Like the kernel, it does not wait for Accept.
func (l *Listener) connect(ctx context.Context, local, remote *net.TCPAddr) (*Conn, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.pendingMu.Lock()
		if l.closed {
			l.pendingMu.Unlock()
			return nil, sysErr("connect", syscall.ECONNREFUSED)
		}
		if !l.ignores {
			near, far := newPair(local, remote, l.delay)
			far.closed = l.forget
			l.conns[far] = struct{}{}
			l.pending = append(l.pending, far)
			l.wakeLocked()
			l.pendingMu.Unlock()
			return near, nil
		}
		changed := l.changed
		l.pendingMu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (l *Listener) wakeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Listener) forget(c *Conn) {
	l.pendingMu.Lock()
	defer l.pendingMu.Unlock()
	delete(l.conns, c)
}

// Close ends calls of Accept, and resets the connections that nobody has accepted. Other connections stay open.
func (l *Listener) Close() error {
	l.pendingMu.Lock()
	if l.closed {
		l.pendingMu.Unlock()
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
	l.closed = true
	pending := l.pending
	l.pending = nil
	l.wakeLocked()
	l.pendingMu.Unlock()
	l.network.forget(l)
	for _, c := range pending {
		c.Cut()
		_ = c.Close() // fails only if it is closed already
	}
	return nil
}
