package eventhubs

import (
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/event"
)

// Event is one event to send. The zero value of a field means that the event does not have it. Strings must be valid
// UTF-8.
type Event struct {
	Body []byte
	// PartitionKey sends all events with the same key to one partition, which the service chooses.
	PartitionKey string
	// PartitionID sends the event to that partition. An event cannot have both a PartitionID and a PartitionKey.
	PartitionID string
	// Properties are application properties. A value is a string, a bool, a number of one of Go's sized types, an int or a
	// uint, a time.Time, a []byte, or a UUID or Symbol of package go-amqp. Maps, lists, arrays and pointers are refused.
	Properties map[string]any
	// ContentType must be ASCII.
	ContentType string
	// MessageID identifies the event to its receivers. If it is empty, Send sets a new UUID. The service ignores it.
	MessageID string
	// CorrelationID is a string, a []byte, a uint64, or a UUID of package go-amqp.
	CorrelationID any

	rest *event.Rest // what is sent besides the fields: see ReceivedEvent.Event
}

func (e *Event) fields() event.Event {
	return event.Event{
		Body: e.Body, PartitionKey: e.PartitionKey, PartitionID: e.PartitionID, Properties: e.Properties,
		ContentType: e.ContentType, MessageID: e.MessageID, CorrelationID: e.CorrelationID, Rest: e.rest,
	}
}

// EventTooLargeError says which event is too large for the service. When Send returns it, nothing was sent. Inside a
// [SendError] it means that the limit became smaller with a new connection.
type EventTooLargeError struct {
	Index int   // in the arguments of Send
	Size  int   // bytes of a message that holds this event alone
	Limit int64 // bytes that the service accepts in one message
}

func (e *EventTooLargeError) Error() string {
	return fmt.Sprintf("eventhubs: send: event %d makes a message of %d bytes, over the limit of %d: split it, or store "+
		"the payload elsewhere and send a reference", e.Index, e.Size, e.Limit)
}

// ReceivedEvent is an event as the SDK delivers it, and where it comes from.
type ReceivedEvent struct {
	// ReceivedEventData holds the body, properties, sequence number and so on. Body is nil unless the message has exactly
	// one data section; RawAMQPMessage has any other body (azeventhubs, event_data.go).
	*azeventhubs.ReceivedEventData
	// PartitionID is the partition that the event was read from.
	PartitionID string
	// Attempt counts the calls of the handler with this event, in this process since the partition was taken. The first is
	// 1.
	Attempt int

	from     *origin
	failures int  // of a handler inside DeadLetter
	dead     bool // it was sent as a dead letter
}

// origin is where the events of a Consumer come from.
type origin struct{ eventHub, group string }

// Event returns the event as it was sent, to send it on, for example to another event hub. It has the same body,
// properties, ids, content type and partition key, and no PartitionID. Properties is a copy, to which more can be
// added.
//
// What Event has no field for is sent on as well: a body that is an AMQP value, a sequence or several data sections; a
// message id that is not a string; content encoding, subject and the like; header, footer, and the sender's
// annotations. Body and MessageID are then empty; setting them replaces what was received. What the service has added,
// and what is meant for one delivery only, is left out.
//
// It fails if the event cannot be encoded again unchanged. A symbol and a string, or a null and an empty data section,
// cannot be told apart, because go-amqp decodes both alike.
func (e *ReceivedEvent) Event() (Event, error) {
	if e.ReceivedEventData == nil {
		return Event{}, errors.New("eventhubs: the received event can't be sent on: its ReceivedEventData is nil")
	}
	f, err := event.Received(e.ReceivedEventData)
	if err != nil {
		return Event{}, fmt.Errorf("eventhubs: event %d of partition %s can't be sent on unchanged: it %w",
			e.SequenceNumber, e.PartitionID, err)
	}
	return Event{
		Body: f.Body, PartitionKey: f.PartitionKey, Properties: f.Properties, ContentType: f.ContentType,
		MessageID: f.MessageID, CorrelationID: f.CorrelationID, rest: f.Rest,
	}, nil
}
