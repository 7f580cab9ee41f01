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
	var ready []azeventhubs.Ownership
	for _, p := range l.partitions {
		if p.claim == nil || p.claiming {
			continue
		}
		at := p.retryAt
		if at.IsZero() {
			at = p.claim.renewed.Add(l.o.Expiration * renewAfter / 100)
		}
		if due(now, at) {
			ready = append(ready, p.claim.record)
		} else {
			next = sooner(next, at)
		}
	}
	l.claim(ctx, true, ready)
	return next
}

// claim claims records, or renews the claims to them, in one call, except those whose last claims have failed: each
// of these has a call of its own, so that one blob that can't be written holds up no other. The SDK's own store ends a
// call at the first failure, and says nothing of those it has claimed before (azeventhubs, checkpoints/blob_store.go).
func (l *Loop) claim(ctx context.Context, renewal bool, records []azeventhubs.Ownership) {
	call := func(records []azeventhubs.Ownership, single bool) {
		began := time.Now()
		l.begin(ctx, single, func(bounded context.Context) func() {
			got, err := l.o.Store.ClaimOwnership(bounded, records, nil)
			return func() { l.claimed(ctx, began, renewal, records, byPartition(got), err) }
		})
	}
	var together []azeventhubs.Ownership
	for _, r := range records {
		p := l.partition(r.PartitionID)
		p.claiming = true
		if p.trouble.failures > 0 {
			call([]azeventhubs.Ownership{r}, true)
		} else {
			together = append(together, r)
		}
	}
	if len(together) > 0 {
		call(together, false)
	}
}

func byPartition(records []azeventhubs.Ownership) map[string]azeventhubs.Ownership {
	by := make(map[string]azeventhubs.Ownership, len(records))
	for _, r := range records {
		by[r.PartitionID] = r
	}
	return by
}

// claimed takes in the answer to a claim. It may have both records and an error.
func (l *Loop) claimed(
	ctx context.Context, began time.Time, renewal bool,
	wanted []azeventhubs.Ownership, got map[string]azeventhubs.Ownership, err error,
) {
	for _, w := range wanted {
		p := l.partition(w.PartitionID)
		p.claiming = false
		r, ok := got[w.PartitionID]
		if ok || p.claim == nil { // whose a claim is that was not renewed, each listing says
			l.touch(p)
		}
		switch {
		case !ok:
			l.missing(began, p, err)
		case !renewal:
			l.gained(ctx, began, p, r)
		case p.claim == nil: // it is over: a release under way looks the record up, and otherwise it is claimed again
			l.doubt = true
		default:
			p.claim.record, p.claim.renewed, p.claim.seen = r, began, began
			p.settle()
		}
	}
	l.claiming.answered = l.claiming.answered || len(got) > 0
	for _, p := range l.partitions {
		if err == nil && p.trouble.failures > 0 {
			return // the claims of others fail
		}
	}
	l.takeOutcome(&l.claiming, began, err)
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

// missing takes in that the answer to a claim doesn't have a record. Another consumer may have been faster; or the
// answer to an earlier call was lost, here or within the store, and the ETag is no longer that of the record. The
// next listing tells.
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
