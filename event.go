package eventhubs

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/go-eventhubs/eventhubs/internal/send"
)

// Event is one event to send. The zero value of each field means that the event has none. Its strings have to be valid
// UTF-8.
type Event struct {
	Body []byte
	// PartitionKey makes all events with the same key go to one partition, which the service chooses.
	PartitionKey string
	// PartitionID makes the event go to one partition. An event that has a PartitionKey too is refused.
	PartitionID string
	// Properties are application properties. A value is a string, a bool, a number of Go's sized types, an int or a uint,
	// a time.Time, a []byte, or a UUID or Symbol of package go-amqp. Maps, lists, arrays and pointers are refused.
	Properties map[string]any
	// ContentType has to be ASCII.
	ContentType string
	// MessageID identifies the event to those who read it. If it is empty, Send makes up a UUID. The service doesn't look
	// at it.
	MessageID string
	// CorrelationID is a string, a []byte, a uint64 or a UUID of package go-amqp.
	CorrelationID any

	forwarded *forwarded // what is sent on beside the fields; see ReceivedEvent.Event
}

// fixedCost is more than an event without body and properties takes when it is encoded, twice: as an event, and as a
// batch's envelope. It also stands for what is kept beside an event while it is on its way.
const fixedCost = 512

// cost is an upper bound of the event's size in a batch of its own.
func (e *Event) cost() int {
	n := fixedCost + len(e.Body) + 2*(len(e.PartitionKey)+len(e.ContentType)+len(e.MessageID))
	for k, v := range e.Properties {
		n += 2 * (len(k) + 24)
		switch v := v.(type) {
		case string:
			n += 2 * len(v)
		case amqp.Symbol:
			n += 2 * len(v)
		case []byte:
			n += 2 * len(v)
		}
	}
	switch id := e.CorrelationID.(type) {
	case string:
		n += 2 * len(id)
	case []byte:
		n += 2 * len(id)
	}
	if e.forwarded != nil {
		n += 2 * e.forwarded.size
	}
	return n
}

// check reports what keeps the event from being sent, whatever the service says.
func (e *Event) check() error {
	if e.PartitionKey != "" && e.PartitionID != "" {
		return fmt.Errorf("has both PartitionKey %q and PartitionID %q: set one of them", e.PartitionKey, e.PartitionID)
	}
	for _, s := range [...]struct{ name, value string }{
		{"PartitionKey", e.PartitionKey}, {"PartitionID", e.PartitionID}, {"MessageID", e.MessageID},
	} {
		if !utf8.ValidString(s.value) {
			return fmt.Errorf("has a %s that is not valid UTF-8: %q", s.name, s.value)
		}
	}
	if !isASCII(e.ContentType) {
		return fmt.Errorf("has a ContentType that is not ASCII: %q", e.ContentType)
	}
	switch id := e.CorrelationID.(type) {
	case nil, []byte, uint64, amqp.UUID:
	case string:
		if !utf8.ValidString(id) {
			return fmt.Errorf("has a CorrelationID that is not valid UTF-8: %q", id)
		}
	default:
		return fmt.Errorf("has a CorrelationID that is a %T: it has to be a string, a []byte, a uint64 or a UUID", id)
	}
	for k, v := range e.Properties {
		if !utf8.ValidString(k) {
			return fmt.Errorf("has a property whose name is not valid UTF-8: %q", k)
		}
		if e.forwarded != nil && e.forwarded.complex[k] {
			continue
		}
		if err := checkProperty(v); err != nil {
			return fmt.Errorf("has a property %q that %w", k, err)
		}
	}
	return nil
}

// checkProperty accepts what go-amqp encodes as a simple value (internal/encoding, encode.go, Marshal). Pointers, which
// it would follow, may be nil.
func checkProperty(value any) error {
	switch v := value.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, []byte,
		time.Time, amqp.UUID:
		return nil
	case string:
		if !utf8.ValidString(v) {
			return fmt.Errorf("is not valid UTF-8: %q", v)
		}
		return nil
	case amqp.Symbol:
		if !isASCII(string(v)) {
			return fmt.Errorf("is a Symbol, and not ASCII: %q", v)
		}
		return nil
	}
	return fmt.Errorf("is a %T: it has to be a string, a bool, a number, a time.Time, a []byte, a UUID or a Symbol", value)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// outgoing are the events of one call of Send, for the engine.
type outgoing []Event

func (o outgoing) Len() int                                    { return len(o) }
func (o outgoing) Cost(i int) int                              { return o[i].cost() }
func (o outgoing) To(i int) send.Destination                   { return o[i].destination() }
func (o outgoing) Raw(i int) *azeventhubs.AMQPAnnotatedMessage { return o[i].raw() }

func (o outgoing) Data(i int) *azeventhubs.EventData {
	d := &azeventhubs.EventData{}
	o[i].fill(d, new(string))
	return d
}

