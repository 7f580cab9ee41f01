package balance

import (
	"context"
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

const callClaim = "claim partitions"

// want is a record to claim, or to renew if there is a claim.
type want struct {
	record azeventhubs.Ownership
	claim  *Claim
}

// renewAfter is how old a claim is when it is renewed, in percent of its Expiration. Two calls that hang, of a sixth
// each, are over before it expires then. Each renewal is a write that costs money: at a third, ten minutes of 32
// partitions cost 230 more.
const renewAfter = 45

// renew renews the claims that are due, and returns when the next are. A claim is due by its age, and not only in
// rounds, so that no listing holds it up. Those that are due soon are renewed in the same call.
func (l *Loop) renew(claiming context.Context, now time.Time) (next time.Time) {
	l.claimsMu.Lock()
	defer l.unlock()
	var due, almost []want
	for _, p := range l.partitions {
		if p.claim == nil || p.claiming {
			continue
		}
		at, early := p.claim.renewed.Add(l.o.Expiration*renewAfter/100), min(l.o.UpdateInterval/2, l.o.Expiration/12)
		if !p.retryAt.IsZero() {
			at, early = p.retryAt, 0
		}
		switch w := (want{p.claim.record, p.claim}); {
		case !now.Before(at):
			due = append(due, w)
			continue
		case !now.Add(early).Before(at):
			almost = append(almost, w)
		}
		next = sooner(next, at)
	}
	if len(due) > 0 {
		l.claim(claiming, append(due, almost...))
	}
	return next
}

// claim claims records in one call, except those whose last claims have failed: each of these has a call of its own,
// so that one blob that can't be written holds up no other. The SDK's own store ends a call at the first failure, and
// says nothing of those it has claimed before (azeventhubs, checkpoints/blob_store.go). claimsMu is held.
func (l *Loop) claim(claiming context.Context, wants []want) {
	var together []want
	for _, w := range wants {
		p := l.partition(w.record.PartitionID)
		p.claiming = true
		if p.trouble.failures > 0 {
			l.claimInOneCall(claiming, l.slots, []want{w})
		} else {
			together = append(together, w)
		}
	}
	if len(together) > 0 {
		l.claimInOneCall(claiming, nil, together)
	}
}

func (l *Loop) claimInOneCall(claiming context.Context, slots chan struct{}, wants []want) {
	records := make([]azeventhubs.Ownership, len(wants))
	for i, w := range wants {
		records[i] = w.record
	}
	began := time.Now()
	l.begin(claiming, slots, func(bounded context.Context) func() {
		got, err := l.o.Store.ClaimOwnership(bounded, records, nil)
		return func() { l.claimed(claiming, began, wants, got, err) }
	})
}

// claimed takes in the answer to a claim. It may have both records and an error.
func (l *Loop) claimed(
	claiming context.Context, began time.Time, wants []want, got []azeventhubs.Ownership, err error,
) {
	l.claimsMu.Lock()
	defer l.unlock()
	l.hasClaimed = l.hasClaimed || err == nil || len(got) > 0
	if l.isRefused(l.hasClaimed, err) {
		l.refused = err
	} else if err != nil && claiming.Err() == nil {
		l.fails(&l.claiming, callClaim, began, err)
	}
	if since, ok := l.writesFail(); ok && len(got) > 0 {
		l.outages = append(l.outages, outage{since, time.Now()})
	}
	records := make(map[string]azeventhubs.Ownership, len(got))
	for _, r := range got {
		records[r.PartitionID] = r
	}
	for _, w := range wants {
		p := l.partition(w.record.PartitionID)
		p.claiming = false
		l.touch(p)
		if r, ok := records[w.record.PartitionID]; ok {
			l.gained(claiming, began, w, p, r)
		} else {
			l.missing(began, w, p, err)
		}
	}
	failing := false
	for _, p := range l.partitions {
		failing = failing || p.trouble.failures > 0
	}
	if !failing {
		l.works(&l.claiming, callClaim)
	}
	l.change()
}

// gained takes in that a record was claimed or renewed.
func (l *Loop) gained(claiming context.Context, began time.Time, w want, p *partition, r azeventhubs.Ownership) {
	p.settle()
	switch {
	case w.claim != nil && w.claim == p.claim:
		p.claim.record, p.claim.renewed, p.claim.seen = r, began, began
		return
	case w.claim != nil: // it is over: a release under way looks the record up, and otherwise it is claimed anew
		l.doubt = true
		return
	}
	c := &Claim{
		loop: l, id: r.PartitionID, since: time.Now(), wanted: make(chan struct{}),
		record: r, renewed: began, seen: began,
	}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	p.claim = c
	l.held++
	if l.draining {
		l.begin(claiming, l.slots, func(bounded context.Context) func() {
			err := c.Release(bounded)
			return func() { l.doubt = l.doubt || err != nil }
		})
		return
	}
	l.log(slog.LevelInfo, "eventhubs: partition taken", "partition", c.id, "held", l.held)
	l.taking++
	l.note(func() {
		l.o.Taken(c)
		l.claimsMu.Lock()
		defer l.claimsMu.Unlock()
		l.taking--
		l.change()
	})
}

// missing takes in that the answer to a claim doesn't have a record. Another consumer may have been faster; or the
// answer to an earlier call was lost, here or within the store, and the ETag is no longer that of the record. The
// next listing tells.
func (l *Loop) missing(began time.Time, w want, p *partition, err error) {
	now := time.Now()
	held := w.claim != nil && w.claim == p.claim
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
				"partition", w.record.PartitionID, "refusals", p.refusals)
		}
		p.retryAt = now.Add(l.pause(p.refusals))
		l.listSoon(now)
	default:
		l.listSoon(now.Add(l.soon()))
	}
}
