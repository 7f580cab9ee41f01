package balance

import (
	"context"
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// renewAfter is how old a claim is when it is renewed, in percent of its Expiration. Two calls that hang, of a sixth
// each, are over before it expires then. Each renewal is a write that costs money: at a third, ten minutes of 32
// partitions cost 230 more.
const renewAfter = 45

// renew renews the claims that are due, and returns when the next are. A claim is due by its age, and not only in
// rounds, so that no listing holds it up.
func (l *Loop) renew(ctx context.Context, now time.Time) (next time.Time) {
	for _, p := range l.partitions {
		if p.claim == nil || p.claiming {
			continue
		}
		at := p.retryAt
		if at.IsZero() {
			at = p.claim.renewed.Add(l.o.Expiration * renewAfter / 100)
		}
		if due(now, at) {
			l.claim(ctx, p.claim.record, true)
		} else {
			next = sooner(next, at)
		}
	}
	return next
}

// claim claims a record, or renews the claim to it, in a call of its own, so that one that can't be written holds up
// no other. (The SDK's own store claims one after the other, until one fails: azeventhubs, blob_store.go.)
func (l *Loop) claim(ctx context.Context, record azeventhubs.Ownership, renewal bool) {
	p := l.partition(record.PartitionID)
	calling, cut := context.WithCancel(ctx)
	p.claiming, p.cut = true, cut
	l.claiming.underWay++
	began := time.Now()
	l.begin(calling, true, func(bounded context.Context) func() {
		got, err := l.o.Store.ClaimOwnership(bounded, []azeventhubs.Ownership{record}, nil)
		return func() { l.claimed(ctx, began, record.PartitionID, renewal, got, err) }
	})
}

// claimed takes in the answer to a claim.
func (l *Loop) claimed(
	ctx context.Context, began time.Time, id string, renewal bool, got []azeventhubs.Ownership, err error,
) {
	p := l.partition(id)
	p.cut()
	p.claiming = false
	l.claiming.underWay--
	l.claiming.answered = l.claiming.answered || err == nil
	if len(got) > 0 || p.claim == nil { // whose a claim is that was not renewed, each listing says
		l.touch(p)
	}
	switch {
	case len(got) == 0:
		l.missing(began, p, err)
	case !renewal:
		l.gained(ctx, began, p, got[0])
	case p.claim == nil: // it is over: a release under way looks the record up, and otherwise it is claimed again
		l.doubt = true
	default:
		p.claim.record, p.claim.renewed, p.claim.seen = got[0], began, began
		p.settle()
	}
	for _, p := range l.partitions {
		if err == nil && p.trouble.failures > 0 {
			return // other claims fail
		}
	}
	l.takeOutcome(&l.claiming, began, err)
}

// retryRenewals renews the claims that could not be renewed, now that the store answers again. What was called before
// may never be answered.
func (l *Loop) retryRenewals() {
	for _, p := range l.partitions {
		if p.claim != nil && p.trouble.failures > 0 {
			p.trouble.failures, p.retryAt = 1, time.Now()
			if p.claiming {
				p.cut()
			}
		}
	}
}

// gained begins a claim to a record that was claimed.
func (l *Loop) gained(ctx context.Context, began time.Time, p *partition, r azeventhubs.Ownership) {
	c := &Claim{
		loop: l, partition: p, id: r.PartitionID, since: time.Now(), wanted: make(chan struct{}),
		record: r, renewed: began, seen: began,
	}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	p.claim = c
	p.settle()
	l.held++
	if l.draining {
		l.begin(ctx, true, func(bounded context.Context) func() {
			err := c.Release(bounded)
			return func() { l.doubt = l.doubt || err != nil }
		})
		return
	}
	l.log(slog.LevelInfo, "eventhubs: partition taken", "partition", c.id, "held", l.held)
	l.o.Taken(c)
}

// missing takes in that a claim was not confirmed. Another consumer may have been faster; or the answer to an earlier
// call was lost, here or within the store, and the ETag is no longer that of the record. The next listing says which.
func (l *Loop) missing(began time.Time, p *partition, err error) {
	now := time.Now()
	held := p.claim != nil
	switch {
	case err != nil:
		l.doubt = true
		l.fail(&p.trouble, began, err)
		p.retryAt = now.Add(l.pause(p.trouble.failures))
		if !held {
			l.listSoon(p.retryAt)
		}
	case held:
		if p.refusals++; p.refusals > 1 && retry.Worth(p.refusals) { // the listing after the first one has said why
			l.log(slog.LevelWarn, "eventhubs: the checkpoint store refuses to renew an unchanged claim: trying again",
				"partition", p.claim.id, "refusals", p.refusals)
		}
		p.retryAt = now.Add(l.pause(p.refusals))
		l.listSoon(now)
	default:
		l.listSoon(now.Add(l.soon()))
	}
}
