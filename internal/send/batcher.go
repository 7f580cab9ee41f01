package send

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

func (d Destination) options() *azeventhubs.EventDataBatchOptions {
	o := &azeventhubs.EventDataBatchOptions{}
	if d.Key != "" {
		o.PartitionKey = &d.Key
	}
	if d.Partition != "" {
		o.PartitionID = &d.Partition
	}
	return o
}

// work is a batcher: it sends the batches of a queue until none is left.
func (e *Engine) work(q *queue) {
	for b := e.next(q); b != nil; b = e.next(q) {
		(&batcher{engine: e, batch: b}).deliver()
		runtime.Gosched() // callers that waited for this batch may have events for the next
	}
}

// batcher sends one batch, in parts if it is too large for the link.
type batcher struct {
	engine *Engine
	batch  *batch
	part   *azeventhubs.EventDataBatch // what is on its way; nil: the next part has to be filled
	data   azeventhubs.EventData       // memory for the event that is being added
	begin  position                    // of the part
	end    position                    // of the part, and the beginning of the next one
}

// position is a place in a batch: a span, and the event of it that comes next, by its index in the call. 0 means that
// the span was not begun.
type position struct{ span, event int }

// deliver sends the batch and settles it.
func (s *batcher) deliver() {
	b := s.batch
	wanted := func() bool { return b.present.Load() > 0 }
	for s.end.span < len(b.spans) {
		s.part, s.begin = nil, s.end
		if err := b.queue.link.try(s.engine.ctx, b.began, wanted, s.send); err != nil {
			s.fail(err)
		}
	}
	s.engine.settle(b)
}

// send fills a part, unless it is filled, and sends it. A part that was filled for a higher limit is filled again.
func (s *batcher) send() error {
	l := s.batch.queue.link
	use := func(ctx context.Context, client *azeventhubs.ProducerClient) error {
		if s.part != nil && s.part.NumBytes() > uint64(l.limit.Load()) {
			s.part, s.end = nil, s.begin
		}
		if s.part == nil {
			part, err := client.NewEventDataBatch(ctx, s.batch.queue.to.options())
			if err != nil {
				return err
			}
			s.fill(part)
			s.part = part
		}
		if s.part.NumEvents() == 0 {
			return nil // its callers have left, or learn why their events cannot be sent
		}
		began := time.Now()
		err := client.SendEventDataBatch(ctx, s.part, nil)
		l.quick.Store(err == nil && time.Since(began) <= s.engine.options.AnswerTimeout/quickness)
		return err
	}
	return l.shared.Do(s.engine.ctx, use)
}

// fill reads events into a part, until it is full or there are no more.
func (s *batcher) fill(part *azeventhubs.EventDataBatch) {
	b := s.batch
	b.readingMu.Lock()
	defer b.readingMu.Unlock()
	for full := false; s.end.span < len(b.spans) && !full; {
		sp := &b.spans[s.end.span]
		b.read = max(b.read, s.end.span+1)
		from := max(sp.from, s.end.event)
		switch err := sp.call.broken(b.queue.to); {
		case sp.gone:
		case err != nil:
			b.failures = append(b.failures, failure{s.end.span, from, sp.to, err})
		default:
			s.end.event, full = s.read(part, sp, from)
		}
		if !full {
			s.end = position{span: s.end.span + 1}
		}
	}
}

// read reads the events of a span. It returns the one that comes next if the part is full.
func (s *batcher) read(part *azeventhubs.EventDataBatch, sp *span, from int) (next int, full bool) {
	for i := from; i < sp.to; i++ {
		err := s.add(part, sp.events, i)
		switch {
		case err == nil:
			continue
		case errors.Is(err, azeventhubs.ErrEventDataTooLarge) && part.NumEvents() > 0:
			return i, true
		case errors.Is(err, azeventhubs.ErrEventDataTooLarge): // the link takes less than it did when it was checked
			err = s.batch.queue.link.tooLarge(sp.events, i)
		default:
			err = &EncodeError{Index: i, Err: err}
		}
		to := i + 1
		if s.batch.queue.to.ordered() {
			to = sp.to // nothing overtakes it
		}
		s.batch.failures = append(s.batch.failures, failure{s.end.span, i, to, err})
		sp.call.fail(s.batch.queue.to, err)
		i = to - 1
	}
	return 0, false
}

// add adds an event to a batch of the SDK, which encodes it.
func (s *batcher) add(part *azeventhubs.EventDataBatch, events Events, i int) error {
	if raw := events.Raw(i); raw != nil {
		return part.AddAMQPAnnotatedMessage(raw, nil)
	}
	events.Data(i, &s.data)
	return part.AddEventData(&s.data, nil)
}

// fail notes that a part was not acknowledged, or, if it could not be filled, that the rest was not.
func (s *batcher) fail(err error) {
	b := s.batch
	b.readingMu.Lock()
	defer b.readingMu.Unlock()
	if s.part == nil {
		s.end = position{span: len(b.spans)}
		b.read = len(b.spans)
	}
	whole := s.begin == position{} && s.end.span == len(b.spans)
	if whole {
		b.err = err
	}
	for i := s.begin.span; i <= s.end.span && i < len(b.spans); i++ {
		sp, from, to := &b.spans[i], b.spans[i].from, b.spans[i].to
		if i == s.begin.span {
			from = max(from, s.begin.event)
		}
		if i == s.end.span {
			to = s.end.event
		}
		if from >= to {
			continue
		}
		if !whole {
			b.failures = append(b.failures, failure{i, from, to, err})
		}
		sp.call.fail(b.queue.to, err)
	}
}
