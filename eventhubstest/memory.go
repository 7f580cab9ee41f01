package eventhubstest

import (
	"context"
	"net"

	"github.com/go-eventhubs/eventhubs/internal/server/memnet"
)

// memory is the network of a server that listens in memory.
type memory struct {
	network memnet.Network
	amqp    *memnet.Listener
	http    []*memnet.Listener
}

func (m *memory) listenAMQP(o Options) (net.Listener, error) {
	l, err := m.listen(o.Address)
	if err != nil {
		return nil, err
	}
	l.SetRoundTrip(o.RoundTrip)
	m.amqp = l
	return l, nil
}

func (m *memory) listenHTTP(address string) (net.Listener, error) {
	l, err := m.listen(address)
	if err != nil {
		return nil, err
	}
	m.http = append(m.http, l)
	return l, nil
}

func (m *memory) listen(address string) (*memnet.Listener, error) {
	if address == "" {
		address = loopback
	}
	return m.network.Listen(address)
}

// DialContext connects to the server: to an address in memory if it listens there, and through a net.Dialer otherwise. It is for clients that Config and BlobConfig are not for, such
// as those of the SDK itself.
func (s *Server) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if s.memory == nil {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return s.memory.network.DialContext(ctx, network, address)
}

// clientDial is the DialContext of configs; nil means what they do by themselves.
func (s *Server) clientDial() func(ctx context.Context, network, address string) (net.Conn, error) {
	if s.memory == nil {
		return nil
	}
	return s.memory.network.DialContext
}

// SilenceConnections has all AMQP connections that are open now go silent, as when a NAT drops their state: what either side writes is lost without an error, nothing arrives any more,
// and neither side notices that the other closes. New connections are taken. It takes a server in memory; with real sockets it does nothing.
func (s *Server) SilenceConnections() {
	if s.memory != nil {
		s.memory.amqp.Silence()
	}
}
