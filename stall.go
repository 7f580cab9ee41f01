package eventhubs

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// stallAfter is how long a handler may run before it is told as stalled; and again after twice that time, four times, and so on.
const stallAfter = 30 * time.Second

// handling is what a partition's handler is at.
type handling struct {
	fetched     int // events that were fetched and are not handled
	attempt     attempt
	lastError   string // of the handler
	lastErrorAt time.Time
}

// attempt is a call of the handler.
type attempt struct {
	number   int       // 0: there is nothing to handle
	sequence int64     // of the first event
	since    time.Time // zero: it has failed, and the next one is waited for
	warned   int       // how often it was told as stalled
}

// handled notes that the attempt under way has succeeded, and returns it if it had stalled. As with tries, it is for each event, and must not cost much.
func (h *handling) handled(n int) (stalled *attempt) {
	if h.attempt.warned > 0 {
		was := h.attempt
		stalled = &was
	}
	h.attempt.number = 0
	h.fetched -= n
	return stalled
}

// fetched notes that n events are there to be handled. As with tries and fails, only the partition's worker calls it.
func (p *progress) fetched(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handling.fetched = n
}

// tries notes that the handler is called.
func (p *progress) tries(number int, sequence int64, now time.Time) {
	p.mu.Lock()
	p.handling.attempt = attempt{number: number, sequence: sequence, since: now}
	p.mu.Unlock()
}

// fails notes that the handler has failed.
func (p *progress) fails(err error) {
	now, text := time.Now(), fmt.Sprint(err) // which survives an Error that panics
	p.mu.Lock()
	h := &p.handling
	tried := h.attempt
	h.attempt = attempt{number: tried.number, sequence: tried.sequence}
	h.lastError, h.lastErrorAt = text, now
	p.mu.Unlock()
	if tried.warned > 0 {
		p.returned(tried, now)
	}
}

// rest notes that the worker has ended.
func (p *progress) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handling = handling{}
}

// returned says that a handler that had stalled goes on.
func (p *progress) returned(tried attempt, now time.Time) {
	p.log.Info("eventhubs: the handler that had stalled has returned", "sequence", tried.sequence, "attempt", tried.number, "after", now.Sub(tried.since))
}

// stalled returns an attempt that is to be told as stalled now: it has been under way for long, or twice as long as when it was last told.
func (p *progress) stalled(now time.Time, after time.Duration) (_ attempt, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &p.handling.attempt
	if a.number == 0 || a.since.IsZero() || now.Sub(a.since) < after<<a.warned {
		return attempt{}, false
	}
	for now.Sub(a.since) >= after<<a.warned { // it may be late, after a pause of the process
		a.warned++
	}
	return *a, true
}

// watchStalled tells of handlers that run for long, until ctx ends.
func (r *receiving) watchStalled(ctx context.Context) {
	after := cmp.Or(r.watch.stallAfter, stallAfter)
	tick := time.NewTicker(max(after/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, p := range r.progress.all() {
				if a, ok := p.stalled(now, after); ok {
					p.log.Warn("eventhubs: the handler has stalled, and holds up its partition", "sequence", a.sequence, "attempt", a.number, "for", now.Sub(a.since))
				}
			}
		}
	}
}
