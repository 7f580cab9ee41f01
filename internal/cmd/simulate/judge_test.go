package simulate_test

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// place identifies a stored event.
type place struct {
	partition string
	sequence  int64
}

// holding is one uninterrupted period in which a consumer reads a partition. The handlers' contexts tell holdings
// apart.
type holding struct {
	who       string
	partition string
	which     context.Context
}

// unit is what a handler is called with.
type unit struct {
	holding
	first, last int64 // sequence numbers
	attempt     int
	keys        int64 // an event's key is its sequence number modulo this; 1: all events have the same key
}

// stream is a holding's events of one key, which have to come in order.
type stream struct {
	holding
	key int64
}

func (u unit) stream() stream { return stream{u.holding, u.first % u.keys} }

// one names the handlers of which only one may run at a time.
func (u unit) one() string { return fmt.Sprint(u.who, "/", u.partition, "/", u.first%u.keys) }

// judge records what happens, and reports what must not happen.
type judge struct {
	began time.Time

	judgeMu    sync.Mutex
	events     map[place][]moment
	partitions map[string][]moment // "" is for what happens to all
	handled    map[place]int
	prefix     map[string]int64 // by partition: how many events are completed, from the first one on
	next       map[stream]int64
	running    map[string]int64 // by consumer, partition and key: the event that is being handled
	checkpoint map[string]int64
	wrong      map[string][]string // by kind
	suspect    *place              // the first event that something went wrong with
	hungAt     time.Time           // when something first went wrong that concerns no event
}

func newJudge() *judge {
	return &judge{
		began: time.Now(), events: map[place][]moment{}, partitions: map[string][]moment{}, handled: map[place]int{},
		prefix: map[string]int64{}, next: map[stream]int64{}, running: map[string]int64{},
		checkpoint: map[string]int64{}, wrong: map[string][]string{},
	}
}

// The kinds of what must not happen.
const (
	lost       = "lost"
	outOfOrder = "out_of_order"
	back       = "back"
	hung       = "hung"
)

// accuse records something that must not happen. at is the event that it happened to, or nil. The caller holds judgeMu.
func (j *judge) accuse(kind string, at *place, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if at != nil {
		what = fmt.Sprintf("partition %s, event %d: %s", at.partition, at.sequence, what)
	}
	j.wrong[kind] = append(j.wrong[kind], fmt.Sprintf("%v: %s", time.Since(j.began), what))
	switch {
	case at == nil && j.hungAt.IsZero():
		j.hungAt = time.Now()
	case at != nil && j.suspect == nil:
		j.suspect = at
	}
}

// accuses is accuse for callers that don't hold judgeMu.
func (j *judge) accuses(kind string, at *place, format string, args ...any) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.accuse(kind, at, format, args...)
}

// within accuses a call that takes longer than bound: defer s.judge.within(bound, "…")().
func (j *judge) within(bound time.Duration, format string, args ...any) (returned func()) {
	began := time.Now()
	return func() {
		if took := time.Since(began); took > bound {
			j.accuses(hung, nil, "%s took %v", fmt.Sprintf(format, args...), took)
		}
	}
}

// notes records what happens to a partition, or to all of them if partition is "".
func (j *judge) notes(partition, format string, args ...any) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.partitions[partition] = append(j.partitions[partition], moment{time.Now(), fmt.Sprintf(format, args...)})
}

// note records what happens to the events of a unit. The caller holds judgeMu.
func (j *judge) note(u unit, format string, args ...any) {
	m := moment{time.Now(), fmt.Sprintf(format, args...)}
	for i := u.first; i <= u.last; i++ {
		at := place{u.partition, i}
		j.events[at] = append(j.events[at], m)
	}
}

// comes records that events were handed to a handler.
func (j *judge) comes(u unit) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.note(u, "came to %s, attempt %d", u.who, u.attempt)
	at := &place{u.partition, u.first}
	next, known := j.next[u.stream()]
	switch before := u.first - u.keys; {
	case known && u.first != next:
		j.accuse(outOfOrder, at, "it came to %s, instead of %d", u.who, next)
	case before >= 0 && j.handled[place{u.partition, before}] == 0:
		j.accuse(outOfOrder, at, "it came to %s before %d was completed", u.who, before)
	}
	j.next[u.stream()] = u.first
	one := u.one()
	if other, runs := j.running[one]; runs {
		j.accuse(outOfOrder, at, "it came to %s while the handler of %d ran", u.who, other)
	}
	j.running[one] = u.first
}

// returns records that a handler has returned.
func (j *judge) returns(u unit, completed bool) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	delete(j.running, u.one())
	if !completed {
		j.note(u, "failed at %s", u.who)
		return
	}
	j.note(u, "completed by %s", u.who)
	j.next[u.stream()] = u.last + u.keys
	for i := u.first; i <= u.last; i++ {
		j.handled[place{u.partition, i}]++
	}
	for j.handled[place{u.partition, j.prefix[u.partition]}] > 0 {
		j.prefix[u.partition]++
	}
}

// sees records a stored checkpoint.
func (j *judge) sees(partition string, sequence int64) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	at := &place{partition, sequence}
	if was, any := j.checkpoint[partition]; any && sequence < was {
		j.accuse(back, at, "the checkpoint moved back to here from %d", was)
	}
	if prefix := j.prefix[partition]; sequence >= prefix {
		j.accuse(lost, at, "the checkpoint is here, but %d is not completed", prefix)
	}
	j.checkpoint[partition] = sequence
}

// missing returns the events that were stored and not handled.
func (j *judge) missing(stored []place) (missing []place) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	for _, p := range stored {
		if j.handled[p] == 0 {
			missing = append(missing, p)
		}
	}
	return missing
}

// counts returns how often events were completed, how many of these were repetitions, and how often something of each
// kind went wrong.
func (j *judge) counts() (handled, repeated int, wrong map[string]int) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	wrong = map[string]int{}
	for kind, list := range j.wrong {
		wrong[kind] = len(list)
	}
	for _, n := range j.handled {
		handled += n
		repeated += n - 1
	}
	return handled, repeated, wrong
}
