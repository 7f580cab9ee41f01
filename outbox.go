package eventhubs

import (
	"context"
	"errors"
	"runtime"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

const (
	// anywhereInFlight is how many batches are on their way at once that may go to any partition. Those with a key or for a partition go one by one, in order.
	anywhereInFlight = 4
	// chunk is how many events are put into an outbox, or taken out of it, at once.
	chunk = 64
)

// destination is where an event goes: to the partition of a key, to a partition, or, if both are empty, wherever the service likes.
type destination struct{ key, partition string }

func (d destination) ordered() bool { return d != destination{} }

func (d destination) options() *azeventhubs.EventDataBatchOptions {
	o := &azeventhubs.EventDataBatchOptions{}
	if d.key != "" {
		o.PartitionKey = &d.key
	}
	if d.partition != "" {
		o.PartitionID = &d.partition
	}
	return o
}

// item is an event on its way.
type item struct {
	call  *call
	index int // in the call
	cost  int // of the Producer's budget
}

// outbox holds the events for one destination that wait for a batch. While a batch is on its way, what comes in fills the next one. An outbox is there only as
// long as it has events or senders, so that keys leave nothing behind. The Producer's mu guards it.
type outbox struct {
	p       *Producer
	to      destination
	items   []item
	senders int
}

// put adds events to the outbox of a destination.
func (p *Producer) put(to destination, items []item) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sending.Err() != nil {
		return errProducerClosed
	}
	box := p.outboxes[to]
	if box == nil {
		box = &outbox{p: p, to: to}
		p.outboxes[to] = box
	}
	box.items = append(box.items, items...)
	box.startSender()
	return nil
}

// startSender starts a goroutine that sends, if there is something to send and the order allows it.
func (b *outbox) startSender() {
	most := anywhereInFlight
	if b.to.ordered() {
		most = 1
	}
	if len(b.items) == 0 || b.senders >= most {
		return
	}
	b.senders++
	b.p.senders.Go((&sender{outbox: b}).work)
}

// take moves up to a chunk of events into a slice.
func (b *outbox) take(into []item) []item {
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	n := min(len(b.items), chunk)
	into = append(into[:0], b.items[:n]...)
	clear(b.items[:n])
	if b.items = b.items[n:]; len(b.items) == 0 {
		b.items = nil // or the slice would grow on, behind what was taken
	}
	return into
}

// leave ends a sender, and the outbox with its last one, unless something has come in.
func (b *outbox) leave() bool {
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	if len(b.items) > 0 {
		return false
	}
	if b.senders--; b.senders == 0 {
		delete(b.p.outboxes, b.to)
	}
	return true
}

// sender fills batches from an outbox and sends them, one after the other.
type sender struct {
	*outbox
	buffer []item
	chunk  []item // of buffer: taken from the outbox, and not yet in a batch
	batch  *azeventhubs.EventDataBatch
	runs   []run // what is in the batch
}

// run is a row of events of one call.
type run struct {
	call    *call
	indexes []int
	cost    int
}

func (s *sender) work() {
	for {
		if !s.more() {
			if s.leave() {
				return
			}
			continue
		}
		s.sendBatch()
		runtime.Gosched() // who has waited for this batch may have more for the next
	}
}

// more reports whether there is an event for a batch.
func (s *sender) more() bool {
	if len(s.chunk) == 0 {
		s.buffer = s.take(s.buffer)
		s.chunk = s.buffer
	}
	return len(s.chunk) > 0
}

// sendBatch makes one batch of what is there, and sends it.
func (s *sender) sendBatch() {
	s.runs = s.runs[:0]
	err := s.p.try(s.chunkIsWanted, func() (err error) {
		s.batch, err = s.p.client.NewEventDataBatch(s.p.sending, s.to.options())
		return err
	})
	if err != nil {
		for _, it := range s.chunk {
			s.pass(it, err)
		}
		s.chunk = nil
		return
	}
	for full := false; !full && s.more(); {
		full = s.fill()
	}
	if s.batch.NumEvents() == 0 {
		return // all were abandoned
	}
	s.p.mu.Lock()
	s.startSender() // for what is left
	s.p.mu.Unlock()
	err = s.p.try(s.batchIsWanted, s.send)
	s.batch = nil
	for _, r := range s.runs {
		s.settle(r, err)
	}
	clear(s.runs)
}

// send sends the batch, and waits for the service's answer, but not for ever, as the SDK does (go-amqp, sender.go, Send): an answer that is lost on its way would hold up all that
// goes to the same place.
func (s *sender) send() error {
	ctx, cancel := context.WithTimeout(s.p.sending, s.p.batchTimeout)
	defer cancel()
	err := s.p.client.SendEventDataBatch(ctx, s.batch, nil)
	if err != nil && ctx.Err() != nil && s.p.sending.Err() == nil {
		s.p.dialer.Drop() // the link may be at fault, or the connection
		return errNoAnswer
	}
	return err
}

// fill puts events of the chunk into the batch. It reports whether the batch is full.
func (s *sender) fill() (full bool) {
	for len(s.chunk) > 0 && !full {
		r := run{call: s.chunk[0].call}
		if err := r.call.begin(s.to); err != nil {
			s.pass(s.chunk[0], err)
			s.chunk = s.chunk[1:]
			continue
		}
		for len(s.chunk) > 0 && s.chunk[0].call == r.call && !full {
			it := s.chunk[0]
			err := s.batch.AddEventData(r.call.events[it.index].sdk(), nil)
			switch {
			case err == nil:
				r.indexes, r.cost = append(r.indexes, it.index), r.cost+it.cost
			case errors.Is(err, azeventhubs.ErrEventDataTooLarge) && s.batch.NumEvents() > 0:
				full = true
				continue
			default: // check has found the event good, so the link must take less than it did then
				s.pass(it, badEvent(it.index, err))
			}
			s.chunk = s.chunk[1:]
		}
		r.call.end()
		if len(r.indexes) > 0 {
			s.runs = append(s.runs, r)
		}
	}
	return full
}

// pass leaves an event out. A caller that has left has drawn its own conclusion.
func (s *sender) pass(it item, err error) {
	if errors.Is(err, errLeft) {
		s.p.budget.release(it.cost)
		return
	}
	s.settle(run{it.call, []int{it.index}, it.cost}, err)
}

func (s *sender) settle(r run, err error) {
	r.call.settle(s.to, r.indexes, err)
	s.p.budget.release(r.cost)
}

func (s *sender) chunkIsWanted() bool {
	for _, it := range s.chunk {
		if it.call.waits() {
			return true
		}
	}
	return false
}

func (s *sender) batchIsWanted() bool {
	for _, r := range s.runs {
		if r.call.waits() {
			return true
		}
	}
	return false
}