// single is an outgoing event that is the only one of its call, with the memory that it takes on its way: that of one
// allocation.
type single struct {
	event Event
	data  azeventhubs.EventData
	id    string
}

func (s *single) Len() int                                  { return 1 }
func (s *single) Cost(int) int                              { return s.event.cost() }
func (s *single) To(int) send.Destination                   { return s.event.destination() }
func (s *single) Raw(int) *azeventhubs.AMQPAnnotatedMessage { return s.event.raw() }

func (s *single) Data(int) *azeventhubs.EventData {
	s.event.fill(&s.data, &s.id)
	return &s.data
}

func (e *Event) destination() send.Destination {
	return send.Destination{Key: e.PartitionKey, Partition: e.PartitionID}
}

// fill makes the SDK's event of an event. id is memory for its message id.
func (e *Event) fill(d *azeventhubs.EventData, id *string) {
	d.Body, d.Properties, d.CorrelationID = e.Body, e.Properties, e.CorrelationID
	if e.ContentType != "" {
		d.ContentType = &e.ContentType
	}
	if *id = e.MessageID; *id == "" {
		*id = newMessageID()
	}
	d.MessageID = id
}

// newMessageID makes a UUID, as the SDK does for an event without a message id, but in a fraction of the time: its way
// is two fifths of what putting a small event into a batch takes (azure-sdk-for-go/sdk/internal, uuid/uuid.go, String).
func newMessageID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4: random
	s := make([]byte, 0, 36)
	for i, v := range [...][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			s = append(s, '-')
		}
		s = hex.AppendEncode(s, v)
	}
	return string(s)
}

// EventTooLargeError says which event is too large for the service. If it is what Send returns, nothing was sent. In a
// [SendError], it is about an event that only became too large when the connection was made anew.
type EventTooLargeError struct {
	Index int   // in the arguments of Send
	Size  int   // bytes of a message that holds this event alone
	Limit int64 // bytes that the service takes in one message
}

func (e *EventTooLargeError) Error() string {
	return fmt.Sprintf("eventhubs: send: event %d makes a message of %d bytes, over the limit of %d: split it, or store "+
		"the payload elsewhere and send a reference", e.Index, e.Size, e.Limit)
}

// sendError turns an error of the engine's into one of this package.
func (t target) sendError(err error) error {
	var failed *send.Error
	var tooLarge *send.TooLargeError
	var bad *send.EncodeError
	var left *send.LeftError
	switch {
	case errors.As(err, &failed):
		return &SendError{Unacknowledged: failed.Unacknowledged, Err: t.sendError(failed.Err)}
	case errors.As(err, &tooLarge):
		return &EventTooLargeError{Index: tooLarge.Index, Size: tooLarge.Size, Limit: tooLarge.Limit}
	case errors.As(err, &bad):
		return fmt.Errorf("eventhubs: send: %w", bad)
	case errors.As(err, &left) && left.Last != nil:
		return fmt.Errorf("%w: %w", t.explainSend(left.Last), left)
	}
	return t.explainSend(err)
}

// ReceivedEvent is an event as the SDK hands it over, and where it is from.
type ReceivedEvent struct {
	// ReceivedEventData holds body, properties, sequence number and all else. Body is nil unless the message has exactly
	// one data section; RawAMQPMessage has the rest (azeventhubs, event_data.go).
	*azeventhubs.ReceivedEventData
	// PartitionID is the partition that it was read from.
	PartitionID string
	// Attempt counts the calls of the handler with this event, in this process and since the partition was taken: 1 is the
	// first.
	Attempt int

	from     *origin
	failures int  // of a handler that DeadLetter watches
	dead     bool // it was sent as a dead letter
}

// origin is where the events of a Consumer are from.
type origin struct{ eventHub, group string }

// Event is the event as it was sent, to be sent on: to another event hub, say. It has the same body, properties, ids,
// content type and partition key, and no PartitionID. Its Properties are a copy, to which more can be added.
//
// What Event has no field for goes with it unseen: a body that is an AMQP value, a sequence, or several data sections;
// a message id that is no string; content encoding, subject and the like; header, footer, and annotations of the
// sender's. Body and MessageID are empty then, and take the place of what is unseen if they are set. Left out is what
// the service has added, and what is meant for one delivery only.
//
// It fails if the event can't be encoded again as it was. It can't tell a symbol from a string, nor a null data section
// from an empty one: go-amqp decodes both alike.
func (e *ReceivedEvent) Event() (Event, error) {
	out := Event{
		Body: e.Body, PartitionKey: valueOf(e.PartitionKey), Properties: make(map[string]any, len(e.Properties)),
		ContentType: valueOf(e.ContentType), MessageID: valueOf(e.MessageID), CorrelationID: e.CorrelationID,
	}
	maps.Copy(out.Properties, e.Properties)
	if e.RawAMQPMessage != nil { // there is none in an event that a test has made
		out.forwarded = newForwarded(e.RawAMQPMessage)
	}
	err := out.check()
	if err == nil && out.forwarded != nil {
		out.forwarded.size, err = out.encodedSize()
	}
	if err != nil {
		return Event{}, fmt.Errorf("eventhubs: event %d of partition %s can't be sent on unchanged: it %w",
			e.SequenceNumber, e.PartitionID, err)
	}
	return out, nil
}

