package send

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// together is how many batches without a destination may be in flight at once, and fullTogether how many while a full
	// one waits, to which nothing can be added, and the link is quick. Those with a key or for a partition go one by one,
	// in order.
	together     = 4
	fullTogether = 16
	// quickness is how much of AnswerTimeout an answer of a quick link takes at most: were fullTogether batches on a slow
	// one, the last of them would not be answered in time.
	quickness = 30
	// freshness is how much of RetryFor may have passed for a batch that waits while its link fails. Later events get
	// another batch, with its own time until it is given up.
	freshness = 8
)

// queue holds the waiting batches for one destination. An ordered queue exists only while it has batches or batchers,
// so that keys leave nothing behind. The Engine's queuesMu guards it.
type queue struct {
	link     *link
	to       Destination
	waiting  []*batch // the last one takes more events
	batchers int
}

// batch is a run of events for one destination, and their outcome. They fit into one batch of the SDK, unless the
// link's limit has become smaller: then they take several.
type batch struct {
	queue   *queue
	began   time.Time // when it got its first event
	cost    int
	present atomic.Int32 // spans whose callers still wait
	// While the batch is in a queue, queuesMu guards spans; sealed is set when it leaves the queue.
	spans  []span
	sealed bool

	// readingMu is held while a batcher reads events, which takes as long as encoding them. A caller that leaves takes it
	// to withdraw its events.
	readingMu sync.Mutex
	read      int // spans that were read, or left out

	// done is closed when the outcome is known; the following fields do not change after that. If an event is in several
	// failures, the first counts, and err last.
	done     chan struct{}
	failures []failure // of some events
	err      error     // of all events
}

// span is a run of events of one call.
type span struct {
	events   Events
	call     *call // nil: the call has one event only
	from, to int
	held     int // of the room
	gone     bool
}

// failure is why some events of a span were not acknowledged.
type failure struct {
	span     int
	from, to int
	err      error
}

// place is where a call has put events: a batch and the index of their span.
type place struct {
	batch *batch
	span  int
}

// put adds events for one destination to its queue, and waits until there is room for them.
func (e *Engine) put(ctx context.Context, to Destination, sp span, cost int) (place, error) {
	e.queuesMu.Lock()
	defer e.queuesMu.Unlock()
	l := e.link(to.Partition)
	if sp.held = cost; !e.room.take(&l.share, cost) {
		var err error
		if sp.held, err = e.awaitRoom(ctx, l, cost); err != nil {
			return place{}, err
		}
	}
	return e.queue(to, l).add(sp, cost), nil
}

// awaitRoom waits for room. The caller holds queuesMu, which is released meanwhile.
func (e *Engine) awaitRoom(ctx context.Context, l *link, cost int) (held int, err error) {
	w := e.room.await(&l.share, cost)
	e.queuesMu.Unlock()
	select {
	case <-w.granted:
	case <-ctx.Done():
		err = l.abandoned(ctx, fmt.Sprintf("there was no room: %d bytes are on their way", e.options.Room))
	}
	e.queuesMu.Lock()
	if err != nil {
		e.room.leave(&l.share, w)
		return 0, err
	}
	return w.want, nil
}

// queue returns the queue of a destination.
func (e *Engine) queue(to Destination, l *link) *queue {
	if !to.ordered() {
		return e.anywhere
	}
	q := e.queues[to]
	if q == nil {
		q = &queue{link: l, to: to}
		e.queues[to] = q
	}
	return q
}

// add puts a span into the last batch, or into a new one.
func (q *queue) add(sp span, cost int) place {
	var b *batch
	if n := len(q.waiting); n > 0 {
		b = q.waiting[n-1]
	}
	if b == nil || b.cost+cost > int(q.link.batchSize.Load()) || q.link.isFailing() && q.isOld(b) {
		b = &batch{queue: q, began: time.Now(), spans: q.link.engine.newSpans(), done: make(chan struct{})}
		q.waiting = append(q.waiting, b)
	}
	b.spans = append(b.spans, sp)
	b.cost += cost
	b.present.Add(1)
	q.startBatcher()
	return place{b, len(b.spans) - 1}
}

func (q *queue) isOld(b *batch) bool {
	return time.Since(b.began) > q.link.engine.options.RetryFor/freshness
}

// most is how many batchers the queue may have now.
func (q *queue) most() int {
	switch {
	case q.to.ordered():
		return 1
	case q.isFull() && q.link.quick.Load():
		return fullTogether
	}
	return together
}

// isFull reports whether little or nothing can be added to the batch that comes next.
func (q *queue) isFull() bool {
	return len(q.waiting) > 1 || len(q.waiting) == 1 && q.waiting[0].cost > int(q.link.batchSize.Load())/2
}

// startBatcher starts a batcher if there is a batch to send and most allows it.
func (q *queue) startBatcher() {
	if len(q.waiting) == 0 || q.batchers >= q.most() {
		return
	}
	q.batchers++
	q.link.engine.batchers++
	go q.link.engine.work(q)
}

// next takes the next batch from a queue, or ends the batcher if there is none, or others are enough.
func (e *Engine) next(q *queue) *batch {
	e.queuesMu.Lock()
	defer e.queuesMu.Unlock()
	if len(q.waiting) > 0 && q.batchers <= q.most() {
		b := q.waiting[0]
		q.waiting[0] = nil
		if q.waiting = q.waiting[1:]; len(q.waiting) == 0 {
			q.waiting = nil // or the slice would grow on, past what was taken
		}
		b.sealed = true
		return b
	}
	if q.batchers--; q.batchers == 0 {
		delete(e.queues, q.to) // anywhere is not in it
	}
	e.batchers--
	e.signalIdle()
	return nil
}

// settle notes the outcome of a batch, and wakes those who wait for it.
func (e *Engine) settle(b *batch) {
	b.readingMu.Lock()
	spans := b.spans
	b.spans, b.read = nil, len(spans)
	held := 0
	for i := range spans {
		held += spans[i].held
	}
	b.readingMu.Unlock()
	e.release(b.queue.link, held)
	close(b.done)
	e.keepSpans(spans)
}

func (e *Engine) release(l *link, held int) {
	e.queuesMu.Lock()
	defer e.queuesMu.Unlock()
	e.room.release(&l.share, held)
}

// withdraw takes back the events of a caller that leaves. It reports whether it could: they may have been read already.
func (e *Engine) withdraw(p place) bool {
	b := p.batch
	b.present.Add(-1)
	e.queuesMu.Lock()
	if !b.sealed {
		defer e.queuesMu.Unlock()
		e.room.release(&b.queue.link.share, b.spans[p.span].withdraw())
		return true
	}
	e.queuesMu.Unlock()
	b.readingMu.Lock()
	if p.span < b.read {
		if p.span < len(b.spans) {
			b.spans[p.span].gone = true // not to be read again
		}
		b.readingMu.Unlock()
		return false
	}
	held := b.spans[p.span].withdraw()
	b.readingMu.Unlock()
	e.release(b.queue.link, held)
	return true
}

// withdraw empties a span, and returns what it held of the room.
func (sp *span) withdraw() (held int) {
	held = sp.held
	*sp = span{gone: true}
	return held
}

// newSpans returns memory for the spans of a batch, of one that was settled if there is any.
func (e *Engine) newSpans() []span {
	if spare, ok := e.spans.Get().(*[]span); ok {
		return (*spare)[:0]
	}
	return nil
}

func (e *Engine) keepSpans(spans []span) {
	clear(spans)
	e.spans.Put(&spans)
}
