package scene

import (
	"context"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/go-eventhubs/eventhubs"
)

// Host is a machine of its own, in a scene in memory. What happens to its network happens to no other machine.
type Host struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	networkMu sync.Mutex
	open      []breakable
	cut       bool
	silent    bool
	healed    chan struct{} // closed when silence ends
}

// breakable is a connection in memory.
type breakable interface {
	net.Conn
	Cut()
	Silence()
}

// Host returns a machine whose network works.
func (s *Scene) Host() *Host { return &Host{dial: s.Server.DialContext} }

// config returns cfg with connections that come from the machine.
func (h *Host) config(cfg eventhubs.Config) eventhubs.Config {
	cfg.DialContext = h.DialContext
	return cfg
}

// blobConfig does the same for a checkpoint store.
func (h *Host) blobConfig(cfg eventhubs.BlobConfig) eventhubs.BlobConfig {
	t := &http.Transport{DialContext: h.DialContext, MaxIdleConnsPerHost: 10, IdleConnTimeout: 90 * time.Second}
	if c, ok := cfg.ClientOptions.Transport.(*http.Client); ok {
		if own, ok := c.Transport.(*http.Transport); ok {
			t.TLSClientConfig = own.TLSClientConfig
		}
	}
	cfg.ClientOptions.Transport = &http.Client{Transport: t}
	return cfg
}

// DialContext connects from the machine.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	h.networkMu.Lock()
	cut, healed := h.cut, h.healed
	if !h.silent {
		healed = nil
	}
	h.networkMu.Unlock()
	switch {
	case cut:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENETUNREACH}
	case healed != nil:
		select {
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: network, Err: context.Cause(ctx)}
		case <-healed:
		}
	}
	c, err := h.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	b := c.(breakable)
	h.networkMu.Lock()
	defer h.networkMu.Unlock()
	h.open = append(h.open, b)
	switch {
	case h.cut:
		b.Cut()
	case h.silent:
		b.Silence()
	}
	return b, nil
}

// Cut breaks all connections, and refuses new ones.
func (h *Host) Cut() {
	h.networkMu.Lock()
	defer h.networkMu.Unlock()
	h.cut = true
	for _, c := range h.open {
		c.Cut()
	}
	h.open = nil
}

// Silence makes all connections go silent. New ones are not answered.
func (h *Host) Silence() {
	h.networkMu.Lock()
	defer h.networkMu.Unlock()
	h.silent, h.healed = true, make(chan struct{})
	for _, c := range h.open {
		c.Silence()
	}
	h.open = nil
}

// Heal accepts new connections again. Broken and silent connections stay so.
func (h *Host) Heal() {
	h.networkMu.Lock()
	defer h.networkMu.Unlock()
	if h.silent {
		close(h.healed)
	}
	h.cut, h.silent = false, false
}
