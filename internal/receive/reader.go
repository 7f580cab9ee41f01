package receive

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/balance"
	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// reader reads one partition for as long as a claim holds.
type reader struct {
	engine *Engine
	claim  *balance.Claim
	id     string
	before *reader // of the same partition; it has to end first
	ended  chan struct{}
	log    *slog.Logger
	done   *progress

	fetch    context.Context // ends when nothing more is to be fetched
	stop     context.CancelFunc
	handling context.Context // of the handler
	handler  Handler
	workers  *workers // nil: events are handled one at a time

	at   position
	link *link // nil: none

	failures   int       // to read, in a row
	refused    time.Time // since when a right or a name is refused that has worked; zero: it isn't
	unreadable int       // tries to read the event after at
	unchecked  int       // questions about a silent partition that were not answered, in a row
	clock      clock
}

func newReader(e *Engine, c *balance.Claim, before *reader) *reader {
	r := &reader{
		engine: e, claim: c, id: c.PartitionID(), before: before, ended: make(chan struct{}), done: e.saver.of(c),
		handler: e.options.NewHandler(),
	}
	r.fetch, r.stop = context.WithCancel(e.fetch)
	return r
}

// run reads until the partition is lost, wanted by another consumer, or nothing more is to be fetched. Then it writes
// the last checkpoint, and gives the partition back.
func (r *reader) run() {
	defer close(r.ended)
	r.log = r.done.log()
	handling, cancel := context.WithCancelCause(r.engine.handling)
	r.handling = handling
	// Deferred, as all that follows: a handler may end its goroutine, as testing's FailNow does.
	defer cancel(errEnded)
	defer r.leave()
	defer r.stop()
	defer context.AfterFunc(r.claim.Context(), func() { cancel(r.engine.options.ErrLost); r.stop() })()
	watched := make(chan struct{})
	watching := make(chan struct{})
	defer func() { close(watched); <-watching }()
	go func() { defer close(watching); r.watchWanted(watched, cancel) }()
	if r.before != nil {
		<-r.before.ended // its handler may still run
		r.before = nil
	}
	if !r.begin() || !r.open() {
		return
	}
	defer r.closed()
	r.log.Debug("eventhubs: reading begins", "sequence", r.at.sequence, "known", r.at.known)
	if r.engine.options.Concurrency > 1 {
		r.workers = newWorkers(r)
		defer r.workers.drain()
	}
	for r.fetch.Err() == nil {
		err := r.read()
		if r.fetch.Err() != nil || err == nil {
			return
		}
		if !r.recover(err) {
			return
		}
	}
}

// watchWanted ends fetching when another consumer asks for the partition, and gives the handler DrainTimeout.
func (r *reader) watchWanted(ended <-chan struct{}, cancel context.CancelCauseFunc) {
	select {
	case <-ended:
		return
	case <-r.claim.Wanted():
	}
	r.stop()
	late := time.NewTimer(max(r.engine.options.DrainTimeout, 0))
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		cancel(r.engine.options.ErrDraining)
		<-ended
	}
}

// leave writes the last checkpoint and closes the link, side by side, and gives the partition back. It takes at most
// finishTimeout.
func (r *reader) leave() {
	r.done.reset()
	r.engine.leaves()
	ctx, cancel := context.WithTimeout(r.engine.finish, finishTimeout)
	defer cancel()
	closed := make(chan struct{})
	go func() { defer close(closed); r.closeLink() }()
	if r.claim.Context().Err() == nil {
		r.saveLast(ctx)
	}
	<-closed
	if r.claim.Context().Err() != nil {
		r.done.forget()
		return
	}
	if err := r.claim.Release(ctx); err != nil {
		r.log.Warn("eventhubs: the partition could not be released: others can take it once the claim expires",
			"after", retry.Text(r.engine.options.Expiration), "error", err)
	}
	r.done.forget() // whoever has it next moves on
}

// saveLast writes the last checkpoint. The partition may be lost meanwhile, which is no failure: whoever has it resumes
// from the checkpoint before.
func (r *reader) saveLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	switch err := r.done.saveLast(ctx, r.claim); {
	case err == nil:
	case r.claim.Context().Err() != nil:
		r.log.Info("eventhubs: the partition was lost before its last checkpoint was written: events will be repeated")
	default:
		r.log.Error("eventhubs: the last checkpoint could not be written: events will be repeated", "error", err)
	}
}