// encodedSize is for an event with more than Event has fields for.
func (e *Event) encodedSize() (int, error) {
	encoded, err := send.RawMessage(e.raw()).MarshalBinary()
	if err != nil {
		return 0, fmt.Errorf("can't be encoded: %w", err)
	}
	return len(encoded), nil
}

func valueOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// forwarded is what Event has no field for, of an event that is sent on.
type forwarded struct {
	message azeventhubs.AMQPAnnotatedMessage // without what Event has fields for
	body    bool                             // message has the body
	complex map[string]bool                  // see complexProperties
	size    int                              // bytes of the event when it was encoded as it was
}

// newForwarded returns nil if Event has fields for all that a message says.
func newForwarded(raw *azeventhubs.AMQPAnnotatedMessage) *forwarded {
	f := &forwarded{}
	m := &f.message
	m.Properties = &azeventhubs.AMQPAnnotatedMessageProperties{}
	if raw.Properties != nil {
		*m.Properties = *raw.Properties
	}
	p := m.Properties
	p.ContentType, p.CorrelationID = nil, nil
	if _, ok := p.MessageID.(string); ok {
		p.MessageID = nil
	}
	more := p.MessageID != nil || p.UserID != nil || p.To != nil || p.Subject != nil || p.ReplyTo != nil ||
		p.ContentEncoding != nil || p.AbsoluteExpiryTime != nil || p.CreationTime != nil || p.GroupID != nil ||
		p.GroupSequence != nil || p.ReplyToGroupID != nil
	if h := raw.Header; h != nil && (h.Durable || h.Priority != defaultPriority || h.TTL != 0) {
		m.Header = &azeventhubs.AMQPAnnotatedMessageHeader{Durable: h.Durable, Priority: h.Priority, TTL: h.TTL}
	}
	if len(raw.Footer) > 0 {
		m.Footer = raw.Footer
	}
	m.MessageAnnotations = sendersAnnotations(raw.MessageAnnotations)
	if b := raw.Body; len(b.Data) != 1 {
		f.body, m.Body = true, b
		if b.Data == nil && b.Sequence == nil && b.Value == nil {
			m.Body.Value = amqp.Null{} // go-amqp decodes it as if there were no body
		}
	}
	f.complex = complexProperties(raw.ApplicationProperties)
	if !more && !f.body && m.Header == nil && m.Footer == nil && m.MessageAnnotations == nil && f.complex == nil {
		return nil
	}
	return f
}

// complexProperties are the names of properties that Send refuses from others, such as lists. Some clients send them
// all the same. Nil: there are none.
func complexProperties(all map[string]any) (names map[string]bool) {
	for k, v := range all {
		if checkProperty(v) != nil {
			if names == nil {
				names = map[string]bool{}
			}
			names[k] = true
		}
	}
	return names
}

// defaultPriority is the priority of a message that names none (AMQP 1.0, 3.2.1).
const defaultPriority = 4

// sendersAnnotations are those that the service has not put there. Nil: there are none.
func sendersAnnotations(all map[any]any) map[any]any {
	var own map[any]any
	for k, v := range all {
		name, _ := k.(string)
		switch {
		case name == "x-opt-sequence-number", name == "x-opt-offset", name == "x-opt-enqueued-time",
			name == "x-opt-partition-key", name == "x-opt-publisher",
			strings.HasPrefix(name, "com.microsoft:"): // numbers of the link it was sent over
			continue
		case own == nil:
			own = map[any]any{}
		}
		own[k] = v
	}
	return own
}

// raw is the message of an event that is sent on with more than Event has fields for. Nil: it is as any other.
func (e *Event) raw() *azeventhubs.AMQPAnnotatedMessage {
	f := e.forwarded
	if f == nil {
		return nil
	}
	m, p := f.message, *f.message.Properties
	m.Properties = &p
	if len(e.Properties) > 0 {
		m.ApplicationProperties = e.Properties
	}
	if p.CorrelationID = e.CorrelationID; e.ContentType != "" {
		p.ContentType = &e.ContentType
	}
	switch {
	case e.MessageID != "":
		p.MessageID = e.MessageID
	case p.MessageID == nil:
		p.MessageID = newMessageID()
	}
	if !f.body || e.Body != nil {
		m.Body = azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{e.Body}}
	}
	return &m
}
