package receive

import (
	"context"
	"fmt"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// work is what a partition's handlers are at.
type work struct {
	window      *window // nil: events are handled one at a time, and the next two fields count
	fetched     int     // events that were fetched and are not handled
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

// oldest returns the attempt with the event at hand: of several the oldest, which the others' checkpoint waits for.
func (w *work) oldest() *attempt {
	if w.window != nil {
		return w.window.first()
	}
	return &w.attempt
}

// noteOverdue notes whether an attempt is to be reported now: it has lasted for long, or twice as long as
// when it was last reported.
func (a *attempt) noteOverdue(now time.Time, after time.Duration) bool {
	if a.since.IsZero() || now.Sub(a.since) < after<<a.warned {
		return false
	}
	for now.Sub(a.since) >= after<<a.warned { // it may be late, after a pause of the process
		a.warned++
	}
	return true
}

// fetched notes that n events are there to be handled. As the two after it, only the partition's reader calls it.
func (p *progress) fetched(n int) { p.locked(func() { p.work.fetched = n }) }

func (p *progress) attemptStarted(number int, sequence int64, now time.Time) {
	p.progressMu.Lock()
	p.work.attempt = attempt{number: number, sequence: sequence, since: now}
	p.progressMu.Unlock()
}

func (p *progress) attemptFailed(a *attempt, err error) {
	now, text := time.Now(), fmt.Sprint(err) // which survives an Error that panics
	p.progressMu.Lock()
	tried := *a
	*a = attempt{number: tried.number, sequence: tried.sequence}
	p.work.lastError, p.work.lastErrorAt = text, now
	p.progressMu.Unlock()
	p.returned(tried, now)
}

// reset notes that the reader has ended.
func (p *progress) reset() { p.locked(func() { p.work = work{} }) }

// returned says that a handler is done, if it had stalled.
func (p *progress) returned(tried attempt, now time.Time) {
	if tried.warned == 0 {
		return
	}
	p.log().Info("eventhubs: the handler that had stalled has returned", "sequence", tried.sequence,
		"attempt", tried.number, "after", retry.Text(now.Sub(tried.since)))
}

// reportStalls reports the oldest attempt if it has been under way for long, and the reader's wait for its event.
func (p *progress) reportStalls(now time.Time, after time.Duration) {
	var tried, held attempt
	p.progressMu.Lock()
	if a := p.work.oldest(); a != nil && a.number > 0 && a.noteOverdue(now, after) {
		tried = *a
	}
	if w := p.work.window; w != nil && w.held.noteOverdue(now, after) {
		held = w.held
	}
	p.progressMu.Unlock()
	if tried.number > 0 {
		p.log().Warn("eventhubs: the handler has stalled, and holds up its partition", "sequence", tried.sequence,
			"attempt", tried.number, "for", retry.Text(now.Sub(tried.since)))
	}
	if held.warned > 0 {
		p.log().Warn("eventhubs: MaxAhead events are held, and the partition waits for the oldest one",
			"sequence", held.sequence, "for", retry.Text(now.Sub(held.since)))
	}
}

// watchStalls reports handlers that run for long, until ctx ends.
func (e *Engine) watchStalls(ctx context.Context) {
	after := e.options.StallAfter
	for retry.Sleep(ctx, after/4) {
		now := time.Now()
		for _, p := range e.saver.all() {
			p.reportStalls(now, after)
		}
	}
}
