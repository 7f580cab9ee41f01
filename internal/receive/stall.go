package receive

import (
	"context"
	"fmt"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// work is what a partition's handler is at.
type work struct {
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
	warned   int       // how often it was reported as stalled
}

// handled notes that the attempt under way has succeeded, and returns it if it had stalled. As with attemptStarted, it
// is for each event, and must not cost much.
func (w *work) handled(n int) (stalled *attempt) {
	if w.attempt.warned > 0 {
		was := w.attempt
		stalled = &was
	}
	w.attempt.number = 0
	w.fetched -= n
	return stalled
}

// fetched notes that n events are there to be handled. As the two after it, only the partition's reader calls it.
func (p *progress) fetched(n int) {
	p.progressMu.Lock()
	defer p.progressMu.Unlock()
	p.work.fetched = n
}

func (p *progress) attemptStarted(number int, sequence int64, now time.Time) {
	p.progressMu.Lock()
	p.work.attempt = attempt{number: number, sequence: sequence, since: now}
	p.progressMu.Unlock()
}

func (p *progress) attemptFailed(err error) {
	now, text := time.Now(), fmt.Sprint(err) // which survives an Error that panics
	p.progressMu.Lock()
	w := &p.work
	tried := w.attempt
	w.attempt = attempt{number: tried.number, sequence: tried.sequence}
	w.lastError, w.lastErrorAt = text, now
	p.progressMu.Unlock()
	if tried.warned > 0 {
		p.returned(tried, now)
	}
}

// reset notes that the reader has ended.
func (p *progress) reset() {
	p.progressMu.Lock()
	defer p.progressMu.Unlock()
	p.work = work{}
}

// returned says that a handler which had stalled is done.
func (p *progress) returned(tried attempt, now time.Time) {
	p.log.Info("eventhubs: the handler that had stalled has returned", "sequence", tried.sequence, "attempt", tried.number,
		"after", retry.Text(now.Sub(tried.since)))
}

// stalled returns an attempt that is to be reported as stalled now: it has been under way for long, or twice as long as
// when it was last reported.
func (p *progress) stalled(now time.Time, after time.Duration) (_ attempt, ok bool) {
	p.progressMu.Lock()
	defer p.progressMu.Unlock()
	a := &p.work.attempt
	if a.number == 0 || a.since.IsZero() || now.Sub(a.since) < after<<a.warned {
		return attempt{}, false
	}
	for now.Sub(a.since) >= after<<a.warned { // it may be late, after a pause of the process
		a.warned++
	}
	return *a, true
}

// watchStalls reports handlers that run for long, until ctx ends.
func (e *Engine) watchStalls(ctx context.Context) {
	after := e.options.StallAfter
	for retry.Sleep(ctx, after/4) {
		now := time.Now()
		for _, p := range e.saver.all() {
			if a, ok := p.stalled(now, after); ok {
				p.log.Warn("eventhubs: the handler has stalled, and holds up its partition", "sequence", a.sequence, "attempt", a.number,
					"for", retry.Text(now.Sub(a.since)))
			}
		}
	}
}
