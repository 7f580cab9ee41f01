package receive

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// handleUnit calls the handler until it succeeds. It returns false when the reader has to end, and the unit is not
// processed.
func (r *reader) handleUnit(events []*azeventhubs.ReceivedEventData, from, to int) bool {
	first := events[from].SequenceNumber
	for attempt := 1; r.mayBegin(attempt) && r.awaitOwnership(r.fetch, &r.clock); attempt++ {
		r.done.attemptStarted(attempt, first, r.clock.now)
		err := r.call(r.handling, r.handler, from, to, attempt, first)
		if err == nil {
			return true
		}
		r.done.attemptFailed(&r.done.work.attempt, err)
		wait, again := r.decide(err, attempt, first)
		if !again || !retry.Sleep(r.fetch, wait) {
			return false
		}
		r.clock.now = time.Now()
	}
	return false
}

// mayBegin reports whether an attempt may begin. When nothing more is fetched, that is the first one with a batch that
// was being filled.
func (r *reader) mayBegin(attempt int) bool {
	return r.fetch.Err() == nil || attempt == 1 && r.engine.options.BatchWait > 0 && r.handling.Err() == nil
}

// noEvent is the sequence number of a Failure that is none of an event.
const noEvent = -1

// open calls Opened until it succeeds. It returns false if the reader has to end before.
func (r *reader) open() bool {
	opened := r.engine.options.Opened
	if opened == nil {
		return true
	}
	for attempt := 1; r.fetch.Err() == nil; attempt++ {
		r.clock.now = time.Now()
		if !r.awaitOwnership(r.fetch, &r.clock) {
			return false
		}
		err := r.guard(noEvent, func() error { return opened(r.handling, r.id) })
		if err == nil {
			r.done.readingWorks()
			return true
		}
		r.done.readingFails(err)
		if r.endIfPermanent(err, noEvent) ||
			!r.pause(attempt, err, slog.LevelWarn, "eventhubs: PartitionOpened failed: calling it again") {
			return false
		}
	}
	return false
}

// closed calls Closed with why the partition is given up: it is lost, handlers have run out of time, or an error ends
// the Engine.
func (r *reader) closed() {
	call, reason := r.engine.options.Closed, r.engine.failure()
	switch {
	case call == nil:
		return
	case r.claim.Context().Err() != nil:
		reason = r.engine.options.ErrLost
	case r.handling.Err() != nil:
		reason = context.Cause(r.handling)
	}
	if err := r.guard(noEvent, func() error { call(r.handling, r.id, reason); return nil }); err != nil {
		r.endIfPermanent(err, noEvent)
	}
}

// decide returns after what time an event is tried again whose handler has failed. Not again: the Engine ends.
func (r *reader) decide(err error, attempt int, first int64) (wait time.Duration, again bool) {
	if r.endIfPermanent(err, first) {
		return 0, false
	}
	if p := r.guard(first, func() error { wait = r.engine.options.Backoff(attempt, err); return nil }); p != nil {
		return 0, !r.endIfPermanent(p, first)
	}
	if wait < 0 {
		r.engine.fail(&Failure{Partition: r.id, Sequence: first, Err: err})
		return 0, false
	}
	r.log.WarnContext(r.handling, "eventhubs: the handler failed: retrying", "sequence", first, "attempt", attempt,
		"again_in", retry.Text(wait), "error", err)
	return wait, true
}

// clock is what a goroutine that calls the handler knows of the time.
type clock struct {
	now     time.Time // when it was read last
	certain time.Time // when it was certain that the partition is ours
}

// isCertain reports whether it was certain lately that the partition is ours: Await for each event would cost more.
func (r *reader) isCertain(c *clock) bool {
	return c.now.Sub(c.certain) < r.engine.options.Expiration/4
}

// awaitOwnership waits until it is certain that the partition is ours: after a pause of the process it may be somebody
// else's. It returns false when the partition is lost, or ctx ends before.
func (r *reader) awaitOwnership(ctx context.Context, c *clock) bool {
	if r.isCertain(c) {
		return true
	}
	if !r.claim.Await(ctx) {
		return false
	}
	c.now = time.Now()
	c.certain = c.now
	return true
}

// call calls a handler once. A panic becomes a *panicked.
func (r *reader) call(ctx context.Context, h Handler, from, to, attempt int, first int64) error {
	return r.guard(first, func() error { return h.Handle(ctx, from, to, attempt) })
}

// guard calls a function of the user's. A panic becomes a *panicked.
func (r *reader) guard(first int64, call func() error) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		p := &panicked{Failure{Partition: r.id, Sequence: first, Panic: recover(), Stack: debug.Stack()}}
		if p.failure.Panic == nil { // runtime.Goexit: nothing but deferred functions runs after this
			p.failure.Panic = "runtime.Goexit was called"
			r.engine.fail(&p.failure)
		}
		err = p
	}()
	err = call()
	returned = true
	return err
}

// panicked is what a handler's panic is until it is returned: nothing that a handler returns is taken for it.
type panicked struct{ failure Failure }

func (p *panicked) Error() string { return p.failure.Error() }

// endIfPermanent ends the Engine if a handler's error is one that does.
func (r *reader) endIfPermanent(err error, first int64) bool {
	var p *panicked
	switch {
	case errors.As(err, &p):
		r.engine.fail(&p.failure)
	case r.engine.options.Permanent(err):
		r.engine.fail(&Failure{Partition: r.id, Sequence: first, Err: err})
	default:
		return false
	}
	return true
}
