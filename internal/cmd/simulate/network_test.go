package simulate_test

import (
	"context"
	"errors"
	"net"
	"sync"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// network is all that one process has of the network. It can be cut off for good, as when the process is killed, or frozen, as when
// the process is paused.
type network struct {
	dialOut dialFunc

	networkMu sync.Mutex
	dead      bool
	thaw      chan struct{} // closed when it is not frozen
	conns     map[*wire]struct{}
}

func newNetwork(dialOut dialFunc) *network {
	thaw := make(chan struct{})
	close(thaw)
	return &network{dialOut: dialOut, thaw: thaw, conns: map[*wire]struct{}{}}
}

var errDead = errors.New("the process was killed")

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.wait()
	nc, err := n.dialOut(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: nc, network: n, closed: make(chan struct{})}
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	if n.dead {
		nc.Close()
		return nil, errDead
	}
	n.conns[w] = struct{}{}
	return w, nil
}

// kill cuts everything off.
func (n *network) kill() {
	n.networkMu.Lock()
	n.dead = true
	conns := n.conns
	n.conns = nil
	n.networkMu.Unlock()
	for w := range conns {
		w.Close()
	}
	n.resume()
}

// freeze has nothing get through until resume.
func (n *network) freeze() {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	select {
	case <-n.thaw:
		n.thaw = make(chan struct{})
	default:
	}
}

// resume ends a freeze: what was written meanwhile goes out first.
func (n *network) resume() {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	select {
	case <-n.thaw:
		return
	default:
	}
	for w := range n.conns {
		if len(w.held) > 0 {
			_, _ = w.Conn.Write(w.held) // the next write fails too
			w.held = nil
		}
	}
	close(n.thaw)
}

// hold keeps what is written while the network is frozen. The writer must not wait: the SDK holds a mutex, and a goroutine
// that waits for one keeps virtual time from advancing.
func (n *network) hold(w *wire, b []byte) bool {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	select {
	case <-n.thaw:
		return false
	default:
	}
	w.held = append(w.held, b...)
	return true
}

// wait returns when the process isn't paused.
func (n *network) wait() {
	n.networkMu.Lock()
	thaw := n.thaw
	n.networkMu.Unlock()
	<-thaw
}

func (n *network) isDead() bool {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	return n.dead
}

// wire is a connection of a network.
type wire struct {
	net.Conn
	network *network
	closed  chan struct{}
	once    sync.Once
	held    []byte // guarded by networkMu
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		return n, err
	}
	w.network.networkMu.Lock()
	thaw := w.network.thaw
	w.network.networkMu.Unlock()
	select {
	case <-thaw:
	case <-w.closed:
		return 0, net.ErrClosed
	}
	return n, nil
}

func (w *wire) Write(b []byte) (int, error) {
	if w.network.hold(w, b) {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (w *wire) Close() error {
	w.network.networkMu.Lock()
	delete(w.network.conns, w)
	w.network.networkMu.Unlock()
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}
