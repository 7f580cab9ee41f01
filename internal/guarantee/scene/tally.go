package scene

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/go-eventhubs/eventhubs"
)

// Place identifies an event.
type Place struct {
	Partition string
	Sequence  int64
}

// Holding is one uninterrupted period in which a consumer has a partition. Its handlers share one context, which Which
// stands for.
type Holding struct {
	Who, Partition string
	Which          any
}

// stream is a holding's events of one key.
type stream struct {
	holding Holding
	key     int64
}

// Tally counts what handlers get, by event: what is lost, what is processed again, and what comes out of order. Its
// methods are safe for concurrent use.
type Tally struct {
	tallyMu    sync.Mutex
	handled    map[Place]int    // how often a handler has completed an event
	completed  int              // how often handlers have completed an event
	came       map[Place]int    // how often an event was handed to a handler
	keys       int64            // an event's key is its sequence number modulo this; 1: all have the same key
	next       map[stream]int64 // the event that has to come next
	known      map[Holding]bool // holdings that have got an event
	first      []Place          // the first event of each holding, in the order of their beginnings
	furthest   map[string]int64 // by partition: the last event that a handler has completed
	running    map[string]int   // handlers that run, by consumer, partition and key
	dead       map[string]bool  // consumers that are no longer counted
	skipped    map[Place]bool   // events that were left out on purpose
	outOfOrder []string
}

// NewTally returns a Tally that has seen nothing.
func NewTally() *Tally {
	t := &Tally{dead: map[string]bool{}, keys: 1}
	t.clear()
	return t
}

func (t *Tally) clear() {
	t.handled, t.came, t.next, t.first = map[Place]int{}, map[Place]int{}, map[stream]int64{}, nil
	t.known = map[Holding]bool{}
	t.furthest, t.running, t.skipped = map[string]int64{}, map[string]int{}, map[Place]bool{}
}

// StartOver forgets all events, because the event hub is replaced by a new one, whose sequence numbers start again.
// What came out of order is kept. No handler may be running.
func (t *Tally) StartOver() {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	t.clear()
}

// Key makes the tally expect order by key, with so many keys, for all consumers. It returns the function that gives an
// event's key.
func (t *Tally) Key(keys int64) func(*eventhubs.ReceivedEvent) string {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	t.keys = keys
	return func(e *eventhubs.ReceivedEvent) string { return fmt.Sprint(e.SequenceNumber % keys) }
}

// Handler wraps h, and counts what it gets and completes. who is the name of the consumer.
func (t *Tally) Handler(who string, h eventhubs.Handler) eventhubs.Handler {
	batch := t.BatchHandler(who, func(ctx context.Context, events []*eventhubs.ReceivedEvent) error {
		return h(ctx, events[0])
	})
	return func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		return batch(ctx, []*eventhubs.ReceivedEvent{e})
	}
}

// BatchHandler is Handler for batches.
func (t *Tally) BatchHandler(who string, h eventhubs.BatchHandler) eventhubs.BatchHandler {
	return func(ctx context.Context, events []*eventhubs.ReceivedEvent) (err error) {
		at, first := Holding{who, events[0].PartitionID, ctx}, events[0].SequenceNumber
		t.Comes(at, first, len(events))
		completed := false
		defer func() { t.Ends(at, first, len(events), completed) }() // after a panic too
		err = h(ctx, events)
		completed = err == nil
		return err
	}
}

