package broker

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/amqp"
)

// Annotations that the service puts on events.
const (
	annotationSequence = "x-opt-sequence-number"
	annotationOffset   = "x-opt-offset"
	annotationEnqueued = "x-opt-enqueued-time"
	annotationKey      = "x-opt-partition-key"
)

// batchFormat is the message-format of a message whose data sections each hold an event.
const batchFormat = 0x80013700

// Event is one stored event.
type Event struct {
	SequenceNumber int64
	Offset         int64
	Enqueued       time.Time
	Key            string
	HasKey         bool
	// Bare is the encoded message from its properties on, as it was sent.
	Bare []byte

	header      []byte // the encoded header section, or nil
	annotations []byte // the encoded entries of the sender's own message annotations, but for the service's names
	entries     int    // keys and values in annotations
}

// eventOverhead is about what an Event takes in memory beside the message.
const eventOverhead = 150

// size is what the event counts against the retention bound.
func (e *Event) size() int64 {
	return int64(len(e.header) + len(e.annotations) + len(e.Bare) + eventOverhead)
}

// parse splits an encoded message into the parts that are stored. They point into msg.
func parse(msg []byte) (Event, error) {
	var e Event
	walk := amqp.NewSections(msg)
	rest := len(msg)
	for {
		s, ok := walk.Next()
		if !ok {
			break
		}
		switch s.Kind {
		case amqp.SectionHeader:
			e.header = s.Whole
		case amqp.SectionDeliveryAnnotations: // for the hop to the service only
		case amqp.SectionMessageAnnotations:
			if err := e.takeAnnotations(s.Value); err != nil {
				return e, err
			}
		default:
			rest -= len(s.Whole)
		}
	}
	e.Bare = msg[rest:]
	return e, walk.Err()
}

// takeAnnotations keeps a sender's annotations, and its partition key apart.
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

// unpack returns the events of a message: the message itself, or what its data sections hold. The second result is the
// partition key of the whole message.
func unpack(format uint32, payload []byte) (events []Event, envelope Event, err error) {
	if format != batchFormat {
		envelope, err = parse(payload)
		return []Event{envelope}, envelope, err
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
			e, err := parse(inner)
			if err != nil {
				return nil, envelope, fmt.Errorf("event %d of the batch: %w", len(events), err)
			}
			events = append(events, e)
		}
	}
	if walk.Err() == nil && len(events) == 0 {
		return nil, envelope, fmt.Errorf("the batch holds no event")
	}
	return events, envelope, walk.Err()
}

// appendPrefix appends what goes before the bare message on its way to a reader: header, and the annotations with the service's own.
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
	b = appendEntry(b, annotationSequence, e.SequenceNumber)
	b = appendEntry(b, annotationOffset, strconv.FormatInt(e.Offset, 10))
	b = appendEntry(b, annotationEnqueued, e.Enqueued)
	if e.HasKey {
		b = appendEntry(b, annotationKey, e.Key)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

func appendEntry[T int64 | string | time.Time](b []byte, name amqp.Symbol, v T) []byte {
	b, _ = amqp.Append(b, name) // these types can always be encoded
	b, _ = amqp.Append(b, v)
	return b
}
