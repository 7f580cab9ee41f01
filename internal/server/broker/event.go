package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// Annotations that the service puts on events.
const (
	annotationSequence = "x-opt-sequence-number"
	annotationOffset   = "x-opt-offset"
	annotationEnqueued = "x-opt-enqueued-time"
	annotationKey      = "x-opt-partition-key"
)

// batchFormat is the message-format of a batch: each of its data sections holds an event.
const batchFormat = 0x80013700

// Event is one stored event.
type Event struct {
	SequenceNumber int64
	Offset         int64
	Enqueued       time.Time
	Key            string
	HasKey         bool

	hasProducerSequence bool
	producerSequence    int32 // given by an idempotent producer
	// Bare is the encoded message as it was sent, from its properties on.
	Bare []byte

	header      []byte // the encoded header section, or nil
	annotations []byte // the encoded entries of the sender's message annotations, without the service's names
	entries     int    // keys and values in annotations
}

// eventOverhead is roughly what an Event takes in memory, without the message.
const eventOverhead = 150

// size returns how many bytes the event counts for in the retention bound.
func (e *Event) size() int64 {
	return int64(len(e.header) + len(e.annotations) + len(e.Bare) + len(e.Key) + eventOverhead)
}

// detach copies events out of a payload that is much larger than what they count for: most of a batch may be what isn't
// kept.
func detach(events []Event, payload []byte) {
	var size int64
	for i := range events {
		size += events[i].size()
	}
	if int64(cap(payload)) <= 2*size {
		return
	}
	for i := range events {
		events[i].header, events[i].Bare = bytes.Clone(events[i].header), bytes.Clone(events[i].Bare)
	}
}

// parse splits an encoded message into the parts that are stored. They point into msg.
func (e *Event) parse(msg []byte) error {
	walk := amqp.NewSections(msg)
	rest, bare := len(msg), false
	for {
		s, ok := walk.Next()
		if !ok {
			break
		}
		switch {
		case bare || s.Kind >= amqp.SectionProperties: // delivery annotations at the end, too: the service keeps them
			rest, bare = rest-len(s.Whole), true
		case s.Kind == amqp.SectionHeader:
			e.header = s.Whole
		case s.Kind == amqp.SectionMessageAnnotations:
			if err := e.takeAnnotations(s.Value); err != nil {
				return err
			}
		} // elsewhere, delivery annotations are for the hop to the service only
	}
	e.Bare = msg[rest:]
	return walk.Err()
}

// takeAnnotations stores a sender's annotations, and its partition key separately.
func (e *Event) takeAnnotations(encoded []byte) error {
	v, err := amqp.Decode(encoded)
	if err != nil {
		return err
	}
	for _, p := range v.(amqp.Map) {
		switch name := annotationName(p.Key); name {
		case annotationSequence, annotationOffset, annotationEnqueued:
			continue
		case annotationKey:
			if p.Value == nil {
				continue
			}
			if e.Key, e.HasKey = p.Value.(string); !e.HasKey {
				return fmt.Errorf("annotation %s is a %T", name, p.Value)
			}
			continue
		case propertyProducerSequence: // it also stays an annotation
			e.producerSequence, e.hasProducerSequence = p.Value.(int32)
		}
		for _, v := range []any{p.Key, p.Value} {
			if e.annotations, err = amqp.Append(e.annotations, v); err != nil {
				return err
			}
			e.entries++
		}
	}
	return nil
}

func annotationName(key any) string {
	switch k := key.(type) {
	case amqp.Symbol:
		return string(k)
	case string:
		return k
	}
	return ""
}

// unpack appends the events of a message: the message itself, or what its data sections hold. envelope has the
// partition key of the whole message.
func unpack(events []Event, format uint32, payload []byte) (_ []Event, envelope Event, err error) {
	if format != batchFormat {
		err = envelope.parse(payload)
		return append(events, envelope), envelope, err
	}
	walk := amqp.NewSections(payload)
	for {
		s, ok := walk.Next()
		if !ok {
			break
		}
		switch s.Kind {
		case amqp.SectionMessageAnnotations:
			if err := envelope.takeAnnotations(s.Value); err != nil {
				return nil, envelope, err
			}
		case amqp.SectionData:
			inner, err := amqp.Binary(s.Value)
			if err != nil {
				return nil, envelope, err
			}
			events = append(events, Event{})
			if err := events[len(events)-1].parse(inner); err != nil {
				return nil, envelope, fmt.Errorf("event %d of the batch: %w", len(events)-1, err)
			}
		}
	}
	if walk.Err() == nil && len(events) == 0 {
		return nil, envelope, fmt.Errorf("the batch holds no event")
	}
	return events, envelope, walk.Err()
}

// appendPrefix appends what a reader gets before the bare message: the header, and the annotations with the service's
// own.
func (e *Event) appendPrefix(b []byte, deliveryAnnotations []byte) []byte {
	b = append(b, e.header...)
	b = append(b, deliveryAnnotations...)
	n := e.entries + 6
	if e.HasKey {
		n += 2
	}
	b = append(b, 0x00, 0x53, amqp.SectionMessageAnnotations, 0xd1)
	start := len(b)
	b = binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 0), uint32(n))
	b = append(b, e.annotations...)
	b = appendName(b, annotationSequence)
	b = binary.BigEndian.AppendUint64(append(b, codeLong), uint64(e.SequenceNumber))
	b = appendName(b, annotationOffset)
	b = append(b, codeStr8, 0)
	at := len(b)
	b = strconv.AppendInt(b, e.Offset, 10)
	b[at-1] = byte(len(b) - at)
	b = appendName(b, annotationEnqueued)
	b = binary.BigEndian.AppendUint64(append(b, codeTimestamp), uint64(e.Enqueued.UnixMilli()))
	if e.HasKey {
		b, _ = amqp.Append(appendName(b, annotationKey), e.Key) // a string can always be encoded
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// Format codes of AMQP. Events are encoded by hand, because amqp.Append would allocate for each value.
const (
	codeLong      = 0x81
	codeTimestamp = 0x83
	codeStr8      = 0xa1
	codeSym8      = 0xa3
)

// appendName appends a symbol of fewer than 256 bytes.
func appendName(b []byte, name string) []byte {
	return append(append(b, codeSym8, byte(len(name))), name...)
}