// read opens the link unless it is open, and handles what comes until something fails. It returns nil when the reader
// has to end.
func (r *reader) read() error {
	if r.link == nil {
		l, err := openLink(r.engine, r.id, r.at.start)
		if err != nil {
			return err
		}
		r.link = l
	}
	for {
		events, err := r.link.next(r.fetch)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			if err := r.checkSilence(); err != nil {
				return err
			}
			continue
		}
		r.succeeds()
		if !r.handleAll(events) {
			return nil
		}
	}
}

// succeeds notes that the link works.
func (r *reader) succeeds() {
	if r.failures > 0 {
		r.log.Info("eventhubs: reading works again", "failures", r.failures)
	}
	if !r.link.proven.Load() {
		r.engine.setWorked()
		r.link.proven.Store(true)
	}
	r.failures, r.unreadable, r.refused = 0, 0, time.Time{}
	r.done.readingWorks()
}

// errBehind is why a link is replaced that is open and brings nothing.
var errBehind = errors.New("the service has events for the partition, and the link brings none")

// checkSilence asks the service whether the partition has events after the last one read. It is called when the link
// has been silent.
func (r *reader) checkSilence() error {
	r.succeeds() // it is open
	p, err := r.engine.options.Questions.Partition(r.fetch, r.id)
	switch {
	case r.fetch.Err() != nil:
		return r.fetch.Err()
	case err != nil: // a connection that has gone silent ends by itself: the service has to send something each minute
		r.unchecked++
		if retry.Worth(r.unchecked) {
			r.log.Warn("eventhubs: a partition is silent, and the service does not say whether it has events: "+
				"asking again in a minute", "times", r.unchecked, "error", err)
		}
		r.link.quiet = silence
		return nil
	}
	r.unchecked = 0
	if r.at.covers(p) {
		return nil
	}
	return errBehind
}

// recover decides what an error means. It returns false when the reader has to end; otherwise the next read opens a new
// link, after the last event that was read.
func (r *reader) recover(err error) bool {
	open := r.link != nil && r.link.wasOpen(err)
	if open {
		r.engine.setWorked()
	}
	r.closeLink()
	r.done.readingFails(err)
	switch {
	case sdkerr.IsOwnershipLost(err):
		return r.recoverStolen(err)
	case sdkerr.IsRefusedPosition(err):
		return r.restartRefused(err)
	case sdkerr.IsUndecodable(err):
		return r.skip(err)
	case sdkerr.IsUnauthorized(err), sdkerr.IsNotFound(err):
		return r.retryRefusal(err)
	}
	r.failures++
	level := slog.LevelWarn
	if open && r.failures == 1 && !errors.Is(err, errBehind) && !errors.Is(err, os.ErrDeadlineExceeded) {
		level = slog.LevelInfo // nothing had to wait, and services close links and connections as they like
	}
	return r.pause(r.failures, err, level, "eventhubs: reading was interrupted: trying again")
}

// pause logs at growing intervals that something is tried again, and waits. It returns false if fetch ends.
func (r *reader) pause(attempt int, err error, level slog.Level, what string, attrs ...any) bool {
	return pause(r.fetch, r.log, attempt, err, level, what, attrs...)
}

// recoverStolen says who has taken the link, and ends the claim. Readers with a higher epoch are not of this group: all
// of its consumers have the same. No other consumer could read beside one, so the claim stays, and the link is tried
// again.
func (r *reader) recoverStolen(err error) bool {
	name, epoch, ok := sdkerr.Thief(err)
	switch {
	case ok && epoch > ownerLevel:
		r.failures++
		return r.pause(r.failures, err, slog.LevelWarn,
			"eventhubs: a reader with a higher epoch keeps the partition to itself: "+
				"stop it, or give it a consumer group of its own", "by", name, "epoch", epoch)
	case ok && name == r.engine.options.InstanceID:
		r.engine.duplicate(r.log, name)
	case ok:
		r.log.Info("eventhubs: another reader has taken the partition", "by", name, "epoch", epoch)
	default:
		r.log.Info("eventhubs: another reader has taken the partition", "error", err)
	}
	r.claim.Lose()
	return false
}

