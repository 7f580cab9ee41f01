package broker

import (
	"bytes"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// publisher receives what is sent on a link.
type publisher struct {
	peer      *peer
	link      *amqp.Link
	hub       *hub
	partition *partition // nil: by key, or in turn
	at        entity
	once      idempotent // not zero: each event is published once
	idle      *idleTimer
	events    []Event // of the current message; its memory is reused for the next
}

// Deliver stores the events of a message.
func (s *publisher) Deliver(d *amqp.Delivery) {
	s.idle.use()
	f, faulty := s.peer.broker.faults.take(OnPublish, s.at)
	if faulty && f.fails() && !f.After {
		d.Payload = nil // free it: a fault may hold the answer back for long
	} else if refused := s.store(d); refused != nil {
		d.Reject(refused)
		return
	}
	if !faulty {
		d.Accept()
		return
	}
	s.peer.undergo(f, exchange{ // events are stored before any delay, to keep the order
		perform: d.Accept,
		refuse:  func(e *amqp.Error) { s.refuse(d, e) },
		ignore:  d.Drop,
	})
}

func (s *publisher) store(d *amqp.Delivery) *amqp.Error {
	payload := d.Payload
	if cap(payload) > len(payload)+len(payload)/4 { // events are slices of it, so spare capacity would be kept, too
		payload = bytes.Clone(payload)
	}
	events, envelope, err := unpack(s.events[:0], d.Format, payload)
	s.events = events
	defer clear(events) // the partition has copies
	if err != nil {
		return amqp.Errorf(amqp.CondDecodeError, "the message can't be read: %v", err)
	}
	to := s.partition
	if to == nil { // otherwise the sender chose the partition of the key itself, as buffered producers do
		to = s.hub.route(envelope.Key, envelope.HasKey)
	}
	for i := range events {
		if !events[i].HasKey {
			events[i].Key, events[i].HasKey = envelope.Key, envelope.HasKey
		}
	}
	detach(events, payload)
	if s.once.producer == nil {
		to.append(events)
	} else if refused := to.appendOnce(s.once, events); refused != nil {
		return refused
	}
	d.Payload = nil // free it: a fault may hold the answer back for long
	return nil
}

// refuse rejects a message, or detaches its link if the condition is one of links.
func (s *publisher) refuse(d *amqp.Delivery, reason *amqp.Error) {
	if !onLink(reason.Condition) {
		d.Reject(reason)
		return
	}
	d.Drop()
	s.peer.detach(d.Link(), reason)
}
