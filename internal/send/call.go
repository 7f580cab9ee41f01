package send

import (
	"context"
	"sync"
)

// chunk is how much of the room a call asks for at once.
const chunk = 128 << 10

// Send sends events, and returns nil once the service has accepted every one of them.
//
// Before anything is sent it fails with a TooLargeError, or with the reason why the link to a partition cannot be
// opened for the first time. A later failure is an Error. When ctx ends, Send returns, and events that are not yet in a
// batch of the SDK are not sent.
func (e *Engine) Send(ctx context.Context, events Events) error {
	if events.Len() == 0 {
		return nil
	}
	if err := e.check(ctx, events); err != nil {
		return err
	}
	if events.Len() == 1 {
		return e.sendOne(ctx, events)
	}
	c := &call{engine: e, events: events}
	err := c.enqueue(ctx)
	return c.wait(ctx, err)
}

// sendOne is Send for one event.
func (e *Engine) sendOne(ctx context.Context, events Events) error {
	p, err := e.put(ctx, events.To(0), span{events: events, to: 1}, events.Cost(0))
	if err != nil {
		return &Error{Unacknowledged: []int{0}, Err: err}
	}
	if open := e.await(ctx, p); open != "" {
		err = p.batch.queue.link.abandoned(ctx, open)
	} else {
		err = p.outcome(0)
	}
	if err != nil {
		return &Error{Unacknowledged: []int{0}, Err: err}
	}
	return nil
}

// await waits until a batch is done. If ctx ends first, it says what is unknown.
func (e *Engine) await(ctx context.Context, p place) (open string) {
	select {
	case <-p.batch.done:
		return ""
	case <-ctx.Done():
	}
	switch {
	case e.withdraw(p):
		return withdrawnEvents
	case isDone(p.batch.done): // at the same moment
		return ""
	}
	return unknownEvents
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// What is unknown when the context of a call has ended.
const (
	withdrawnEvents = "what is listed was not sent"
	unknownEvents   = "whether what is listed was stored is unknown"
)

// outcome is why an event was not acknowledged, or nil. Its batch must be done.
func (p place) outcome(event int) error {
	for _, f := range p.batch.failures {
		if f.span == p.span && f.from <= event && event < f.to {
			return f.err
		}
	}
	return p.batch.err
}

// call is a call of Send with several events.
type call struct {
	engine *Engine
	events Events
	parts  []part
	seen   int // of parts: those that were done when they were last looked at
	failed bool

	// failuresMu guards the failures of events for ordered destinations, which later events must not overtake.
	failuresMu sync.Mutex
	failures   map[Destination]error
}

// part is a run of events of a call that are in one batch.
type part struct {
	at        place
	from, to  int
	abandoned bool // the call ended before the batch was done
}

// fail notes that an event for a destination has failed. c is nil for a call with one event.
func (c *call) fail(to Destination, err error) {
	if c == nil || !to.ordered() {
		return
	}
	c.failuresMu.Lock()
	defer c.failuresMu.Unlock()
	if c.failures == nil {
		c.failures = map[Destination]error{}
	}
	c.failures[to] = err
}

// broken returns why an earlier event for an ordered destination has failed, or nil.
func (c *call) broken(to Destination) error {
	if c == nil {
		return nil
	}
	c.failuresMu.Lock()
	defer c.failuresMu.Unlock()
	return c.failures[to]
}

// enqueue puts the events into their queues, and waits while there is no room. After a failure the rest is not sent.
func (c *call) enqueue(ctx context.Context) error {
	for i, n := 0, c.events.Len(); i < n && !c.noteFailure(); {
		from, to, cost := i, c.events.To(i), 0
		for ; i < n && c.events.To(i) == to; i++ {
			more := c.events.Cost(i)
			if cost > 0 && cost+more > chunk {
				break
			}
			cost += more
		}
		p, err := c.engine.put(ctx, to, span{events: c.events, call: c, from: from, to: i}, cost)
		if err != nil {
			return err
		}
		c.parts = append(c.parts, part{at: p, from: from, to: i})
	}
	return nil
}

// noteFailure looks at the batches that are done, and reports whether an event of them has failed.
func (c *call) noteFailure() bool {
	for ; !c.failed && c.seen < len(c.parts) && isDone(c.parts[c.seen].at.batch.done); c.seen++ {
		b := c.parts[c.seen].at.batch
		c.failed = b.err != nil || len(b.failures) > 0 && c.reason(c.parts[c.seen]) != nil
	}
	return c.failed
}

// reason is why an event of a part whose batch is done was not acknowledged, or nil.
func (c *call) reason(p part) error {
	for i := p.from; i < p.to; i++ {
		if err := p.at.outcome(i); err != nil {
			return err
		}
	}
	return nil
}

// wait waits for all outcomes, or until ctx ends, and sums them up. enqueued is why some events are in no queue.
func (c *call) wait(ctx context.Context, enqueued error) error {
	open := withdrawnEvents
	for i := range c.parts {
		p := &c.parts[i]
		unfinished := c.engine.await(ctx, p.at)
		p.abandoned = unfinished != ""
		if unfinished == unknownEvents {
			open = unfinished
		}
	}
	failed := &Error{}
	next := 0
	for i := range c.parts {
		p := &c.parts[i]
		next = p.to
		if p.abandoned {
			failed.add(p.from, p.to, p.at.batch.queue.link.abandoned(ctx, open))
			continue
		}
		if p.at.batch.err == nil && len(p.at.batch.failures) == 0 {
			continue
		}
		for j := p.from; j < p.to; j++ {
			failed.add(j, j+1, p.at.outcome(j))
		}
	}
	failed.add(next, c.events.Len(), enqueued)
	if failed.Err == nil {
		return nil
	}
	failed.add(next, c.events.Len(), failed.Err)
	return failed
}
