package balance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// ErrLost is the cause with which a claim's context ends.
var ErrLost = errors.New("the partition was lost")

// ErrNotHeld is why no checkpoint may be written: the partition is not ours, or may not be.
var ErrNotHeld = errors.New("the partition is not held")

// errRefused is why a record is claimed again.
var errRefused = errors.New("the store refuses it, though the record was not changed")

// dating is how much older than it is a claim may look to others: blobs are dated in whole seconds.
const dating = time.Second

// Claim is a partition that is ours until its context ends. Its methods are safe for concurrent use.
type Claim struct {
	loop   *Loop
	id     string
	since  time.Time
	ctx    context.Context
	end    context.CancelCauseFunc
	wanted chan struct{}

	// The loop's claimsMu guards what follows.
	record   azeventhubs.Ownership // as the store has it
	renewed  time.Time             // when the call began that made or renewed the record
	seen     time.Time             // when the call began that last said it is ours
	promised string                // who was promised the partition: the promise may have been stored
	granting bool                  // the promise is being stored
	over     bool
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

// life is how long nobody else takes a partition whose claim isn't renewed.
func (l *Loop) life() time.Duration { return l.o.Expiration - min(dating, l.o.Expiration/2) }

// Await waits until it is certain that the partition is ours. It returns false if it was lost, or if ctx ends first.
//
// It isn't certain once the claim has expired, unless the store is known to be down, so that nobody could have taken the
// partition. Otherwise this process was paused, and somebody may have.
func (c *Claim) Await(ctx context.Context) bool {
	for {
		held, certain, changed := c.certain()
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

// certain reports what is known now, and returns what is closed when more is.
func (c *Claim) certain() (held, certain bool, changed <-chan struct{}) {
	l := c.loop
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	now := time.Now()
	down := l.listing.lasts(now, l.gap()) || l.partition(c.id).trouble.lasts(now, l.gap())
	return !c.over, down || now.Sub(c.seen) <= l.life(), l.changed
}

// Check returns nil while a checkpoint may be written, and an error that wraps ErrNotHeld otherwise. In an outage of the
// store that is until the claim would have expired.
func (c *Claim) Check() error {
	l := c.loop
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	age := time.Since(c.renewed)
	switch {
	case c.over:
		return fmt.Errorf("partition %s: %w", c.id, ErrNotHeld)
	case age > l.life():
		return fmt.Errorf("partition %s: %w for certain: the claim was not renewed for %v", c.id, ErrNotHeld, age.Round(time.Millisecond))
	}
	return nil
}

// Lose notes that another reader has the partition, as the link has told.
func (c *Claim) Lose() { c.loop.lose(c, "another reader") }

// lose ends a claim that somebody else has taken over.
func (l *Loop) lose(c *Claim, to string) {
	l.claimsMu.Lock()
	defer l.unlock()
	l.lost(c, to)
}

// lost does what lose does. claimsMu is held.
func (l *Loop) lost(c *Claim, to string) {
	if l.drop(c) {
		held := len(l.claims)
		l.note(func() { l.o.Logger.Info("eventhubs: partition lost", "partition", c.id, "to", to, "held", held) })
	}
}

// Release gives the partition back, and is the end of the claim. A failing store is called again until ctx ends; the error
// says that the claim has to expire. Nil means that it was given back, or lost before.
func (c *Claim) Release(ctx context.Context) error {
	l := c.loop
	record, ok := l.startRelease(c)
	if !ok {
		return nil
	}
	err := l.release(ctx, record)
	l.endRelease(c, err)
	if err != nil {
		return fmt.Errorf("give back partition %s: others can claim it in %v: %w", c.id, l.o.Expiration, err)
	}
	return nil
}

func (l *Loop) startRelease(c *Claim) (azeventhubs.Ownership, bool) {
	l.claimsMu.Lock()
	defer l.unlock()
	if !l.drop(c) {
		return azeventhubs.Ownership{}, false
	}
	l.partition(c.id).releasing = true
	return c.record, true
}

func (l *Loop) endRelease(c *Claim, err error) {
	l.claimsMu.Lock()
	defer l.unlock()
	p := l.partition(c.id)
	p.releasing = false
	l.touch(p)
	to, held := c.promised, len(l.claims)
	switch {
	case err != nil:
	case to != "":
		l.note(func() { l.o.Logger.Info("eventhubs: partition handed over", "partition", c.id, "to", to, "held", held) })
	default:
		l.note(func() { l.o.Logger.Debug("eventhubs: partition given back", "partition", c.id, "held", held) })
	}
}

// release gives a record back under its ETag, until ctx ends. A renewal that was under way, or an answer that was lost, may
// have changed the ETag: the record is looked up then.
func (l *Loop) release(ctx context.Context, record azeventhubs.Ownership) error {
	for attempt := 1; ; attempt++ {
		given, err := l.releaseOnce(ctx, &record)
		if given {
			return nil
		}
		if err != nil && !retry.Sleep(ctx, l.pause(attempt)) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (l *Loop) releaseOnce(ctx context.Context, record *azeventhubs.Ownership) (given bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.bound)
	defer cancel()
	want := *record
	want.OwnerID = ""
	got, err := l.o.Store.ClaimOwnership(ctx, []azeventhubs.Ownership{want}, nil)
	if err != nil || len(got) > 0 {
		return err == nil, err
	}
	records, _, err := l.listClaims(ctx)
	if err != nil {
		return false, err
	}
	for _, r := range records {
		if r.PartitionID != record.PartitionID || r.OwnerID != l.o.Owner {
			continue
		}
		if sameETag(r.ETag, record.ETag) {
			return false, errRefused
		}
		*record = r
		return false, nil
	}
	return true, nil // it was given back, or lost
}
