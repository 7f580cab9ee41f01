package balance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	loop   *Loop
	id     string
	since  time.Time
	ctx    context.Context
	end    context.CancelCauseFunc
	wanted chan struct{}

	// The loop's claimsMu guards what follows.
	record   azeventhubs.Ownership // as the store has it
	renewed  time.Time             // when the call began that made the record
	seen     time.Time             // when the call began that last said it is ours
	promised string                // who was promised the partition; the promise may have been stored
	granting bool                  // it is being stored
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

func (c *Claim) isWanted() bool {
	select {
	case <-c.wanted:
		return true
	default:
		return false
	}
}

// want tells the reader that the partition is wanted. claimsMu is held.
func (c *Claim) want() {
	if !c.isWanted() {
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
	p := l.partition(c.id)
	certain = time.Since(c.renewed) <= l.life() || time.Since(c.seen) <= min(l.life(), 2*l.o.UpdateInterval)
	return p.claim == c, certain || l.isDown(l.listing) || l.isDown(p.trouble), l.changed
}

// Check returns nil while a checkpoint may be written: the partition is ours, and the claim has not expired, even if
// the store is down. Otherwise the error wraps ErrNotHeld.
func (c *Claim) Check() error {
	l := c.loop
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	age := time.Since(c.renewed)
	switch {
	case l.partition(c.id).claim != c:
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
	l.claimsMu.Lock()
	defer l.unlock()
	if p := l.partition(c.id); p.claim == c {
		l.lost(p, "another reader")
	}
}

// lost ends a claim that somebody else has taken over. claimsMu is held.
func (l *Loop) lost(p *partition, to string) {
	id := p.claim.id
	l.drop(p)
	l.log(slog.LevelInfo, "eventhubs: partition lost", "partition", id, "to", to, "held", l.held)
}

// Release gives the partition back, and is the end of the claim. A failing store is called again until ctx ends; the
// error says that the claim has to expire. Nil means that it was given back, or lost before.
func (c *Claim) Release(ctx context.Context) error {
	record, ok := c.startRelease()
	if !ok {
		return nil
	}
	err := c.loop.release(ctx, record)
	c.endRelease(err == nil)
	if err != nil {
		return fmt.Errorf("give back partition %s: others can claim it in %v: %w", c.id, c.loop.o.Expiration, err)
	}
	return nil
}

func (c *Claim) startRelease() (record azeventhubs.Ownership, ok bool) {
	l := c.loop
	l.claimsMu.Lock()
	defer l.unlock()
	p := l.partition(c.id)
	if p.claim != c {
		return record, false
	}
	l.drop(p)
	p.releasing = true
	return c.record, true
}

func (c *Claim) endRelease(released bool) {
	l := c.loop
	l.claimsMu.Lock()
	defer l.unlock()
	p := l.partition(c.id)
	p.releasing = false
	l.touch(p)
	switch {
	case !released:
	case c.promised != "":
		l.log(slog.LevelInfo, "eventhubs: partition handed over", "partition", c.id, "to", c.promised, "held", l.held)
	default:
		l.log(slog.LevelDebug, "eventhubs: partition released", "partition", c.id, "held", l.held)
	}
}

// release gives a record back under its ETag, until ctx ends.
func (l *Loop) release(ctx context.Context, record azeventhubs.Ownership) error {
	for attempt := 1; ; attempt++ {
		current, err := l.releaseOnce(ctx, record)
		if current.OwnerID == "" && err == nil {
			return nil
		}
		if err == nil && !sameETag(current.ETag, record.ETag) {
			record = current
			continue
		}
		if !retry.Sleep(ctx, l.pause(attempt)) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// releaseOnce returns the record as it is after that, or none if it isn't ours. A renewal that was under way, or a
// call whose answer was lost, may have changed its ETag, so if the store refuses it, it is looked up.
func (l *Loop) releaseOnce(
	ctx context.Context, record azeventhubs.Ownership,
) (current azeventhubs.Ownership, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.bound)
	defer cancel()
	record.OwnerID = ""
	given, err := l.o.Store.ClaimOwnership(ctx, []azeventhubs.Ownership{record}, nil)
	if err != nil || len(given) > 0 {
		return current, err
	}
	records, _, err := l.listClaims(ctx)
	for _, r := range records {
		if r.PartitionID == record.PartitionID && r.OwnerID == l.o.Owner {
			current = r
		}
	}
	return current, err
}
