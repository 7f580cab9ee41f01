package eventhubs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/lease"
	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// checkpointer writes the checkpoints of one call of Receive, beside the workers: a slow store doesn't hold up reading.
type checkpointer struct {
	*Consumer
	mu         sync.Mutex
	partitions map[string]*progress
	due        chan *progress // by count; those due by time are found by looking at all
	writing    sync.WaitGroup
	slots      chan struct{}
}

const (
	// idleAfter is how long nothing must have been processed for a partition to be idle.
	idleAfter = 500 * time.Millisecond
	// checkpointsAtOnce bounds the checkpoints that are being written at one time.
	checkpointsAtOnce = 32
)

func newCheckpointer(c *Consumer) *checkpointer {
	return &checkpointer{Consumer: c, partitions: map[string]*progress{}, due: make(chan *progress, 1), slots: make(chan struct{}, checkpointsAtOnce)}
}

// of returns the progress of a partition, whose checkpoints go to a store from now on.
func (c *checkpointer) of(id string, store CheckpointStore) *progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.partitions[id]
	if p == nil {
		p = &progress{owner: c, id: id, log: c.logger().With("partition", id), saved: -1}
		c.partitions[id] = p
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.store = store
	return p
}

// find returns the progress of a partition, or nil if none of this call's workers has had it.
func (c *checkpointer) find(id string) *progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.partitions[id]
}

// all returns the progress of each partition that a worker of this call has had.
func (c *checkpointer) all() (all []*progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.partitions {
		all = append(all, p)
	}
	return all
}

// position returns how far a partition is processed, whether or not a checkpoint covers it.
func (c *checkpointer) position(id string) (sequence int64, offset string, ok bool) {
	p := c.find(id)
	if p == nil {
		return 0, "", false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sequence, p.offset, p.any
}

// run writes checkpoints when they are due, until the function that it returns is called, which waits for the last one.
func (c *checkpointer) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(max(min(idleAfter, c.opts.CheckpointInterval)/2, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				c.writing.Wait()
				return
			case p := <-c.due:
				c.start(ctx, p)
			case now := <-tick.C:
				for _, p := range c.dueAt(now) {
					c.start(ctx, p)
				}
			}
		}
	}()
	return func() { cancel(); <-ended }
}

func (c *checkpointer) dueAt(now time.Time) (due []*progress) {
	for _, p := range c.all() {
		if p.due(now) {
			due = append(due, p)
		}
	}
	return due
}

// start writes a checkpoint in a goroutine of its own.
func (c *checkpointer) start(ctx context.Context, p *progress) {
	if !p.begin() {
		return
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		p.end()
		return
	}
	c.writing.Add(1)
	go func() {
		defer c.writing.Done()
		defer func() { <-c.slots }()
		defer p.end()
		_ = p.save(ctx) // which has logged what is wrong, and will be tried again
	}()
}

// progress is how far a partition is processed, and how far a checkpoint covers it.
type progress struct {
	owner *checkpointer
	id    string
	log   *slog.Logger
	write sync.Mutex // held while a checkpoint is written

	mu       sync.Mutex
	store    CheckpointStore
	busy     bool // a goroutine is about to write
	any      bool // sequence and offset are set
	sequence int64
	offset   string
	pending  int       // events that are processed and not covered
	since    time.Time // when the first of them was processed
	last     time.Time // when the last of them was
	saved    int64     // sequence number of the last checkpoint; -1: none
	savedAt  time.Time // when it was written; zero: not since the partition was last lost
	failed   int       // how often in a row it could not be written
	handling handling
	extent   extent
}

// completed notes that n events up to this one are processed, and returns the time. Only the partition's worker calls it, in order.
func (p *progress) completed(sequence int64, offset string, n int) time.Time {
	now := time.Now()
	p.mu.Lock()
	stalled := p.handling.handled(n)
	p.any, p.sequence, p.offset = true, sequence, offset
	if p.pending == 0 {
		p.since = now
	}
	p.last = now
	p.pending += n
	full := p.owner.opts.CheckpointCount > 0 && p.pending >= p.owner.opts.CheckpointCount && !p.busy && p.failed == 0
	p.mu.Unlock()
	if stalled != nil {
		p.returned(*stalled, now)
	}
	if full {
		select {
		case p.owner.due <- p:
		default: // the next event will say it again, or the clock
		}
	}
	return now
}

// due reports whether it is time for a checkpoint: the oldest event waits for long enough, there are enough, or the partition is idle. After a failure only time counts.
func (p *progress) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	count := p.owner.opts.CheckpointCount
	return p.pending > 0 && !p.busy &&
		(now.Sub(p.since) >= p.owner.opts.CheckpointInterval || p.failed == 0 && (now.Sub(p.last) >= idleAfter || count > 0 && p.pending >= count))
}

// discard forgets what no checkpoint covers: the partition is no longer ours to write checkpoints for.
func (p *progress) discard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.any, p.pending, p.failed, p.savedAt = false, 0, 0, time.Time{}
}

func (p *progress) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.busy
	p.busy = true
	return !was
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
}

// saveLast saves until it succeeds, the partition is lost, which hold tells, or ctx ends. While a claim is renewed late, a checkpoint is refused: it will be taken once the claim is certain.
func (p *progress) saveLast(ctx, hold context.Context) error {
	for attempt := 1; ; attempt++ {
		err := p.save(ctx)
		if err == nil || hold.Err() != nil || !retry.Sleep(ctx, retry.Backoff(attempt)) {
			return err
		}
	}
}

// save writes a checkpoint for all that is processed, unless there is one already.
func (p *progress) save(ctx context.Context) error {
	p.write.Lock()
	defer p.write.Unlock()
	p.mu.Lock()
	sequence, offset, covered, store := p.sequence, p.offset, p.pending, p.store
	nothing := !p.any || sequence == p.saved
	p.mu.Unlock()
	if nothing {
		return nil
	}
	err := store.SetCheckpoint(ctx, p.owner.checkpoint(p.id, sequence, offset), nil)
	failures := p.saves(sequence, covered, err)
	switch {
	case err == nil && failures > 0:
		p.log.Info("eventhubs: checkpoints can be written again", "sequence", sequence, "failures", failures)
	case err == nil:
		p.log.Debug("eventhubs: checkpoint written", "sequence", sequence)
	case ctx.Err() == nil && !errors.Is(err, lease.ErrNotHeld) && retry.Worth(failures):
		p.log.Warn("eventhubs: a checkpoint could not be written, and is tried again", "sequence", sequence, "failures", failures, "error", err)
	}
	return err
}

// saves notes how the writing of a checkpoint has ended, and returns how often in a row it had failed, this time included.
func (p *progress) saves(sequence int64, covered int, err error) (failures int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.since = now // after a failure as well: the next try is an interval away
	if err != nil {
		p.failed++
		return p.failed
	}
	failures = p.failed
	p.saved, p.savedAt, p.failed = sequence, now, 0
	p.pending = max(p.pending-covered, 0)
	return failures
}
