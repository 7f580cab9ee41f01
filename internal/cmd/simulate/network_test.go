package simulate_test

import (
	"context"
	"errors"
	"net"
	"sync"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// network is the network as one process sees it. It can be cut off for good, as when the process is killed, or frozen,
// as when the process is paused.
type network struct {
	dialOut dialFunc

	networkMu sync.Mutex
	dead      bool
	thawed    chan struct{} // closed while it is not frozen
	wires     map[*wire]struct{}
}

func newNetwork(dialOut dialFunc) *network {
	thawed := make(chan struct{})
	close(thawed)
	return &network{dialOut: dialOut, thawed: thawed, wires: map[*wire]struct{}{}}
}

var errDead = errors.New("the process was killed")

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !n.wait(ctx) {
		return nil, context.Cause(ctx)
	}
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
	n.wires[w] = struct{}{}
	return w, nil
}

// kill cuts everything off.
func (n *network) kill() {
	n.networkMu.Lock()
	n.dead = true
	wires := n.wires
	n.wires = nil
	n.networkMu.Unlock()
	for w := range wires {
		_ = w.Close()
	}
	n.resume()
}

// freeze lets nothing through until resume.
func (n *network) freeze() {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	if !n.isFrozen() {
		n.thawed = make(chan struct{})
	}
}

// isFrozen reports whether the network is frozen. The caller holds networkMu.
func (n *network) isFrozen() bool {
	select {
	case <-n.thawed:
		return false
	default:
		return true
	}
}

// resume ends a freeze. It first sends what was written meanwhile, without holding the lock: a goroutine that waits for
// a mutex keeps virtual time from advancing.
func (n *network) resume() {
	for {
		held := n.takeHeld()
		if held == nil {
			return
		}
		for w, b := range held {
			_, _ = w.Conn.Write(b) // the next write fails too
		}
	}
}

// takeHeld takes what was written during a freeze. If there is nothing, it ends the freeze and returns nil.
func (n *network) takeHeld() (held map[*wire][]byte) {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	for w := range n.wires {
		if len(w.held) > 0 {
			if held == nil {
				held = map[*wire][]byte{}
			}
			held[w], w.held = w.held, nil
		}
	}
	if held == nil && n.isFrozen() {
		close(n.thawed)
	}
	return held
}

// hold keeps what is written while the network is frozen, and returns false when it isn't. The writer must not wait: it
// may hold a mutex of the SDK.
func (n *network) hold(w *wire, b []byte) bool {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	if !n.isFrozen() {
		return false
	}
	w.held = append(w.held, b...)
	return true
}

func (n *network) untilThawed() <-chan struct{} {
	n.networkMu.Lock()
	defer n.networkMu.Unlock()
	return n.thawed
}

// wait waits while the process is paused. It returns false when ctx ends.
func (n *network) wait(ctx context.Context) bool {
	select {
	case <-n.untilThawed():
		return true
	case <-ctx.Done():
		return false
	}
}

// wire is a connection of a network.
type wire struct {
	net.Conn
	network *network
	closing sync.Once
	closed  chan struct{}
	held    []byte // guarded by networkMu
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		return n, err
	}
	select {
	case <-w.network.untilThawed():
		return n, nil
	case <-w.closed:
		return 0, net.ErrClosed
	}
}

func (w *wire) Write(b []byte) (int, error) {
	if w.network.hold(w, b) {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (w *wire) Close() error {
	w.network.networkMu.Lock()
	delete(w.network.wires, w)
	w.network.networkMu.Unlock()
	w.closing.Do(func() { close(w.closed) })
	return w.Conn.Close()
}
