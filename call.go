package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// call is one call of Send: its events, and what has become of them.
type call struct {
	p      *Producer
	events []Event
	done   chan struct{} // closed when every event has its outcome

	filling sync.RWMutex // held while a sender reads events: a caller that leaves gets them back
	left    bool         // the caller has left

	mu     sync.Mutex
	open   int                   // events without an outcome
	known  []bool                // which events have one
	unsent []int                 // those that failed
	first  int                   // the first of them
	err    error                 // why it failed
	broken map[destination]error // where an event has failed: those behind it must not overtake it
}

var (
	errLeft           = errors.New("the caller has left")
	errProducerClosed = errors.New("the producer is closed")
)

func newCall(p *Producer, events []Event) *call {
	return &call{p: p, events: events, done: make(chan struct{}), open: len(events), known: make([]bool, len(events))}
}

// begin lets a sender read events for a destination, until end. The error says why they are not to be sent.
func (c *call) begin(to destination) error {
	c.mu.Lock()
	err := c.broken[to]
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.filling.RLock()
	if c.left {
		c.filling.RUnlock()
		return errLeft
	}
	return nil
}

func (c *call) end() { c.filling.RUnlock() }

// waits reports whether the caller still waits for an outcome.
func (c *call) waits() bool {
	c.filling.RLock()
	defer c.filling.RUnlock()
	return !c.left
}

// settle notes the outcome of events for one destination.
func (c *call) settle(to destination, indexes []int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range indexes {
		c.known[i] = true
	}
	if err != nil {
		c.fail(to, indexes, err)
	}
	if c.open -= len(indexes); c.open == 0 {
		close(c.done)
	}
}

func (c *call) fail(to destination, indexes []int, err error) {
	if first := slices.Min(indexes); c.err == nil || first < c.first {
		c.first, c.err = first, err
	}
	c.unsent = append(c.unsent, indexes...)
	if to.ordered() {
		if c.broken == nil {
			c.broken = map[destination]error{}
		}
		c.broken[to] = err
	}
}

// enqueue puts the events into their outboxes, and waits where there is no room. When one has failed, the rest is not sent.
func (c *call) enqueue(ctx context.Context) {
	for i := 0; i < len(c.events); {
		to := c.events[i].destination()
		items := make([]item, 0, min(chunk, len(c.events)-i))
		cost := 0
		for ; i < len(c.events) && len(items) < chunk && c.events[i].destination() == to; i++ {
			it := item{c, i, c.events[i].cost()}
			items, cost = append(items, it), cost+it.cost
		}
		err := c.failure()
		if err == nil {
			err = c.p.budget.acquire(ctx, cost)
		}
		if err == nil {
			if err = c.p.put(to, items); err != nil {
				c.p.budget.release(cost)
			}
		}
		if err != nil {
			c.giveUp(items[0].index, err)
			return
		}
	}
}

// failure returns why an event has failed, or nil.
func (c *call) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// giveUp ends the events from one on, none of which are in an outbox.
func (c *call) giveUp(from int, err error) {
	var indexes []int
	for i := from; i < len(c.events); i++ {
		indexes = append(indexes, i)
	}
	c.settle(destination{}, indexes, err)
}

// wait waits for all outcomes. When ctx ends first, the caller leaves: what is in no batch yet is not sent any more.
func (c *call) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.outcome()
	case <-ctx.Done():
	}
	c.filling.Lock()
	c.left = true
	c.filling.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	var unknown []int
	for i, known := range c.known {
		if !known {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) > 0 {
		c.fail(destination{}, unknown, fmt.Errorf("eventhubs: send %s: gave up waiting; whether the events were stored is unknown: %w", c.p.cfg.EventHub, context.Cause(ctx)))
		c.unsent = slices.Clone(c.unsent) // senders may still add to it
	}
	return c.outcome()
}

func (c *call) outcome() error {
	if c.err == nil {
		return nil
	}
	slices.Sort(c.unsent)
	return &SendError{Unsent: c.unsent, Err: c.err}
}
