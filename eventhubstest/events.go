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
	eventhubs.Event // as it was sent; PartitionID is where it is

	SequenceNumber int64
	Offset         string
	EnqueuedTime   time.Time
}

// Send puts events into an event hub, for a program under test to receive. It goes the way that every client goes.
func (s *Server) Send(ctx context.Context, hub string, events ...eventhubs.Event) error {
	p, err := eventhubs.NewProducer(s.Config(hub), nil)
	if err != nil {
		return err
	}
	err = p.Send(ctx, events...)
	return errors.Join(err, p.Close(ctx))
}

// Events returns what a partition of an event hub holds now, oldest first, and nil if there is no such hub or
// partition. Events with a body that is not one piece of binary, which Go and Python programs don't send, have a nil
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

// AllEvents returns what all partitions of an event hub hold now, one partition after the other.
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
		return e // it was well formed when it was taken
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