// Comes notes that n events, from sequence on, were handed to a handler. Within a holding, events come one after
// another, and again while the handler fails. A holding starts at or before the event after the last completed one. No
// two handlers of a consumer have the same partition at once.
func (t *Tally) Comes(h Holding, sequence int64, n int) {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	if t.dead[h.Who] {
		return
	}
	wrong := func(format string, args ...any) {
		t.outOfOrder = append(t.outOfOrder, fmt.Sprintf("%s: partition %s: %d came ", h.Who, h.Partition, sequence)+
			fmt.Sprintf(format, args...))
	}
	for i := range n {
		t.came[Place{h.Partition, sequence + int64(i)}]++
	}
	if !t.known[h] {
		t.known[h] = true
		t.first = append(t.first, Place{h.Partition, sequence})
	}
	at := stream{h, sequence % t.keys}
	next, known := t.next[at]
	if !known {
		t.next[at] = sequence
	}
	if known && sequence != t.afterSkipped(h.Partition, next) {
		wrong("instead of %d", next)
	}
	furthest, some := t.furthest[h.Partition]
	if !known && some && t.keys == 1 && sequence > t.afterSkipped(h.Partition, furthest+1) {
		wrong("first, but events are completed up to %d only", furthest)
	}
	if before := sequence - t.keys; t.keys > 1 && before >= 0 && t.handled[Place{h.Partition, before}] == 0 {
		wrong("before %d was completed", before)
	}
	if t.running[at.String()]++; t.running[at.String()] > 1 {
		wrong("while a handler was running")
	}
}

func (s stream) String() string {
	return fmt.Sprint(s.holding.Who, "/", s.holding.Partition, "/", s.key)
}

// afterSkipped returns the first event, from sequence on, that was not left out on purpose.
func (t *Tally) afterSkipped(partition string, sequence int64) int64 {
	for t.skipped[Place{partition, sequence}] {
		sequence++
	}
	return sequence
}

// Ends notes that a handler has returned.
func (t *Tally) Ends(h Holding, sequence int64, n int, completed bool) {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	if t.dead[h.Who] {
		return
	}
	at := stream{h, sequence % t.keys}
	t.running[at.String()]--
	if !completed {
		return
	}
	for i := range n {
		t.handled[Place{h.Partition, sequence + int64(i)}]++
		t.completed++
	}
	t.next[at] = sequence + int64(n)*t.keys
	t.furthest[h.Partition] = max(t.furthest[h.Partition], sequence+int64(n)-1)
}

// Skip notes that an event is left out on purpose.
func (t *Tally) Skip(partition string, sequence int64) {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	t.skipped[Place{partition, sequence}] = true
}

// Kill makes the tally ignore what a consumer does from now on, as if its process had ended.
func (t *Tally) Kill(who string) {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	t.dead[who] = true
}

// Handled returns how many events handlers have completed, each counted once.
func (t *Tally) Handled() int {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	return len(t.handled)
}

// Completed returns how often handlers have completed an event, or left one out.
func (t *Tally) Completed() (n int) {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	return t.completed + len(t.skipped)
}

// Lost returns the events that no handler has completed.
func (t *Tally) Lost(sent []Place) (lost []Place) {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	for _, p := range sent {
		if t.handled[p] == 0 && !t.skipped[p] {
			lost = append(lost, p)
		}
	}
	return lost
}

// Times returns how often an event has come, and how often it was completed.
func (t *Tally) Times(partition string, sequence int64) (came, handled int) {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	p := Place{partition, sequence}
	return t.came[p], t.handled[p]
}

// HasCome reports whether an event was handed to a handler.
func (t *Tally) HasCome(partition string, sequence int64) bool {
	came, _ := t.Times(partition, sequence)
	return came > 0
}

// Furthest returns the last event of a partition that was completed, or -1 if none was.
func (t *Tally) Furthest(partition string) int64 {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	if last, some := t.furthest[partition]; some {
		return last
	}
	return -1
}

// Holdings returns the first event of each holding, in the order in which the holdings began.
func (t *Tally) Holdings() []Place {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	return slices.Clone(t.first)
}

// Begins returns the first event of each holding of a partition.
func (t *Tally) Begins(partition string) (sequences []int64) {
	for _, p := range t.Holdings() {
		if p.Partition == partition {
			sequences = append(sequences, p.Sequence)
		}
	}
	return sequences
}

// Repeated returns how many times events were completed again.
func (t *Tally) Repeated() (n int) {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	for _, times := range t.handled {
		n += max(times-1, 0)
	}
	return n
}

// OutOfOrder describes what came out of order.
func (t *Tally) OutOfOrder() []string {
	t.tallyMu.Lock()
	defer t.tallyMu.Unlock()
	return slices.Clone(t.outOfOrder)
}
