package event

import (
	"fmt"
	"maps"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"

	"github.com/go-eventhubs/eventhubs/internal/send"
)

// Rest is what Event has no field for, of a received event that is sent on.
type Rest struct {
	message azeventhubs.AMQPAnnotatedMessage // without what Event has fields for
	body    bool                             // message has the body
	complex map[string]bool                  // see complexProperties
	size    int                              // bytes of the event when it was encoded as it was received
}

// Received is a received event as it was sent. It fails if the event can't be encoded again; the text of the error
// follows "the event".
func Received(e *azeventhubs.ReceivedEventData) (Event, error) {
	out := Event{
		Body: e.Body, PartitionKey: valueOf(e.PartitionKey), Properties: make(map[string]any, len(e.Properties)),
		ContentType: valueOf(e.ContentType), MessageID: valueOf(e.MessageID), CorrelationID: e.CorrelationID,
	}
	maps.Copy(out.Properties, e.Properties)
	if e.RawAMQPMessage != nil { // an event that a test has made has none
		out.Rest = newRest(e.RawAMQPMessage)
	}
	err := out.Check()
	if err == nil && out.Rest != nil {
		out.Rest.size, err = out.encodedSize()
	}
	return out, err
}

func valueOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// encodedSize is for an event with a Rest.
func (e *Event) encodedSize() (int, error) {
	encoded, err := send.RawMessage(e.raw()).MarshalBinary()
	if err != nil {
		return 0, fmt.Errorf("can't be encoded: %w", err)
	}
	return len(encoded), nil
}

// newRest returns nil if Event has fields for all that a message says.
func newRest(raw *azeventhubs.AMQPAnnotatedMessage) *Rest {
	f := &Rest{}
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
	f := e.Rest
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
