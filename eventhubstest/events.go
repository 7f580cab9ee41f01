package eventhubstest

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// Event is an event in a partition.
type Event struct {
	eventhubs.Event // as it was sent; PartitionID is the partition that holds it

	SequenceNumber int64
	Offset         string
	EnqueuedTime   time.Time
}

// Send sends events to an event hub, for a program under test to receive. It sends them with a producer, as any program
// does.
func (s *Server) Send(ctx context.Context, hub string, events ...eventhubs.Event) error {
	p, err := eventhubs.NewProducer(s.Config(hub), nil)
	if err != nil {
		return err
	}
	err = p.Send(ctx, events...)
	return errors.Join(err, p.Close(ctx))
}

// Events returns what a partition of an event hub holds now, oldest first. It returns nil if there is no such hub or
// partition. An event whose body is not a single piece of binary, which Go and Python programs never send, has a nil
// Body.
func (s *Server) Events(hub, partition string) []Event {
	stored, err := s.broker.Events(hub, partition)
	if err != nil {
		return nil
	}
	events := make([]Event, len(stored))
	for i := range stored {
		events[i] = newEvent(&stored[i], partition)
	}
	return events
}

// AllEvents returns what all partitions of an event hub hold now, partition by partition.
func (s *Server) AllEvents(hub string) []Event {
	var all []Event
	for _, id := range s.broker.Partitions(hub) {
		all = append(all, s.Events(hub, id)...)
	}
	return all
}

func newEvent(stored *broker.Event, partition string) Event {
	e := Event{
		SequenceNumber: stored.SequenceNumber, Offset: strconv.FormatInt(stored.Offset, 10), EnqueuedTime: stored.Enqueued,
	}
	e.PartitionID, e.PartitionKey = partition, stored.Key
	var m amqp.Message
	if m.UnmarshalBinary(stored.Bare) != nil {
		return e // the broker stores only well-formed messages
	}
	if len(m.Data) == 1 {
		e.Body = m.Data[0]
	}
	e.Properties = m.ApplicationProperties
	if p := m.Properties; p != nil {
		e.MessageID, _ = p.MessageID.(string)
		e.CorrelationID = p.CorrelationID
		if p.ContentType != nil {
			e.ContentType = *p.ContentType
		}
	}
	return e
}
