package memnet

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
)

const (
	firstListenerPort = 10_000
	firstDialerPort   = 40_000
	lastPort          = 65_535
)

// Network is a loopback interface in memory. The zero value is ready for use. Its methods are safe for concurrent use.
type Network struct {
	listenersMu sync.Mutex
	listeners   map[int]*Listener // by port
	listened    int               // how many ports Listen has given out
	dialed      int               // how many ports DialContext has given out
}

// Listen returns a listener at an address such as "127.0.0.1:5671". Port 0 means a free port, and an empty host means
// every address. The host must be a loopback address, or unspecified.
func (n *Network) Listen(address string) (*Listener, error) {
	addr, err := resolve(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	if addr.Port == 0 {
		addr.Port = n.freePortLocked()
	}
	if addr.Port == 0 || n.listeners[addr.Port] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: addr, Err: sysErr("bind", syscall.EADDRINUSE)}
	}
	l := newListener(n, addr)
	if n.listeners == nil {
		n.listeners = map[int]*Listener{}
	}
	n.listeners[addr.Port] = l
	return l, nil
}

// freePortLocked returns a port that nobody listens at, or 0 if there is none. It reuses ports as late as possible.
func (n *Network) freePortLocked() int {
	for range firstDialerPort - firstListenerPort {
		port := firstListenerPort + n.listened%(firstDialerPort-firstListenerPort)
		n.listened++
		if n.listeners[port] == nil {
			return port
		}
	}
	return 0
}

// DialContext connects to a listener, like the method of net.Dialer. The only host name that it knows is localhost. A
// dial that is not answered waits until ctx ends.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(addr net.Addr, err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr, Err: err}
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return fail(nil, net.UnknownNetworkError(network))
	}
	remote, err := resolve(address)
	if err != nil {
		return fail(nil, err)
	}
	if remote.IP.IsUnspecified() { // as the kernel does
		remote.IP = loopback
	}
	n.listenersMu.Lock()
	l := n.listeners[remote.Port]
	local := &net.TCPAddr{IP: loopback, Port: firstDialerPort + n.dialed%(lastPort+1-firstDialerPort)}
	n.dialed++
	n.listenersMu.Unlock()
	if l == nil || !l.serves(remote.IP) {
		return fail(remote, sysErr("connect", syscall.ECONNREFUSED))
	}
	c, err := l.connect(ctx, local, remote)
	if err != nil {
		return fail(remote, err)
	}
	return c, nil
}

// forget frees a listener's port.
func (n *Network) forget(l *Listener) {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	if n.listeners[l.addr.Port] == l {
		delete(n.listeners, l.addr.Port)
	}
}

var loopback = net.IPv4(127, 0, 0, 1)

// resolve returns the address of a host and a port. Hosts other than loopback do not exist here.
func resolve(address string) (*net.TCPAddr, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, &net.AddrError{Err: "invalid port", Addr: address}
	}
	switch host {
	case "":
		return &net.TCPAddr{IP: net.IPv4zero, Port: int(port)}, nil
	case "localhost":
		return &net.TCPAddr{IP: loopback, Port: int(port)}, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return &net.TCPAddr{IP: net.IP(ip.AsSlice()), Port: int(port)}, nil
}
