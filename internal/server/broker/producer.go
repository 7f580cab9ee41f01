package broker

import (
	"container/list"
	"math"
	"slices"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// Idempotent publishing, which clients ask for when they open a link to a partition. A producer has an id, an epoch,
// and sequence numbers for its events. They are in the properties of the link, and in annotations of events. If the
// link leaves one out, or sends null, the service supplies it in its answer (@azure/event-hubs, eventHubSender.ts;
// .NET, AmqpConnectionScope). Sequence numbers are judged as Kafka judges them: see accept.
const (
	capabilityIdempotent = "com.microsoft:idempotent-producer"

	propertyProducerID       = "com.microsoft:producer-id"
	propertyProducerEpoch    = "com.microsoft:producer-epoch"
	propertyProducerSequence = "com.microsoft:producer-sequence-number" // of a link: that of the last event
)

const (
	// maxProducers is how many idempotent producers a partition remembers. It forgets those first that published longest
	// ago. If one comes back, the partition believes what it says of itself.
	maxProducers = 10_000
	// recentBatches is how many batches of a producer are recognized when they are repeated.
	recentBatches = 5
)

// producer is what a partition knows of one idempotent producer. The partition's eventsMu guards it.
type producer struct {
	id     int64
	epoch  int16
	last   int32 // sequence number of the last event that was stored
	recent []span
	place  *list.Element // in the partition's list
}

// span holds the sequence numbers of the first and the last event of a batch.
type span struct{ first, last int32 }

// producers holds the idempotent producers of a partition. The zero value holds none.
type producers struct {
	byID  map[int64]*producer
	order list.List // of *producer, the most recent first
}

// claim is what the properties of a link say of a producer. nil means that they don't say it.
type claim struct {
	id       *int64
	epoch    *int16
	sequence *int32
}

// claimOf reads the properties of a link that asks for idempotent publishing.
func claimOf(properties amqp.Map) (c claim, refused *amqp.Error) {
	c.id, refused = whole[int64](properties, propertyProducerID, math.MaxInt64)
	if refused == nil {
		c.epoch, refused = whole[int16](properties, propertyProducerEpoch, math.MaxInt16)
	}
	if refused == nil {
		c.sequence, refused = whole[int32](properties, propertyProducerSequence, math.MaxInt32)
	}
	return c, refused
}

// whole reads a property that is a signed integer of any width, null, or missing. It must not be negative or above
// most.
func whole[T int16 | int32 | int64](properties amqp.Map, name string, most int64) (*T, *amqp.Error) {
	var n int64
	switch v := properties.Get(name).(type) {
	case nil:
		return nil, nil
	case int8:
		n = int64(v)
	case int16:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	default:
		return nil, amqp.Errorf(amqp.CondInvalidField, "%s is a %T, and has to be a number", name, v)
	}
	if n < 0 || n > most {
		return nil, amqp.Errorf(condArgumentOutOfRange, "%s is %d. It has to be between 0 and %d. TrackingId:%s",
			name, n, most, trackingID())
	}
	out := T(n)
	return &out, nil
}

// join admits a producer, or returns why not. It returns the producer's epoch, and the sequence number of its last
// event. If the producer names that number itself, its own counts, because it may not know that its last batch was
// stored.
func (ps *producers) join(c claim, newID func() int64) (p *producer, epoch int16, last int32, refused *amqp.Error) {
	if c.id == nil {
		id := newID()
		c.id = &id
	}
	p = ps.byID[*c.id]
	if p == nil {
		p = ps.add(*c.id)
		if c.epoch != nil {
			p.epoch = *c.epoch
		}
		if c.sequence != nil {
			p.last = *c.sequence
		}
	}
	switch {
	case c.epoch == nil || *c.epoch == p.epoch:
	case *c.epoch < p.epoch:
		return nil, 0, 0, p.stolen(*c.epoch)
	default:
		p.epoch, p.recent = *c.epoch, nil
		if c.sequence != nil {
			p.last = *c.sequence
		}
	}
	last = p.last
	if c.sequence != nil {
		last = *c.sequence
	}
	return p, p.epoch, last, nil
}

func (ps *producers) add(id int64) *producer {
	if ps.byID == nil {
		ps.byID = map[int64]*producer{}
	}
	if len(ps.byID) >= maxProducers {
		oldest := ps.order.Back()
		delete(ps.byID, ps.order.Remove(oldest).(*producer).id)
	}
	p := &producer{id: id}
	p.place = ps.order.PushFront(p)
	ps.byID[id] = p
	return p
}

// accept judges a batch by the sequence numbers of its first and last event. It is new if it begins right after the
// last event, and known if it is one of the recent batches. Any other batch is out of order.
func (ps *producers) accept(p *producer, epoch int16, b span) (known bool, refused *amqp.Error) {
	switch {
	case epoch < p.epoch:
		return false, p.stolen(epoch)
	case slices.Contains(p.recent, b):
		return true, nil
	case b.first != after(p.last):
		return false, amqp.Errorf(condOutOfOrder, "The producer '%d' has sent the sequence number '%d' where '%d' was "+
			"expected. TrackingId:%s", p.id, b.first, after(p.last), trackingID())
	}
	p.last = b.last
	if len(p.recent) == recentBatches {
		p.recent = slices.Delete(p.recent, 0, 1)
	}
	p.recent = append(p.recent, b)
	ps.order.MoveToFront(p.place) // does nothing if it was forgotten
	return false, nil
}

// stolen is the error of a producer when another of the same id has a higher epoch.
func (p *producer) stolen(epoch int16) *amqp.Error {
	return amqp.Errorf(condProducerStolen, "The producer '%d' was connected with the higher epoch '%d'. The epoch '%d' "+
		"can not publish any more. TrackingId:%s", p.id, p.epoch, epoch, trackingID())
}

// after returns the sequence number of the next event. Numbers wrap around to 0.
func after(sequence int32) int32 {
	if sequence == math.MaxInt32 {
		return 0
	}
	return sequence + 1
}

// spanOf returns the span of a batch. The sequence numbers of its events must be consecutive.
func spanOf(events []Event) (s span, refused *amqp.Error) {
	for i := range events {
		e := &events[i]
		switch {
		case !e.hasProducerSequence:
			return s, amqp.Errorf(condArgumentError, "event %d of the batch has no annotation %s, which is an int",
				i, propertyProducerSequence)
		case i == 0:
			s.first = e.producerSequence
		case e.producerSequence != after(s.last):
			return s, amqp.Errorf(condOutOfOrder, "event %d of the batch has the sequence number '%d', and the one before "+
				"it '%d'. TrackingId:%s", i, e.producerSequence, s.last, trackingID())
		}
		s.last = e.producerSequence
	}
	return s, nil
}

// idempotent is the idempotent producer of a link. The zero value means that the link has none.
type idempotent struct {
	producer *producer
	epoch    int16
}

// joinProducer gives a link its idempotent producer, if the link asks for one. It returns the properties of the answer.
func (p *peer) joinProducer(l *amqp.Link, to *partition) (idempotent, amqp.Map, *amqp.Error) {
	if to == nil || !slices.Contains(l.DesiredCapabilities, capabilityIdempotent) {
		return idempotent{}, nil, nil
	}
	c, refused := claimOf(l.Properties)
	if refused != nil {
		return idempotent{}, nil, refused
	}
	to.eventsMu.Lock()
	defer to.eventsMu.Unlock()
	producer, epoch, last, refused := to.producers.join(c, p.broker.newProducerID)
	if refused != nil {
		return idempotent{}, nil, refused
	}
	return idempotent{producer, epoch}, amqp.Map{
		{Key: amqp.Symbol(propertyProducerID), Value: producer.id},
		{Key: amqp.Symbol(propertyProducerEpoch), Value: epoch},
		{Key: amqp.Symbol(propertyProducerSequence), Value: last},
	}, nil
}

// newProducerID returns an id that no producer of the namespace has. It fits in 53 bits, as JavaScript requires.
func (b *Broker) newProducerID() int64 { return b.producerIDs.Add(1) }

// appendOnce stores events of an idempotent producer, unless they are stored already.
func (p *partition) appendOnce(i idempotent, events []Event) *amqp.Error {
	b, refused := spanOf(events)
	if refused != nil {
		return refused
	}
	p.eventsMu.Lock()
	defer p.eventsMu.Unlock()
	known, refused := p.producers.accept(i.producer, i.epoch, b)
	if refused == nil && !known {
		p.appendLocked(events)
	}
	return refused
}
