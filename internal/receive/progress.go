package receive

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/balance"
	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// processed is how far a partition is processed.
type processed struct {
	sequence int64
	offset   string
}

// progress is how far a partition is processed, and how far a checkpoint covers it.
type progress struct {
	owner *checkpointer
	id    string
	log   func() *slog.Logger // makes it when it is first used: locks are held before that, and the Logger is the user's

	writeMu chan struct{} // holds a token while a checkpoint is written, so that they are written in order

	progressMu sync.Mutex
	claim      *balance.Claim
	cutOff     context.CancelFunc // see cutsOff
	writing    bool               // a goroutine is about to write
	any        bool               // at is set
	at         processed
	atTime     time.Time // when that was processed
	pending    int       // events that are processed and not covered
	since      time.Time // when the first of them was processed
	saved      Mark      // the last checkpoint
	tried      time.Time // when the last one was written, or could not be; zero: not since the partition was taken
	trouble    trouble   // of writing
	reading    trouble   // of reading
	work       work
	base       position // where reading began
	extent     extent

	extentAskedAt time.Time // the answer may be missing
}

// Mark is an event, and when something was done with it.
type Mark struct {
	Sequence int64
	Time     time.Time // zero: nothing was
}

func newProgress(c *checkpointer, id string) *progress {
	log := sync.OnceValue(func() *slog.Logger { return c.engine.options.Logger.With("partition", id) })
	return &progress{owner: c, id: id, log: log, writeMu: make(chan struct{}, 1)}
}

// locked calls a function under the lock.
func (p *progress) locked(f func()) {
	p.progressMu.Lock()
	defer p.progressMu.Unlock()
	f()
}

// completed notes that the attempt under way has succeeded, so that n events up to this one are processed, and returns
// the time. As with attemptStarted, it is for each event, and must not cost much.
func (p *progress) completed(at processed, n int) time.Time {
	now := time.Now()
	p.progressMu.Lock()
	tried := p.work.attempt
	p.work.attempt.number = 0
	p.work.fetched -= n
	changed := p.advance(at, n, now)
	p.progressMu.Unlock()
	p.returned(tried, now)
	if changed {
		p.owner.change()
	}
	return now
}

// advance notes the same. It reports whether a checkpoint may be due earlier than it was. The lock is held.
func (p *progress) advance(at processed, n int, now time.Time) (changed bool) {
	p.any, p.at, p.atTime = true, at, now
	first := p.pending == 0
	if first {
		p.since = now
	}
	p.pending += n
	count := p.owner.engine.options.CheckpointCount
	return first || count > 0 && p.pending >= count && p.pending-n < count
}

// dueAt is when the next checkpoint is to be written. Zero: when something changes.
//
// A partition writes at most one checkpoint per CheckpointInterval. If none was written for that long, as after the
// partition was taken, the first event to cover waits only for soon. CheckpointCount has one written at once, unless
// writing fails.
func (p *progress) dueAt() time.Time {
	p.progressMu.Lock()
	defer p.progressMu.Unlock()
	o := &p.owner.engine.options
	if p.pending == 0 || p.writing {
		return time.Time{}
	}
	if o.CheckpointCount > 0 && p.pending >= o.CheckpointCount && p.trouble.count == 0 {
		return p.since
	}
	due := p.since.Add(min(soon, o.CheckpointInterval))
	if next := p.tried.Add(o.CheckpointInterval); !p.tried.IsZero() && next.After(due) {
		due = next
	}
	return due
}

// forget forgets what no checkpoint covers: the partition is lost, or another one than it was.
func (p *progress) forget() {
	p.locked(func() { p.any, p.pending, p.saved, p.tried, p.trouble = false, 0, Mark{}, time.Time{}, trouble{} })
}

// begin notes that a goroutine is about to write. It returns false if one is already.
func (p *progress) begin() (first bool) {
	p.locked(func() { first, p.writing = !p.writing, true })
	return first
}

func (p *progress) end() { p.locked(func() { p.writing = false }) }

// saveLast saves until it succeeds, the claim is lost, or ctx ends. A try is given up after lastTry, and with it a
// write that was under way before: on a connection that has gone silent it would take all the time there is. While a
// claim is renewed late, a checkpoint is refused: it is taken once the claim is certain.
func (p *progress) saveLast(ctx context.Context, claim *balance.Claim) error {
	for attempt := 1; ; attempt++ {
		trying, cancel := context.WithTimeout(ctx, lastTry)
		err := p.save(trying)
		cancel()
		if err != nil {
			p.cutOffWrite()
		}
		if err == nil || claim.Context().Err() != nil || !retry.Sleep(ctx, retry.Backoff(attempt)) {
			return err
		}
	}
}

