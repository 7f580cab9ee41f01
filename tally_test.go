package eventhubs_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// place is where an event is.
type place struct {
	partition string
	sequence  int64
}

// holding is one uninterrupted time in which a consumer has a partition. Its handlers share one context; which one stands for it.
type holding struct {
	who, partition string
	which          any
}

// tally counts what handlers get, by event: what is lost, what is processed again, and what comes out of order.
type tally struct {
	sent func() []place // what has to be handled in the end

	mu         sync.Mutex
	handled    map[place]int     // how often a handler has completed an event
	came       map[place]int     // how often an event was handed to a handler
	next       map[holding]int64 // the event that has to come next
	first      []place           // the first event of each holding, in the order of their beginnings
	furthest   map[string]int64  // by partition: the last event that a handler has completed
	running    map[string]int    // handlers that run, by consumer and partition
	outOfOrder []string
}

func newTally(sent func() []place) *tally {
	return &tally{
		sent: sent, handled: map[place]int{}, came: map[place]int{}, next: map[holding]int64{}, furthest: map[string]int64{}, running: map[string]int{},
	}
}

// comes notes that n events, from one on, were handed to a handler. Within a holding they come one after the other, and again while the handler fails; a holding
// begins no further than behind what was completed before; and no two handlers of a consumer have the same partition at once.
func (c *tally) comes(h holding, sequence int64, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wrong := func(format string, args ...any) {
		c.outOfOrder = append(c.outOfOrder, fmt.Sprintf("%s: partition %s: %d came ", h.who, h.partition, sequence)+fmt.Sprintf(format, args...))
	}
	for i := range n {
		c.came[place{h.partition, sequence + int64(i)}]++
	}
	next, known := c.next[h]
	if !known {
		c.next[h] = sequence
		c.first = append(c.first, place{h.partition, sequence})
	}
	if known && sequence != next {
		wrong("where %d should", next)
	}
	if furthest, any := c.furthest[h.partition]; !known && any && sequence > furthest+1 {
		wrong("first, and nobody had come further than %d", furthest)
	}
	if c.running[h.who+"/"+h.partition]++; c.running[h.who+"/"+h.partition] > 1 {
		wrong("while a handler was running")
	}
}

// ends notes that the handler has returned.
func (c *tally) ends(h holding, sequence int64, n int, completed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[h.who+"/"+h.partition]--
	if !completed {
		return
	}
	for i := range n {
		c.handled[place{h.partition, sequence + int64(i)}]++
	}
	c.next[h] = sequence + int64(n)
	c.furthest[h.partition] = max(c.furthest[h.partition], sequence+int64(n)-1)
}

// handler counts what a handler gets and completes. who is the name of the consumer.
func (c *tally) handler(who string, h eventhubs.Handler) eventhubs.Handler {
	batch := c.batchHandler(who, func(ctx context.Context, events []*eventhubs.ReceivedEvent) error { return h(ctx, events[0]) })
	return func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		return batch(ctx, []*eventhubs.ReceivedEvent{e})
	}
}

func (c *tally) batchHandler(who string, h eventhubs.BatchHandler) eventhubs.BatchHandler {
	return func(ctx context.Context, events []*eventhubs.ReceivedEvent) (err error) {
		at, first := holding{who, events[0].PartitionID, ctx}, events[0].SequenceNumber
		c.comes(at, first, len(events))
		completed := false
		defer func() { c.ends(at, first, len(events), completed) }() // after a panic too
		err = h(ctx, events)
		completed = err == nil
		return err
	}
}

// all reports whether each event that was sent is handled.
func (c *tally) all() bool { return len(c.lost()) == 0 }

func (c *tally) lost() (lost []place) {
	sent := c.sent()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range sent {
		if c.handled[p] == 0 {
			lost = append(lost, p)
		}
	}
	return lost
}

// times returns how often an event has come, and how often it was completed.
func (c *tally) times(partition string, sequence int64) (came, handled int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := place{partition, sequence}
	return c.came[p], c.handled[p]
}

func (c *tally) hasCome(partition string, sequence int64) bool {
	came, _ := c.times(partition, sequence)
	return came > 0
}

// holdings returns how many times a partition was taken and an event came.
func (c *tally) holdings() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.first)
}

// begins returns the first event of each holding of a partition.
func (c *tally) begins(partition string) (sequences []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.first {
		if p.partition == partition {
			sequences = append(sequences, p.sequence)
		}
	}
	return sequences
}

// require fails the test unless exactly so many events were never completed, at most so many completed again, and exactly so many came out of order.
func (c *tally) require(t *testing.T, lost, repeatedAtMost, outOfOrder int) {
	t.Helper()
	missing := c.lost()
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Len(t, missing, lost, "lost: %v", missing)
	require.LessOrEqual(t, c.repeatedLocked(), repeatedAtMost, "repeated; holdings began at %v", c.first)
	require.Len(t, c.outOfOrder, outOfOrder, "out of order")
}

// repeated returns how many times an event was completed again.
func (c *tally) repeated() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.repeatedLocked()
}

func (c *tally) repeatedLocked() (n int) {
	for _, times := range c.handled {
		n += max(times-1, 0)
	}
	return n
}
