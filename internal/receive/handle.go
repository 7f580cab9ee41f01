package receive

import (
	"errors"
	"runtime/debug"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// handleUnit calls the handler until it succeeds. It returns false when the reader has to end, and the unit is not
// processed.
func (r *reader) handleUnit(events []*azeventhubs.ReceivedEventData, from, to int) bool {
	first := events[from].SequenceNumber
	for attempt := 1; r.fetch.Err() == nil && r.owned(); attempt++ {
		r.done.attemptStarted(attempt, first, r.now)
		err := r.call(from, to, attempt, first)
		if err == nil {
			return true
		}
		r.done.attemptFailed(err)
		if r.ends(err, first) {
			return false
		}
		wait := r.engine.options.Backoff(attempt, err)
		if wait < 0 {
			r.engine.fail(&Failure{Partition: r.id, Sequence: first, Err: err})
			return false
		}
		r.log.Warn("eventhubs: the handler failed: it gets the event again", "sequence", first, "attempt", attempt,
			"again_in", retry.Text(wait), "error", err)
		if !retry.Sleep(r.fetch, wait) {
			return false
		}
		r.now = time.Now()
	}
	return false
}

// owned waits until it is certain that the partition is ours: after a pause of the process it may be somebody else's.
// It returns false when the reader has to end.
func (r *reader) owned() bool {
	if r.now.Sub(r.certain) < r.engine.options.Expiration/4 { // Await for each event would cost more
		return true
	}
	if !r.claim.Await(r.fetch) {
		return false
	}
	r.now = time.Now()
	r.certain = r.now
	return true
}

// call calls the handler once. A panic becomes a *panicked.
func (r *reader) call(from, to, attempt int, first int64) (err error) {
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
	err = r.handler.Handle(r.handling, from, to, attempt)
	returned = true
	return err
}

// panicked is what a handler's panic is until it is returned: nothing that a handler returns is taken for it.
type panicked struct{ failure Failure }

func (p *panicked) Error() string { return p.failure.Error() }

// ends ends the Engine if a handler's error is one that does.
func (r *reader) ends(err error, first int64) bool {
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
