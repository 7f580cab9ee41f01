package broker

import (
	"bytes"
	"strings"

	"github.com/go-eventhubs/eventhubs/internal/amqp"
)

// publisher takes what is sent on a link.
type publisher struct {
	peer      *peer
	hub       *hub
	partition *partition // nil: by key, or in turn
	at        entity
	events    []Event // of the message that is being delivered: kept for the next one to use
}

// Deliver stores the events of a message.
func (s *publisher) Deliver(d *amqp.Delivery) {
	f, faulty := s.peer.broker.faults.take(OnPublish, s.at)
	if faulty && f.fails() && !f.After {
		d.Payload = nil
		s.peer.later(f.Delay, func() { s.fail(f, d) })
		return
	}
	if refused := s.store(d); refused != nil {
		d.Reject(refused)
		return
	}
	switch {
	case !faulty:
		d.Accept()
	case f.fails():
		s.peer.later(f.Delay, func() { s.fail(f, d) })
	default:
		s.peer.later(f.Delay, d.Accept)
	}
}

func (s *publisher) store(d *amqp.Delivery) *amqp.Error {
	payload := d.Payload
	if cap(payload) > len(payload)+len(payload)/4 { // events are kept as parts of it, so room to spare would be kept too
		payload = bytes.Clone(payload)
	}
	events, envelope, err := unpack(s.events[:0], d.Format, payload)
	s.events = events
	defer clear(events) // the partition has copies
	if err != nil {
		return amqp.Errorf(amqp.CondDecodeError, "the message can't be read: %v", err)
	}
	to := s.partition
	if to == nil { // or the sender has put the key where it belongs, as buffered producers do
		to = s.hub.route(envelope.Key, envelope.HasKey)
	}
	for i := range events {
		if !events[i].HasKey {
			events[i].Key, events[i].HasKey = envelope.Key, envelope.HasKey
		}
	}
	detach(events, payload)
	to.append(events)
	d.Payload = nil // a fault may hold the answer back
	return nil
}

// fail does what a fault asks for: no answer, no connection, no link, or a refusal.
func (s *publisher) fail(f Fault, d *amqp.Delivery) {
	onLink := strings.HasPrefix(f.Condition, "amqp:link:") || f.onConnection()
	if f.Condition != "" && !onLink && !f.DropConnection {
		d.Reject(f.err())
		return
	}
	d.Drop()
	if f.Condition != "" || f.DropConnection {
		s.peer.fail(f, d.Link())
	}
}
