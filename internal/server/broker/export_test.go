package broker

import "github.com/go-eventhubs/eventhubs/internal/server/amqp"

// ParseSelector parses a filter.
func ParseSelector(expression string) (by int, value int64, inclusive bool, err error) {
	s, err := parseSelector(expression)
	return int(s.by), s.value, s.inclusive, err
}

// Unpack returns the events of a message, and each of them as it is delivered.
func Unpack(format uint32, payload []byte) (events []Event, delivered [][]byte, err error) {
	events, _, err = unpack(nil, format, payload)
	for i := range events {
		delivered = append(delivered, append(events[i].appendPrefix(nil, nil), events[i].Bare...))
	}
	return events, delivered, err
}

// CheckSAS returns what a token allows on a path.
func (b *Broker) CheckSAS(token, path string) ([]Right, error) {
	g, err := b.checkSAS(token, path)
	if err != nil {
		return nil, err
	}
	return g.rights(), nil
}

// Limits returns the limits of later connections, for tests to change.
func (b *Broker) Limits() *amqp.Config { return &b.limits }

// PartitionOf returns the partition of a key.
func PartitionOf(key string, partitions int) int { return partitionOf(key, partitions) }

// RememberProducers makes a partition see n producers. It reports whether the partition knows the first and the last,
// and returns how many it knows.
func RememberProducers(n int) (first, last bool, kept int) {
	var ps producers
	id := int64(0)
	next := func() int64 { id++; return id }
	for range n {
		p, epoch, _, _ := ps.join(claim{}, next)
		_, _ = ps.accept(p, epoch, span{1, 1})
	}
	return ps.byID[1] != nil, ps.byID[id] != nil, ps.order.Len()
}