// save writes a checkpoint for all that is processed, unless there is one already. It looks what that is when no other
// write is under way: what it saw before could be older than what is stored by now.
func (p *progress) save(ctx context.Context) error {
	if err := p.beginWrite(ctx); err != nil {
		return err
	}
	defer p.endWrite()
	p.progressMu.Lock()
	at, covered, nothing := p.at, p.pending, !p.any || p.pending == 0
	p.progressMu.Unlock()
	if nothing {
		return nil
	}
	err := p.write(ctx, at, false)
	p.noteSave(at, covered, err, ctx)
	return err
}

// cutsOff notes what ends the write that is under way. Nil: none is.
func (p *progress) cutsOff(cancel context.CancelFunc) { p.locked(func() { p.cutOff = cancel }) }

func (p *progress) cutOffWrite() {
	p.locked(func() {
		if p.cutOff != nil {
			p.cutOff()
		}
	})
}

// beginWrite waits until no checkpoint of the partition is being written. It returns an error if ctx ends before.
func (p *progress) beginWrite(ctx context.Context) error {
	select {
	case p.writeMu <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *progress) endWrite() { <-p.writeMu }

// store writes one checkpoint, after what is being written. To replace the stored one it may move backwards.
func (p *progress) store(ctx context.Context, at processed, replace bool) error {
	if err := p.beginWrite(ctx); err != nil {
		return err
	}
	defer p.endWrite()
	return p.write(ctx, at, replace)
}

// write writes one checkpoint, once, if the partition is ours beyond doubt. It is called between beginWrite and
// endWrite.
func (p *progress) write(ctx context.Context, at processed, replace bool) error {
	p.progressMu.Lock()
	claim := p.claim
	p.progressMu.Unlock()
	if err := claim.Check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	p.cutsOff(cancel)
	defer p.cutsOff(nil)
	defer context.AfterFunc(claim.Context(), cancel)() // our stores look at ctx before each write
	o := &p.owner.engine.options
	c := o.checkpoint(p.id, at)
	var err error
	if s, ok := o.Store.(replacingStore); ok && replace {
		err = s.ReplaceCheckpoint(ctx, c)
	} else {
		err = o.Store.SetCheckpoint(ctx, c, nil)
	}
	if lost := claim.Context().Err(); err != nil && lost != nil {
		return context.Cause(claim.Context())
	}
	return err
}

// replacingStore is a store that refuses to move a checkpoint backwards, unless it is told to.
type replacingStore interface {
	ReplaceCheckpoint(ctx context.Context, c azeventhubs.Checkpoint) error
}

func (o *Options) checkpoint(partition string, at processed) azeventhubs.Checkpoint {
	return azeventhubs.Checkpoint{
		FullyQualifiedNamespace: o.Namespace, EventHubName: o.EventHub, ConsumerGroup: o.ConsumerGroup,
		PartitionID: partition, SequenceNumber: &at.sequence, Offset: &at.offset,
	}
}

// noteSave notes how the writing of a checkpoint has ended, and logs it.
func (p *progress) noteSave(at processed, covered int, err error, ctx context.Context) {
	p.progressMu.Lock()
	now := time.Now()
	p.tried = now
	failures := p.trouble.count
	if err == nil {
		p.trouble = trouble{}
		p.saved = Mark{at.sequence, now}
		p.pending = max(p.pending-covered, 0)
		p.since = now // of what has come meanwhile, at the latest
	} else if ctx.Err() == nil {
		p.trouble.note(now, err)
		failures = p.trouble.count
	}
	p.progressMu.Unlock()
	switch {
	case err == nil && failures > 0:
		p.log().InfoContext(ctx, "eventhubs: checkpoints can be written again", "sequence", at.sequence, "failures", failures)
	case err == nil:
		p.log().DebugContext(ctx, "eventhubs: checkpoint written", "sequence", at.sequence)
	case ctx.Err() != nil, errors.Is(err, balance.ErrNotHeld), errors.Is(err, balance.ErrLost):
	case retry.Worth(failures):
		p.log().WarnContext(ctx, "eventhubs: a checkpoint could not be written: it will be tried again",
			"sequence", at.sequence, "failures", failures, "error", err)
	}
}

// trouble is what goes wrong again and again. The zero value is none.
type trouble struct {
	since time.Time
	count int
	last  error
}

func (t *trouble) note(now time.Time, err error) {
	if t.count == 0 {
		t.since = now
	}
	t.count++
	t.last = err
}

// begins notes where reading begins.
func (p *progress) begins(at position) { p.locked(func() { p.base = at }) }

func (p *progress) readingFails(err error) { p.locked(func() { p.reading.note(time.Now(), err) }) }

func (p *progress) readingWorks() { p.locked(func() { p.reading = trouble{} }) }