// restartRefused goes on at the earliest event after the service has refused a position.
func (r *reader) restartRefused(err error) bool {
	if r.workers != nil && !r.workers.settle() {
		return false
	}
	for attempt := 1; ; attempt++ {
		failed := r.restart("the service refuses it", err)
		if failed == nil {
			r.at = earliest()
			return true
		}
		if r.fetch.Err() != nil {
			return false
		}
		if !r.pause(attempt, failed, slog.LevelWarn, "eventhubs: the checkpoint could not be replaced: trying again") {
			return false
		}
	}
}

// retryRefusal retries a right or a name for a minute if it has worked before: a token may be late, a role being
// changed, an event hub created again. Otherwise waiting is of no use, and Receive ends.
func (r *reader) retryRefusal(err error) bool {
	now := time.Now()
	if r.refused.IsZero() {
		r.refused = now
	}
	if !r.engine.hasWorked() || now.Sub(r.refused) >= refusalPatience {
		r.engine.fail(r.engine.options.Explain(r.engine.entity, err))
		return false
	}
	r.failures++
	return r.pause(r.failures, err, slog.LevelWarn,
		"eventhubs: reading is refused, and has worked before: trying again for a minute",
		"role", sdkerr.Role(sdkerr.Receive))
}

// skip decides about an event that can't be decoded: the one after the last that was read, as a partition's sequence
// numbers have no gaps.
func (r *reader) skip(err error) bool {
	bad, asked := r.nextSequence()
	if asked != nil {
		r.failures++
		return r.pause(r.failures, asked, slog.LevelWarn,
			"eventhubs: an event can't be decoded, and its sequence number is not known yet: trying again")
	}
	r.unreadable++
	if retry.Worth(r.unreadable) {
		r.log.Error("eventhubs: an event can't be decoded: it holds up its partition unless ConsumerOptions.Unreadable "+
			"skips it", "sequence", bad, "failures", r.unreadable, "error", err)
	}
	if skip := r.engine.options.Unreadable; skip != nil {
		refused := r.guard(bad, func() error { return skip(r.id, bad, err) })
		var p *panicked
		if errors.As(refused, &p) {
			r.engine.fail(&p.failure)
			return false
		}
		if refused == nil {
			r.log.Warn("eventhubs: an event that can't be decoded was skipped", "sequence", bad)
			r.at, r.unreadable = after(bad), 0
			return true
		}
	}
	return retry.Sleep(r.fetch, retry.Backoff(r.unreadable))
}

// nextSequence is the sequence number of the event after the last one read. Those before the first that the partition
// still has are gone.
func (r *reader) nextSequence() (int64, error) {
	p, err := r.engine.options.Questions.Partition(r.fetch, r.id)
	if err != nil {
		return 0, err
	}
	switch {
	case r.at.known:
		return max(r.at.sequence+1, p.BeginningSequenceNumber), nil
	case r.at.start.EnqueuedTime == nil:
		return 0, errors.New("reading began at an offset, and no event has come yet")
	}
	bad, err := r.search(p)
	if err == nil {
		r.at = before(bad)
	}
	return bad, err
}

// closeLink gives the link up, if there is one. It takes at most closeTimeout.
func (r *reader) closeLink() {
	if r.link != nil {
		r.link.close(r.engine.finish)
		r.link = nil
	}
}

// handleAll passes events to the handler, unit by unit. It returns false when the reader has to end.
func (r *reader) handleAll(events []*azeventhubs.ReceivedEventData) bool {
	if r.workers != nil {
		return r.workers.add(events)
	}
	r.handler.Fill(r.id, events)
	r.clock.now = time.Now()
	r.done.fetched(len(events))
	unit := r.engine.options.Unit
	for from := 0; from < len(events); from += unit {
		to := min(from+unit, len(events))
		if !r.handleUnit(events, from, to) {
			return false
		}
		last := events[to-1]
		r.clock.now = r.done.completed(processed{last.SequenceNumber, last.Offset}, to-from)
	}
	r.at = after(events[len(events)-1].SequenceNumber)
	return true
}
