package broker

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// maxReaders is how many readers without an epoch a consumer group may have on one partition.
const maxReaders = 5

// arrival is how long an event gets to arrive before a fault with After: cutting a connection in memory loses what is
// in flight. It is short for any test, and in virtual time long enough for any reader.
const arrival = time.Millisecond

// maxPrefix is how large a buffer for prefixes of events a reader keeps, in bytes. An event can have a megabyte of
// annotations.
const maxPrefix = 4 << 10

// reader is a receiving link's place in a partition.
type reader struct {
	partition *partition
	peer      *peer
	link      *amqp.Link
	group     string // in lower case
	at        entity // where it reads, for faults
	name      string // what the peer calls itself in errors
	epoch     int64
	hasEpoch  bool
	metrics   bool // deliveries carry the state of the partition's end

	// The rest is guarded by the partition's eventsMu.
	next    int64 // sequence number
	hold    hold  // whether a fault keeps the next delivery back
	waiting bool  // it has read everything
	gone    bool  // it has left, or was evicted
	prefix  []byte
}

// hold is the state of a fault that holds up a delivery.
type hold int

const (
	open     hold = iota
	held          // the fault holds up this delivery, or all
	released      // the delay is over: the delivery goes on, and meets no other fault
)

// join admits a reader, or returns why not. It returns the readers that must leave in exchange. A reader that has left
// already is not admitted.
func (p *partition) join(r *reader) (leaving []*reader, refused *amqp.Error) {
	p.eventsMu.Lock()
	defer p.eventsMu.Unlock()
	g := p.groups[r.group]
	if g == nil {
		g = &groupReaders{readers: map[*reader]struct{}{}}
		p.groups[r.group] = g
	}
	switch {
	case r.gone:
		return nil, nil
	case !r.hasEpoch && g.epoch != nil:
		return nil, stolenf("At least one receiver for the endpoint is created with epoch of '%d', and so non-epoch "+
			"receiver is not allowed. "+
			"Either reconnect with a higher epoch, or make sure all epoch receivers are closed or disconnected.", g.epoch.epoch)
	case !r.hasEpoch && len(g.readers) >= maxReaders:
		return nil, amqp.Errorf(amqp.CondResourceLimitExceeded, "Exceeded the maximum number of allowed receivers per "+
			"partition in a consumer group which is %d. "+
			"List of connected receivers - %s.", maxReaders, g.names())
	case r.hasEpoch && g.epoch != nil && g.epoch.epoch > r.epoch:
		return nil, stolenf("Receiver '%s' with a higher epoch '%d' already exists. Receiver '%s' with epoch %d cannot be "+
			"created. "+
			"Make sure you are creating receiver with increasing epoch value to ensure connectivity, or ensure all old epoch "+
			"receivers are closed or disconnected.",
			g.epoch.name, g.epoch.epoch, r.name, r.epoch)
	}
	if r.hasEpoch {
		for old := range g.readers {
			old.gone = true
			leaving = append(leaving, old)
		}
		clear(g.readers)
		g.epoch = r
	}
	g.readers[r] = struct{}{}
	return leaving, nil
}

// leave removes a reader, if it is still there, and keeps it from being admitted later.
func (p *partition) leave(r *reader) {
	p.eventsMu.Lock()
	defer p.eventsMu.Unlock()
	r.gone = true
	g := p.groups[r.group]
	if g == nil {
		return
	}
	delete(g.readers, r)
	if g.epoch == r {
		g.epoch = nil
	}
}

func (g *groupReaders) names() string {
	var names []string
	for r := range g.readers {
		names = append(names, r.name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

func stolenf(format string, args ...any) *amqp.Error {
	return amqp.Errorf(
		amqp.CondStolen, "%s TrackingId:%s, Timestamp:%s", fmt.Sprintf(format, args...), trackingID(),
		time.Now().UTC().Format("2006-01-02T15:04:05"),
	)
}

// stolen tells a reader that another one has taken its place.
func (r *reader) stolen(by *reader) {
	r.peer.detach(r.link, stolenf("New receiver '%s' with higher epoch of '%d' is created hence current receiver '%s' "+
		"with epoch '%d' is getting disconnected. "+
		"If you are recreating the receiver, make sure a higher epoch is used.", by.name, by.epoch, r.name, r.epoch))
}

// wake tells the link that there is something to read. The partition's lock is held.
func (r *reader) wake() {
	if r.waiting {
		r.waiting = false
		r.link.Wake()
	}
}

// Next fills in the next event of the partition.
func (r *reader) Next(m *amqp.Outgoing) bool {
	p := r.partition
	p.eventsMu.Lock()
	defer p.eventsMu.Unlock()
	if r.gone || r.hold == held {
		return false
	}
	r.next = max(r.next, p.firstSeq())
	if r.next >= p.nextSeq {
		r.waiting = true
		return false
	}
	var delivered func()
	if r.hold == open {
		if f, ok := r.peer.broker.faults.take(OnReceive, r.at); ok {
			r.hold = held
			if !f.After {
				r.peer.async(f.Delay, func() { r.peer.meet(f, r.exchange()) })
				return false
			}
			delivered = func() { r.peer.async(max(f.Delay, arrival), func() { r.peer.meet(f, r.exchange()) }) }
		}
	} else {
		r.hold = open
	}
	e := p.events.at(int(r.next - p.firstSeq()))
	var metrics []byte
	if r.metrics {
		metrics = runtimeMetrics(p.infoLocked())
	}
	if cap(r.prefix) > maxPrefix {
		r.prefix = nil
	}
	r.prefix = e.appendPrefix(r.prefix[:0], metrics)
	*m = amqp.Outgoing{Parts: [2][]byte{r.prefix, e.Bare}, Written: delivered}
	r.next++
	return true
}

// runtimeMetrics returns the delivery annotations for readers that asked for them: the state of the partition's end.
func runtimeMetrics(i info) []byte {
	b, _ := amqp.AppendSection(nil, amqp.SectionDeliveryAnnotations, amqp.Map{
		{Key: amqp.Symbol("last_enqueued_sequence_number"), Value: i.last},
		{Key: amqp.Symbol("last_enqueued_offset"), Value: i.lastOffset()},
		{Key: amqp.Symbol("last_enqueued_time_utc"), Value: i.lastTime},
		{Key: amqp.Symbol("runtime_info_retrieval_time_utc"), Value: time.Now().UTC()},
	})
	return b
}

// exchange returns the delivery of an event, as faults see it.
func (r *reader) exchange() exchange {
	return exchange{
		perform: r.release,
		refuse:  func(e *amqp.Error) { r.peer.detach(r.link, e) },
	}
}

// release continues the delivery that a fault has held up.
func (r *reader) release() {
	r.partition.eventsMu.Lock()
	r.hold = released
	r.partition.eventsMu.Unlock()
	r.link.Wake()
}
