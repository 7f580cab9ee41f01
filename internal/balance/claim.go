package balance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// ErrLost is the cause with which a claim's context ends.
var ErrLost = errors.New("the partition was lost")

// ErrNotHeld is why no checkpoint may be written: the partition is not ours, or may not be.
var ErrNotHeld = errors.New("the partition is not held")

// dating is how much older than it is a claim may look to others: blobs are dated in whole seconds.
const dating = time.Second

// Claim is a partition that is ours until its context ends. Its methods are safe for concurrent use.
type Claim struct {
	loop      *Loop
	partition *partition
	id        string
	since     time.Time
	ctx       context.Context
	end       context.CancelCauseFunc
	wanted    chan struct{}

	// The loop's stateMu guards what follows.
	record   azeventhubs.Ownership // as the store has it
	renewed  time.Time             // when the call began that made the record
	seen     time.Time             // when the call began that last said it is ours
	promised string                // who was promised the partition; the promise may have been stored
	isWanted bool                  // wanted is closed
}

// PartitionID returns the partition's id.
func (c *Claim) PartitionID() string { return c.id }

// Since returns when the partition became ours.
func (c *Claim) Since() time.Time { return c.since }

// Context returns a context that ends, with the cause ErrLost, when the partition is no longer ours: it was lost or
// released, or Run has returned.
func (c *Claim) Context() context.Context { return c.ctx }

// Wanted is closed when another consumer has asked for the partition and was told that it gets it: finish, write a
// checkpoint, and Release it within DrainTimeout. After that the other takes it.
func (c *Claim) Wanted() <-chan struct{} { return c.wanted }

// want tells the reader that the partition is wanted. stateMu is held.
func (c *Claim) want() {
	if !c.isWanted {
		c.isWanted = true
		close(c.wanted)
	}
}

// life is how long nobody else takes a partition whose claim isn't renewed.
func (l *Loop) life() time.Duration { return l.o.Expiration - min(dating, l.o.Expiration/2) }

// Await waits until it is certain that the partition is ours. It returns false if it was lost, or if ctx ends first.
//
// It is certain until the claim would have expired; if it could not be renewed, while the last two rounds have shown
// that it is ours; and while the store is known to be down, so that nobody can have taken it. Otherwise this process
// was paused, and somebody may have.
func (c *Claim) Await(ctx context.Context) bool {
	l, p := c.loop, c.partition
	for {
		l.stateMu.Lock()
		held, changed := p.claim == c, l.changed
		certain := time.Since(c.renewed) <= l.life() || time.Since(c.seen) <= min(l.life(), 2*l.o.UpdateInterval) ||
			l.isDown(l.listing.trouble) || l.isDown(p.trouble)
		l.stateMu.Unlock()
		if !held || certain {
			return held
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// Check returns nil while a checkpoint may be written: the partition is ours, and the claim has not expired, even if
// the store is down. Otherwise the error wraps ErrNotHeld.
func (c *Claim) Check() error {
	l := c.loop
	l.stateMu.Lock()
	defer l.stateMu.Unlock()
	age := time.Since(c.renewed)
	switch {
	case c.partition.claim != c:
		return fmt.Errorf("partition %s: %w", c.id, ErrNotHeld)
	case age > l.life():
		return fmt.Errorf("partition %s: %w for certain: the claim was not renewed for %v",
			c.id, ErrNotHeld, age.Round(time.Millisecond))
	}
	return nil
}

// Lose notes that another reader has the partition, as the link has told. If nobody else has claimed it by the next
// round, it is claimed again then, and no sooner: two consumers that share a name would take it from each other.
func (c *Claim) Lose() {
	l := c.loop
	l.stateMu.Lock()
	defer l.unlock()
	if c.partition.claim == c {
		l.lost(c, "another reader")
	}
}

// lost ends a claim that somebody else has taken over. stateMu is held.
func (l *Loop) lost(c *Claim, to string) {
	l.drop(c.partition)
	l.log(slog.LevelInfo, "eventhubs: partition lost", "partition", c.id, "to", to, "held", l.held)
}

// Release releases the partition, which ends the claim. A failing store is called again until ctx ends; the error
// says that the claim has to expire. Nil means that the partition was released, or lost before.
func (c *Claim) Release(ctx context.Context) error {
	l, p := c.loop, c.partition
	l.stateMu.Lock()
	if p.claim != c {
		l.stateMu.Unlock()
		return nil
	}
	l.drop(p)
	p.releasing = true
	record := c.record
	l.unlock()
	err := l.release(ctx, record)
	l.stateMu.Lock()
	defer l.unlock()
	p.releasing = false
	l.touch(p)
	switch {
	case err != nil:
		return fmt.Errorf("release partition %s: others can claim it in %v: %w", c.id, l.o.Expiration, err)
	case c.promised != "":
		l.log(slog.LevelInfo, "eventhubs: partition handed over", "partition", c.id, "to", c.promised, "held", l.held)
	default:
		l.log(slog.LevelDebug, "eventhubs: partition released", "partition", c.id, "held", l.held)
	}
	return nil
}

// release releases a record under its ETag, until ctx ends. A renewal that was under way, or a call whose answer was
// lost, may have changed the ETag, so if that fails the record is looked up.
func (l *Loop) release(ctx context.Context, record azeventhubs.Ownership) error {
	err := l.put(ctx, []azeventhubs.Ownership{record})
	for attempt := 1; err != nil; attempt++ {
		if !retry.Sleep(ctx, l.pause(attempt)) {
			return errors.Join(ctx.Err(), err)
		}
		err = l.releaseOurs(ctx, record.PartitionID)
	}
	return nil
}

// releaseOurs releases what has our name: the record of one partition, or of all if none is named.
func (l *Loop) releaseOurs(ctx context.Context, id string) error {
	bounded, cancel := context.WithTimeout(ctx, l.bound)
	defer cancel()
	records, _, err := l.listClaims(bounded)
	if err != nil {
		return err
	}
	return l.put(ctx, slices.DeleteFunc(records, func(r azeventhubs.Ownership) bool {
		return r.OwnerID != l.o.Group.OwnerID || id != "" && r.PartitionID != id
	}))
}

// errChanged is why a record was not released.
var errChanged = errors.New("the record was changed in the meantime")

// put stores records without an owner.
func (l *Loop) put(ctx context.Context, records []azeventhubs.Ownership) error {
	ctx, cancel := context.WithTimeout(ctx, l.bound)
	defer cancel()
	for i := range records {
		records[i].OwnerID = ""
	}
	if len(records) == 0 {
		return nil
	}
	released, err := l.o.Store.ClaimOwnership(ctx, records, nil)
	if err == nil && len(released) < len(records) {
		err = errChanged
	}
	return err
}
