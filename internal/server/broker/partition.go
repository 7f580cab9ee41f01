package broker

import (
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// partition is an ordered log of events, and its readers.
type partition struct {
	hub       *hub
	id        string
	retention int64

	eventsMu   sync.Mutex
	events     eventLog
	bytes      int64
	nextSeq    int64
	nextOffset int64
	lastTime   time.Time
	groups     map[string]*groupReaders // by consumer group in lower case
	producers  producers                // idempotent ones
}

// groupReaders are the readers of one consumer group: one with an epoch, or up to five without.
type groupReaders struct {
	epoch   *reader
	readers map[*reader]struct{} // all of them, also the one with an epoch
}

func newPartition(h *hub, id string, retention int64) *partition {
	return &partition{hub: h, id: id, retention: retention, groups: map[string]*groupReaders{}}
}

// append stores copies of events in order, and wakes the readers.
func (p *partition) append(events []Event) {
	p.eventsMu.Lock()
	defer p.eventsMu.Unlock()
	p.appendLocked(events)
}

func (p *partition) appendLocked(events []Event) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if now.Before(p.lastTime) { // the clock was set back, but reads by time rely on ascending times
		now = p.lastTime
	}
	p.lastTime = now
	for i := range events {
		e, size := &events[i], events[i].size()
		e.SequenceNumber, e.Offset, e.Enqueued = p.nextSeq, p.nextOffset, now
		p.nextSeq++
		p.nextOffset += size
		p.bytes += size
		p.events.append(e)
	}
	p.trim()
	for _, g := range p.groups {
		for r := range g.readers {
			r.wake()
		}
	}
}

// trim drops the oldest events beyond the retention bound. It always keeps the newest event.
func (p *partition) trim() {
	for p.bytes > p.retention && p.events.len > 1 {
		p.bytes -= p.events.at(0).size()
		p.events.drop()
	}
}

// firstSeq returns the sequence number of the oldest event, or of the next one if there is none.
func (p *partition) firstSeq() int64 { return p.nextSeq - int64(p.events.len) }

// start returns the sequence number at which a reader begins. A position past the last event is refused, as by the
// service: it comes from another partition, or from an earlier hub of the same name.
func (p *partition) start(s selector) (int64, *amqp.Error) {
	p.eventsMu.Lock()
	defer p.eventsMu.Unlock()
	find := func(after func(e *Event) bool) int64 {
		return p.firstSeq() + int64(sort.Search(p.events.len, func(i int) bool { return after(p.events.at(i)) }))
	}
	least := s.value // the lowest value that is read
	if !s.inclusive {
		least++
	}
	switch s.by {
	case bySequence:
		if s.value >= p.nextSeq {
			return 0, beyond("sequence number", s.value, strconv.FormatInt(p.nextSeq-1, 10))
		}
		return max(least, p.firstSeq()), nil
	case byOffset:
		if last := p.infoLocked(); s.value > last.offset {
			return 0, beyond("offset", s.value, last.lastOffset())
		}
		return find(func(e *Event) bool { return e.Offset >= least }), nil
	case byTime:
		return find(func(e *Event) bool { return e.Enqueued.UnixMilli() >= least }), nil
	}
	return p.nextSeq, nil // the latest
}

func beyond(what string, supplied int64, last string) *amqp.Error {
	return amqp.Errorf(
		condArgumentError, "The supplied %s '%d' is invalid. The last %s in the system is '%s'. TrackingId:%s", what,
		supplied, what, last, trackingID(),
	)
}

// info is what $management and the runtime metrics report of a partition.
type info struct {
	begin, last int64
	offset      int64 // of the last event; -1: there is none
	lastTime    time.Time
	empty       bool
}

func (i info) lastOffset() string { return strconv.FormatInt(i.offset, 10) }

func (p *partition) info() info {
	p.eventsMu.Lock()
	defer p.eventsMu.Unlock()
	return p.infoLocked()
}

func (p *partition) infoLocked() info {
	i := info{begin: p.firstSeq(), last: p.nextSeq - 1, offset: -1, lastTime: time.Time{}, empty: p.events.len == 0}
	if !i.empty {
		e := p.events.at(p.events.len - 1)
		i.offset, i.lastTime = e.Offset, e.Enqueued
	}
	return i
}

func (p *partition) snapshot() []Event {
	p.eventsMu.Lock()
	defer p.eventsMu.Unlock()
	var events []Event
	for i := range p.events.len {
		events = append(events, *p.events.at(i))
	}
	return events
}
