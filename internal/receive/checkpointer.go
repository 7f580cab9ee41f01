package receive

import (
	"context"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/balance"
)

const (
	// soon is how long the first event to cover waits for others, when no checkpoint was written for a while.
	soon = time.Second
	// checkpointsAtOnce bounds the checkpoints that are being written at one time.
	checkpointsAtOnce = 32
)

// checkpointer writes the checkpoints of one Engine beside its readers.
type checkpointer struct {
	engine  *Engine
	changed chan struct{} // holds a token when something may be due earlier than it was
	slots   chan struct{} // holds a token for each checkpoint that is being written

	partitionsMu sync.Mutex
	partitions   map[string]*progress
}

func newCheckpointer(e *Engine) *checkpointer {
	return &checkpointer{
		engine: e, changed: make(chan struct{}, 1), slots: make(chan struct{}, checkpointsAtOnce),
		partitions: map[string]*progress{},
	}
}

// of returns the progress of a partition, whose checkpoints are guarded by a claim from now on.
func (c *checkpointer) of(claim *balance.Claim) *progress {
	c.partitionsMu.Lock()
	defer c.partitionsMu.Unlock()
	p := c.partitions[claim.PartitionID()]
	if p == nil {
		p = newProgress(c, claim.PartitionID())
		c.partitions[claim.PartitionID()] = p
	}
	p.progressMu.Lock()
	defer p.progressMu.Unlock()
	p.claim = claim
	return p
}

func (c *checkpointer) all() (all []*progress) {
	c.partitionsMu.Lock()
	defer c.partitionsMu.Unlock()
	for _, p := range c.partitions {
		all = append(all, p)
	}
	return all
}

// change has run look again at what is due.
func (c *checkpointer) change() {
	token(c.changed)
}

// run writes checkpoints when they are due, until ctx ends. It returns when none is being written any more.
func (c *checkpointer) run(ctx context.Context) {
	var writing sync.WaitGroup
	defer writing.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.changed:
		case <-timer.C:
		}
		now := time.Now()
		var next time.Time
		for _, p := range c.all() {
			due := p.dueAt()
			switch {
			case due.IsZero():
			case due.After(now):
				if next.IsZero() || due.Before(next) {
					next = due
				}
			case !c.start(ctx, &writing, p):
				return
			}
		}
		if !next.IsZero() {
			timer.Reset(next.Sub(now))
		}
	}
}

// start writes a checkpoint in a goroutine of its own. It waits while too many are being written, and returns false if
// ctx ends.
func (c *checkpointer) start(ctx context.Context, writing *sync.WaitGroup, p *progress) bool {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if !p.begin() {
		<-c.slots
		return true
	}
	writing.Go(func() {
		defer c.change() // for what has come meanwhile
		defer func() { <-c.slots }()
		defer p.end()
		_ = p.save(ctx) // which has logged what is wrong, and is due again later
	})
	return true
}
