package eventhubstest

import (
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/memnet"
)

// memory is the network of a server that listens in memory.
type memory struct {
	network memnet.Network
	amqp    []*memnet.Listener
	blob    *memnet.Listener
}

// inBubble reports whether the caller runs in a synctest bubble: a bubble's clock starts in the year 2000
// (testing/synctest).
func inBubble() bool { return time.Now().Year() < 2020 }

// SilenceConnections makes all AMQP connections that are open now go silent, as when a NAT drops their state: nothing
// arrives any more on either side. What is written is lost without an error, and neither side notices when the other
// one closes. New connections work. It works in memory only; with real sockets it does nothing.
func (s *Server) SilenceConnections() {
	if s.memory != nil {
		for _, l := range s.memory.amqp {
			l.Silence()
		}
	}
}

// SilenceBlobConnections does to the connections to the storage account what SilenceConnections does to AMQP.
func (s *Server) SilenceBlobConnections() {
	if s.memory != nil {
		s.memory.blob.Silence()
	}
}

// IgnoreDials leaves new AMQP connections unanswered from now on, like a firewall that swallows packets: dials wait
// until their contexts end, or until resume is called. Open connections stay open. It works in memory only; with real
// sockets it does nothing.
func (s *Server) IgnoreDials() (resume func()) {
	if s.memory == nil {
		return func() {}
	}
	s.memory.ignore(true)
	return func() { s.memory.ignore(false) }
}

func (m *memory) ignore(dials bool) {
	for _, l := range m.amqp {
		l.Ignore(dials)
	}
}
