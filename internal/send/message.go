package send

import (
	"maps"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"
)

// messageSize is how many bytes a message has that holds one event, as the SDK counts them: the event, and, once more,
// all of it but its body, which makes the batch's envelope (azeventhubs, event_data_batch.go, addAMQPMessage).
func messageSize(events Events, i int) (int, error) {
	m := message(events, i)
	if key := events.To(i).Key; key != "" {
		if m.Annotations == nil {
			m.Annotations = amqp.Annotations{}
		}
		m.Annotations["x-opt-partition-key"] = key
	}
	event, err := m.MarshalBinary()
	if err != nil {
		return 0, err
	}
	m.Data, m.Value, m.Sequence = nil, nil, nil
	envelope, err := m.MarshalBinary()
	if err != nil {
		return 0, err
	}
	const short, header, longHeader = 256, 5, 8
	if len(event) < short {
		return len(envelope) + len(event) + header, nil
	}
	return len(envelope) + len(event) + longHeader, nil
}

// message is an event as the SDK makes it (event_data.go, toAMQPMessage), but for the partition key.
func message(events Events, i int) *amqp.Message {
	if raw := events.Raw(i); raw != nil {
		return RawMessage(raw)
	}
	d := &azeventhubs.EventData{}
	events.Data(i, d)
	m := amqp.NewMessage(d.Body)
	m.Properties = &amqp.MessageProperties{ContentType: d.ContentType, CorrelationID: d.CorrelationID}
	if d.MessageID != nil {
		m.Properties.MessageID = *d.MessageID
	}
	if len(d.Properties) > 0 {
		m.ApplicationProperties = d.Properties
	}
	return m
}

// RawMessage is a raw event as the SDK makes it (amqp_message.go, toAMQPMessage). Its Properties must not be nil.
func RawMessage(raw *azeventhubs.AMQPAnnotatedMessage) *amqp.Message {
	p := raw.Properties
	m := &amqp.Message{
		Annotations: maps.Clone(raw.MessageAnnotations), ApplicationProperties: raw.ApplicationProperties, Footer: raw.Footer,
		Data: raw.Body.Data, Value: raw.Body.Value, Sequence: raw.Body.Sequence,
		Properties: &amqp.MessageProperties{
			MessageID: p.MessageID, UserID: p.UserID, To: p.To, Subject: p.Subject, ReplyTo: p.ReplyTo,
			CorrelationID: p.CorrelationID, ContentType: p.ContentType, ContentEncoding: p.ContentEncoding,
			AbsoluteExpiryTime: p.AbsoluteExpiryTime, CreationTime: p.CreationTime, GroupID: p.GroupID,
			GroupSequence: p.GroupSequence, ReplyToGroupID: p.ReplyToGroupID,
		},
	}
	if h := raw.Header; h != nil {
		m.Header = &amqp.MessageHeader{Durable: h.Durable, Priority: h.Priority, TTL: h.TTL}
	}
	return m
}
