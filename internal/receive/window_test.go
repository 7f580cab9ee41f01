package receive

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// model is what a window has to be like, written so that it is plainly right: it looks at all events for each answer.
type model struct {
	most   int
	events []*modelEvent
	by     time.Time // not zero: it drains
}

type modelEvent struct {
	key   string
	state state
	due   time.Time // of a failed one
	gone  bool      // it is not tried again
}

// prefix is how many events are completed, from the first on, without a gap.
func (m *model) prefix() (n int) {
	for n < len(m.events) && m.events[n].state == completed {
		n++
	}
	return n
}

// blocked reports whether an event has to wait for an earlier one of its key.
func (m *model) blocked(i int) bool {
	for _, e := range m.events[:i] {
		if e.key != "" && e.key == m.events[i].key && e.state != completed {
			return true
		}
	}
	return false
}

// closesAGap reports whether an event with a number, or a later one, is completed or running, and before all that are
// given up.
func (m *model) closesAGap(number int) (closes bool) {
	for i, e := range m.events {
		if e.gone {
			return closes
		}
		closes = closes || i >= number && (e.state == completed || e.state == running)
	}
	return closes
}

// wanted reports whether an event that isn't completed is begun at some time, if nothing else happens.
func (m *model) wanted(i int) bool {
	for _, e := range m.events[:i+1] {
		if e.gone {
			return false
		}
	}
	return m.by.IsZero() || m.closesAGap(i)
}

// next is the number of the event that has to be begun now; -1: none.
func (m *model) next(now time.Time) int {
	for i, e := range m.events {
		may := e.state == queued || e.state == failed && !e.due.After(now)
		if may && m.wanted(i) && !m.blocked(i) {
			return i
		}
	}
	return -1
}

func (m *model) numberOf(what func(i int, e *modelEvent) bool) (n int) {
	for i, e := range m.events {
		if what(i, e) {
			n++
		}
	}
	return n
}

// TestWindow does random things to a window and to the model.
func TestWindow(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 0))
		w, m := newWindow(1+r.IntN(20)), &model{}
		m.most = len(w.slots)
		now, keys, failing := time.Unix(0, 0), 1+r.IntN(12), r.IntN(3)
		for range 300 {
			now = now.Add(time.Duration(r.IntN(3)) * time.Second)
			act(r, w, m, now, keys, failing)
			compare(t, w, m, now, seed)
		}
	}
}

// act does something to both.
func act(r *rand.Rand, w *window, m *model, now time.Time, keys, failing int) {
	var at []*slot // running
	for n := w.oldest; n < w.next; n++ {
		if s := w.slot(n); s.state == running {
			at = append(at, s)
		}
	}
	what := r.IntN(12)
	switch {
	case what < 4 && w.room() > 0:
		key := ""
		if k := r.IntN(keys); k > 0 {
			key = string(rune('a' + k))
		}
		s := w.free(0)
		s.key, s.at = key, processed{sequence: w.next * 10}
		w.add()
		m.events = append(m.events, &modelEvent{key: key})
	case what == 4 && r.IntN(20) == 0 && m.by.IsZero():
		m.by = now.Add(10 * time.Second)
		w.drain(m.by)
		for _, e := range m.events {
			e.due = now
		}
	case what < 8:
		if s := w.take(now); s != nil {
			m.events[s.number].state = running
		}
	case len(at) == 0:
		w.resume(now)
	default:
		s := at[r.IntN(len(at))]
		fail(r, w, m, now, s, failing)
	}
	w.resume(now) // as the timer does
}

// fail lets the handler of an event return.
func fail(r *rand.Rand, w *window, m *model, now time.Time, s *slot, failing int) {
	e := m.events[s.number]
	switch {
	case r.IntN(4) >= failing:
		before := m.prefix()
		e.state = completed
		upTo, n := w.complete(s)
		if n != m.prefix()-before || n > 0 && upTo.sequence != int64(m.prefix()-1)*10 {
			panic("the prefix has not grown as it should")
		}
	case r.IntN(30) == 0:
		e.state, e.gone = failed, true
		w.abandon(s)
	default:
		e.state, e.due = failed, now.Add(time.Duration(r.IntN(15))*time.Second)
		e.gone = !m.by.IsZero() && e.due.After(m.by)
		w.retry(s, e.due)
	}
}

func compare(t *testing.T, w *window, m *model, now time.Time, seed uint64) {
	t.Helper()
	prefix := m.prefix()
	require.EqualValues(t, prefix, w.oldest, "seed %d", seed)
	require.Equal(t, m.most-(len(m.events)-prefix), w.room(), "seed %d", seed)
	is := func(what state) func(i int, e *modelEvent) bool {
		return func(i int, e *modelEvent) bool { return i >= prefix && e.state == what }
	}
	require.Equal(t, m.numberOf(is(completed)), w.ahead, "seed %d", seed)
	require.Equal(t, m.numberOf(is(running)), w.running, "seed %d", seed)
	next := m.next(now)
	require.Equal(t, next >= 0, w.more(), "seed %d: event %d comes next", seed, next)
	if next >= 0 {
		require.EqualValues(t, next, w.ready[0], "seed %d", seed)
	}
	wanted := m.numberOf(func(i int, e *modelEvent) bool {
		return e.state == running || e.state != completed && m.wanted(i) && !m.blocked(i)
	})
	require.Equal(t, wanted > 0, w.unfinished(), "seed %d", seed)
	require.Len(t, w.keys, m.openKeys(), "seed %d", seed)
}

func (m *model) openKeys() int {
	open := map[string]bool{}
	for _, e := range m.events {
		if e.key != "" && e.state != completed {
			open[e.key] = true
		}
	}
	return len(open)
}
