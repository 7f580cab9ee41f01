package balance

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// want is a record to claim, or to renew if it is of a claim.
type want struct {
	record azeventhubs.Ownership
	claim  *Claim
}

// renew renews the claims that are due, a third of an Expiration after they were renewed, and returns when the next are.
// Those that would be due within half an UpdateInterval are renewed with them, so that they stay together.
func (l *Loop) renew(claiming context.Context, now time.Time) (next time.Time) {
	l.claimsMu.Lock()
	defer l.unlock()
	early := min(l.o.UpdateInterval/2, l.o.Expiration/12)
	var due, almost []want
	for id, c := range l.claims {
		p := l.partition(id)
		at := c.renewed.Add(l.o.Expiration / 3)
		if !p.retryAt.IsZero() {
			at = p.retryAt
		}
		switch w := (want{c.record, c}); {
		case p.claiming:
		case !now.Before(at):
			due = append(due, w)
		case !now.Add(early).Before(at) && p.retryAt.IsZero():
			almost = append(almost, w)
			next = sooner(next, at)
		default:
			next = sooner(next, at)
		}
	}
	if len(due) > 0 {
		l.claim(claiming, append(due, almost...))
	}
	return next
}

// claim claims records in one call, except those whose last claim has failed: each of those has a call of its own, so that
// one blob that can't be claimed holds up no other. The SDK's own store ends a call at the first failure, and says
// nothing of those it has claimed before that (azeventhubs, checkpoints/blob_store.go). claimsMu is held.
func (l *Loop) claim(claiming context.Context, wants []want) {
	var together []want
	for _, w := range wants {
		p := l.partition(w.record.PartitionID)
		p.claiming = true
		if p.trouble.failures > 0 {
			l.claimTogether(claiming, []want{w}, l.slots)
		} else {
			together = append(together, w)
		}
	}
	if len(together) > 0 {
		l.claimTogether(claiming, together, nil)
	}
}

func (l *Loop) claimTogether(claiming context.Context, wants []want, slots chan struct{}) {
	records := make([]azeventhubs.Ownership, len(wants))
	for i, w := range wants {
		records[i] = w.record
		records[i].OwnerID = l.o.Owner
	}
	began := time.Now()
	l.begin(claiming, slots, func(bounded context.Context) func() {
		got, err := l.o.Store.ClaimOwnership(bounded, records, nil)
		return func() { l.claimed(claiming, began, wants, got, err) }
	})
}

// claimed takes in the answer to a claim. There may be both records and an error.
func (l *Loop) claimed(claiming context.Context, began time.Time, wants []want, got []azeventhubs.Ownership, err error) {
	l.claimsMu.Lock()
	defer l.unlock()
	now := time.Now()
	if len(got) > 0 {
		if o, ok := l.writeOutage(now); ok {
			l.outages = append(l.outages, o)
		}
	}
	l.hasClaimed = l.hasClaimed || err == nil || len(got) > 0
	switch {
	case err == nil:
	case l.isRefused(l.hasClaimed, err):
		l.refused = err
	case claiming.Err() == nil:
		l.fails(&l.claiming, "claim partitions", began, err)
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
			l.succeeded(claiming, began, w, p, r)
		} else {
			l.missing(began, now, w, p, err)
		}
	}
	l.worksIfAll()
	l.change()
}

// succeeded takes in a record that was claimed or renewed.
func (l *Loop) succeeded(claiming context.Context, began time.Time, w want, p *partition, r azeventhubs.Ownership) {
	p.trouble, p.refusals, p.retryAt, p.doubt = trouble{}, 0, time.Time{}, time.Time{}
	switch c := w.claim; {
	case c != nil && !c.over:
		c.record, c.renewed, c.seen = r, began, began
	case c != nil: // it ended meanwhile: whoever releases it looks the record up; otherwise it is claimed anew
		p.doubt = began
	case l.draining:
		l.giveBack(claiming, p, r)
	default:
		l.take(began, r)
	}
}

// take makes a partition ours.
func (l *Loop) take(began time.Time, r azeventhubs.Ownership) {
	c := &Claim{
		loop: l, id: r.PartitionID, since: time.Now(), wanted: make(chan struct{}),
		record: r, renewed: began, seen: began,
	}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	l.claims[c.id] = c
	held := len(l.claims)
	l.note(func() {
		l.o.Logger.Info("eventhubs: partition taken", "partition", c.id, "held", held)
		l.o.Taken(c)
	})
}

// giveBack gives back what was claimed too late.
func (l *Loop) giveBack(claiming context.Context, p *partition, r azeventhubs.Ownership) {
	p.releasing = true
	r.OwnerID = ""
	l.begin(claiming, l.slots, func(bounded context.Context) func() {
		began := time.Now()
		_, err := l.o.Store.ClaimOwnership(bounded, []azeventhubs.Ownership{r}, nil)
		return func() {
			l.claimsMu.Lock()
			defer l.unlock()
			p.releasing = false
			l.touch(p)
			if err != nil {
				p.doubt = began // Run gives it back at its end
			}
		}
	})
}

// missing takes in that the answer to a claim doesn't have a record. That may be because the answer to an earlier call was
// lost, here or within the store, and the ETag is no longer that of the record. The next listing tells.
func (l *Loop) missing(began, now time.Time, w want, p *partition, err error) {
	if p.doubt.IsZero() {
		p.doubt = began
	}
	held := w.claim != nil && !w.claim.over
	switch {
	case err != nil:
		p.trouble.failed(began, now, err, l.gap())
		p.retryAt = now.Add(l.pause(p.trouble.failures))
		if !held {
			l.listSoon(p.retryAt)
		}
	case held:
		p.refusals++
		p.retryAt = now.Add(l.pause(p.refusals))
		l.listSoon(now)
	default: // another consumer was faster
		l.listSoon(now.Add(l.soon()))
	}
}

// worksIfAll notes that claims work again once none fails any more.
func (l *Loop) worksIfAll() {
	for _, p := range l.partitions {
		if p.trouble.failures > 0 {
			return
		}
	}
	l.works(&l.claiming, "claim partitions")
}
