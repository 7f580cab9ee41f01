package receive

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/balance"
)

// PartitionState says how a partition that is held is doing.
type PartitionState struct {
	ID                     string
	Since                  time.Time // when it was taken
	Handled                Mark      // the last event that was processed since then
	Checkpoint             Mark      // the last checkpoint since then
	Fetched                int       // events that were fetched and are not handled
	Ahead                  int       // events that are handled, but for earlier ones
	Attempt                Attempt
	LastError              string // of the handler
	LastErrorAt            time.Time
	Lag                    Lag
	Reading, Checkpointing Trouble
}

// Attempt is a call of the handler.
type Attempt struct {
	Number   int // 0: there is nothing to handle
	Sequence int64
	Since    time.Time // zero: it has failed, and the next one is waited for
}

// Lag is how many events a partition has after the last one that was handled.
type Lag struct {
	Events       int64
	LastSequence int64
	AsOf         time.Time // zero: not known
}

// Trouble is what fails, and since when.
type Trouble struct {
	Since time.Time // zero: nothing fails
	Err   error
}

func (t trouble) shown() Trouble { return Trouble{t.since, t.last} }

// Partitions describes the partitions that are held now, in the order of their numbers.
func (e *Engine) Partitions() (all []PartitionState) {
	for _, r := range e.readersNow() {
		s := PartitionState{ID: r.id, Since: r.claim.Since()}
		r.done.describe(&s, e.options.LagInterval)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b PartitionState) int { // they are numbers without leading zeros
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Health describes the store, once the service has said which partitions there are.
func (e *Engine) Health() (h balance.Health, known bool) {
	if loop := e.running(); loop != nil {
		return loop.Health(), true
	}
	return h, false
}

func (p *progress) describe(s *PartitionState, lagInterval time.Duration) {
	p.progressMu.Lock()
	defer p.progressMu.Unlock()
	if p.any {
		s.Handled = Mark{p.at.sequence, p.atTime}
	}
	s.Checkpoint = p.saved
	w := p.work
	s.Fetched, s.LastError, s.LastErrorAt = w.fetched, w.lastError, w.lastErrorAt
	if v := w.window; v != nil {
		s.Ahead, s.Fetched = v.ahead, int(v.next-v.oldest)-v.ahead
	}
	if a := w.oldest(); a != nil {
		s.Attempt = Attempt{a.number, a.sequence, a.since}
	}
	s.Reading, s.Checkpointing = p.reading.shown(), p.trouble.shown()
	s.Lag = p.lag(s, max(extentKnownFor, 2*lagInterval))
}

// lag is what is known of it. The lock is held.
func (p *progress) lag(s *PartitionState, knownFor time.Duration) Lag {
	x := p.extent
	if x.asked.IsZero() || time.Since(x.asked) > knownFor {
		return Lag{}
	}
	var before int64
	switch {
	case p.any:
		before = p.at.sequence
	case s.Attempt.Number > 0:
		before = s.Attempt.Sequence - 1
	case p.base.known:
		before = p.base.sequence
	case x.first > x.last: // whatever was there before has expired
		before = x.last
	default:
		return Lag{}
	}
	missing := x.last - max(before, x.first-1) - int64(s.Ahead) // what has expired will not come
	return Lag{Events: max(missing, int64(s.Fetched)), LastSequence: x.last, AsOf: x.asked}
}
