package receive

import (
	"math"
	"slices"
	"time"
)

// window holds the events of a partition that were read, from the oldest one that is not completed on, while several
// handlers run. It gives out the oldest event that may be handled: one whose key has no earlier event that is not
// completed. Its caller guards it by a lock, and runs the handlers.
type window struct {
	slots   []*slot // a ring, by number; each is made when it is first needed
	oldest  int64   // the number of the oldest event that is not completed, or next
	next    int64   // the number of the event that comes next; numbers count up from 0
	ahead   int     // events that are completed, and come after the oldest
	running int
	limit   int64            // events from this number on are not begun
	drainBy time.Time        // not zero: events are begun only to close gaps, until then
	keys    map[string]*slot // by key, its newest event that is not completed
	ready   numbers          // of events that may be begun
	waiting []*slot          // events whose handlers have failed
	held    attempt          // of the reader to add an event to a full window; since is zero if it does not wait
}

// slot is the place of an event.
type slot struct {
	number  int64
	at      processed
	handler Handler // has the event, and no other
	key     string  // "": the event waits for no other
	state   state
	later   *slot     // the next event of the key that is not completed
	attempt attempt   // the last one
	due     time.Time // when it may be tried again
}

// state is what becomes of an event.
type state int

const (
	queued state = iota // it may be begun, or an earlier event of its key is not completed
	running
	failed // and waits to be tried again, or is not tried again
	completed
)

func newWindow(most int) *window {
	return &window{slots: make([]*slot, most), limit: math.MaxInt64, keys: map[string]*slot{}}
}

func (w *window) slot(number int64) *slot { return w.slots[number%int64(len(w.slots))] }

// room is how many events can be added.
func (w *window) room() int { return len(w.slots) - int(w.next-w.oldest) }

// free returns the place of the i-th event to be added. Nothing but add looks at it until then.
func (w *window) free(i int) *slot {
	at := &w.slots[(w.next+int64(i))%int64(len(w.slots))]
	if *at == nil {
		*at = &slot{}
	}
	return *at
}

// add adds the event that is in the first free place.
func (w *window) add() {
	s := w.free(0)
	s.number, s.state, s.later, s.attempt = w.next, queued, nil, attempt{}
	w.next++
	if s.key == "" {
		w.ready.push(s.number)
		return
	}
	if newest := w.keys[s.key]; newest != nil {
		newest.later = s
	} else {
		w.ready.push(s.number)
	}
	w.keys[s.key] = s
}

// take returns the oldest event that may be begun, or nil. It is running then.
func (w *window) take(now time.Time) *slot {
	if !w.more() {
		return nil
	}
	s := w.slot(w.ready.pop())
	s.state = running
	s.attempt = attempt{number: s.attempt.number + 1, sequence: s.at.sequence, since: now}
	w.running++
	return s
}

// more reports whether take has an event.
func (w *window) more() bool { return len(w.ready) > 0 && w.ready[0] < w.limit }

// complete notes that a running event is completed. It returns how many events have joined the completed prefix, and
// the last of them.
func (w *window) complete(s *slot) (at processed, n int) {
	w.running--
	s.state = completed
	switch {
	case s.key == "":
	case s.later != nil:
		w.ready.push(s.later.number)
	default:
		delete(w.keys, s.key)
	}
	w.ahead++
	for ; w.oldest < w.next && w.slot(w.oldest).state == completed; w.oldest++ {
		at = w.slot(w.oldest).at
		n++
	}
	w.ahead -= n
	return at, n
}

// retry notes that a running event has failed, and when it may be tried again. While the window drains, that may be too
// late.
func (w *window) retry(s *slot, due time.Time) {
	if !w.drainBy.IsZero() && due.After(w.drainBy) {
		w.abandon(s)
		return
	}
	w.running--
	s.state, s.due = failed, due
	w.waiting = append(w.waiting, s)
	w.drained()
}

// abandon notes that a running event has failed and is not tried again. The prefix ends before it, so no later event is
// begun either.
func (w *window) abandon(s *slot) {
	w.running--
	s.state = failed
	w.limit = min(w.limit, s.number)
	w.drained()
}

// drain begins no event any more but those with a later one that is completed or running. What has failed is tried
// again at once, and after that if it can be by a time.
func (w *window) drain(by time.Time) {
	w.drainBy = by
	for _, s := range w.waiting {
		w.ready.push(s.number)
	}
	w.waiting = nil
	w.drained()
}

// drained lowers the limit of a window that drains to the last event that is completed or running.
func (w *window) drained() {
	if w.drainBy.IsZero() {
		return
	}
	n := min(w.limit, w.next)
	for ; n > w.oldest; n-- {
		if s := w.slot(n - 1); s.state == completed || s.state == running {
			break
		}
	}
	w.limit = n
}

// unfinished reports whether an event is running, or will be begun.
func (w *window) unfinished() bool {
	return w.running > 0 || w.more() ||
		slices.ContainsFunc(w.waiting, func(s *slot) bool { return s.number < w.limit })
}

// resume makes those events ready that may be tried again by now, and returns when the next one may. Zero: there is
// none.
func (w *window) resume(now time.Time) (next time.Time) {
	w.waiting = slices.DeleteFunc(w.waiting, func(s *slot) bool {
		if !s.due.After(now) {
			w.ready.push(s.number)
			return true
		}
		if next.IsZero() || s.due.Before(next) {
			next = s.due
		}
		return false
	})
	return next
}

// hold notes that an event can't be added, since when, and because of which event.
func (w *window) hold(now time.Time) {
	if s := w.slot(w.oldest); w.held.since.IsZero() || w.held.sequence != s.at.sequence {
		w.held = attempt{sequence: s.at.sequence, since: now}
	}
}

// first returns the attempt of the oldest event, or nil if there is no event.
func (w *window) first() *attempt {
	if w.oldest == w.next {
		return nil
	}
	return &w.slot(w.oldest).attempt
}

// numbers is a heap: the lowest number is the first.
type numbers []int64

func (h *numbers) push(n int64) {
	list := append(*h, n)
	i := len(list) - 1
	for ; i > 0 && n < list[(i-1)/2]; i = (i - 1) / 2 {
		list[i] = list[(i-1)/2]
	}
	list[i] = n
	*h = list
}

func (h *numbers) pop() int64 {
	list := *h
	lowest, n := list[0], list[len(list)-1]
	list = list[:len(list)-1]
	*h = list
	i := 0
	for child := 1; child < len(list); child = 2*i + 1 {
		if child+1 < len(list) && list[child+1] < list[child] {
			child++
		}
		if n <= list[child] {
			break
		}
		list[i] = list[child]
		i = child
	}
	if len(list) > 0 {
		list[i] = n
	}
	return lowest
}
