package balance

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// fails notes that a call has failed, and logs it at growing intervals. claimsMu is held.
func (l *Loop) fails(t *trouble, call string, began time.Time, err error) {
	t.failed(began, time.Now(), err, l.gap())
	if n := t.failures; retry.Worth(n) {
		l.note(func() {
			l.o.Logger.Warn("eventhubs: the checkpoint store fails, and is called again: reading continues meanwhile",
				"call", call, "failures", n, "error", err)
		})
	}
}

// works notes that a call has succeeded. claimsMu is held.
func (l *Loop) works(t *trouble, call string) {
	if t.failures > 0 {
		after := time.Since(t.since).Round(time.Millisecond).String()
		l.note(func() { l.o.Logger.Info("eventhubs: the checkpoint store answers again", "call", call, "after", after) })
	}
	*t = trouble{}
}

// isRefused reports whether an error ends Run: nothing of its kind was ever answered, and a person has to mend it.
func (l *Loop) isRefused(answered bool, err error) bool {
	return !answered && l.o.Refused != nil && l.o.Refused(err)
}

// askPartitions asks for the partition ids. A failure only means that those added lately are read later.
func (l *Loop) askPartitions(ctx context.Context) {
	l.asking = true
	began := time.Now()
	l.begin(ctx, nil, func(bounded context.Context) func() {
		ids, err := l.o.AskPartitions(bounded)
		return func() {
			l.asking = false
			if ctx.Err() == nil {
				l.partitionsAnswered(began, sorted(ids), err)
			}
		}
	})
}

func (l *Loop) partitionsAnswered(began time.Time, ids []string, err error) {
	now := time.Now()
	l.askAt = now.Add(askEvery)
	switch {
	case err != nil:
		l.questions.failed(began, now, err, 2*askEvery)
		if len(l.ids) == 0 {
			l.askAt = now.Add(l.pause(l.questions.failures))
		}
		if retry.Worth(l.questions.failures) {
			l.o.Logger.Warn("eventhubs: the partition ids could not be asked for, and are asked for again",
				"failures", l.questions.failures, "again_in", l.askAt.Sub(now).String(), "error", err)
		}
	case len(ids) > 0 && !slices.Equal(ids, l.ids):
		if len(l.ids) > 0 {
			l.o.Logger.Info("eventhubs: the partitions have changed", "before", len(l.ids), "now", len(ids))
		}
		l.ids = ids
		l.listSoon(now)
	}
	if err == nil {
		l.questions = trouble{}
	}
}

// list lists the records, and plans.
func (l *Loop) list(ctx, claiming context.Context) {
	l.isListing, l.listAt = true, time.Time{}
	began, moment := time.Now(), l.nextMoment()
	l.begin(ctx, nil, func(bounded context.Context) func() {
		records, requests, err := l.listClaims(bounded)
		return func() {
			l.isListing = false
			switch {
			case ctx.Err() != nil:
			case err != nil:
				l.notListed(began, err)
			default:
				l.listed(ctx, claiming, began, moment, records, requests)
			}
		}
	})
}

func (l *Loop) listClaims(ctx context.Context) ([]azeventhubs.Ownership, []handover.Request, error) {
	if l.requests != nil {
		return l.requests.ListClaims(ctx, l.o.Namespace, l.o.EventHub, l.o.ConsumerGroup)
	}
	records, err := l.o.Store.ListOwnership(ctx, l.o.Namespace, l.o.EventHub, l.o.ConsumerGroup, nil)
	return records, nil, err
}

func (l *Loop) nextMoment() uint64 {
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	l.moment++
	return l.moment
}

func (l *Loop) notListed(began time.Time, err error) {
	l.claimsMu.Lock()
	defer l.unlock()
	if l.isRefused(l.hasListed, err) {
		l.refused = err
		return
	}
	l.fails(&l.listing, "list who owns which partition", began, err)
	l.listSoon(time.Now().Add(l.pause(l.listing.failures)))
	l.change()
}

// listed takes in a listing that began at a moment, plans, and starts what was planned.
func (l *Loop) listed(
	ctx, claiming context.Context, began time.Time, moment uint64, records []azeventhubs.Ownership, requests []handover.Request,
) {
	l.claimsMu.Lock()
	defer l.unlock()
	now := time.Now()
	if l.listing.failures > 0 {
		l.outages = append(l.outages, outage{l.listing.since, now})
		l.works(&l.listing, "list who owns which partition")
	}
	l.hasListed = true
	l.reconcile(began, moment, records)
	l.noteRequests(now, requests)
	records = l.withVanished(records)
	view := l.view(now, moment, l.forgive(records, now), requests)
	d := Plan(view)
	l.round = false
	l.act(ctx, claiming, now, d)
	for id, p := range l.partitions { // what we no longer try to claim is no trouble
		if l.claims[id] == nil && !p.claiming && !view.Skip[id] {
			p.trouble = trouble{}
		}
	}
	l.change()
}

// withVanished returns the records listed, and those that were there before: somebody has deleted them, and their owners make
// them anew, unless they are dead.
func (l *Loop) withVanished(records []azeventhubs.Ownership) []azeventhubs.Ownership {
	known := make(map[string]azeventhubs.Ownership, len(records))
	for _, r := range records {
		known[r.PartitionID] = r
		delete(l.known, r.PartitionID)
	}
	for id, r := range l.known {
		r.ETag = nil
		known[id] = r
	}
	l.known = known
	return slices.Collect(maps.Values(known))
}

// reconcile compares what we hold with what the store says. A record whose last change this listing may not have seen says
// nothing.
func (l *Loop) reconcile(began time.Time, moment uint64, records []azeventhubs.Ownership) {
	listed := make(map[string]azeventhubs.Ownership, len(records))
	for _, r := range records {
		listed[r.PartitionID] = r
	}
	for id, p := range l.partitions {
		if p.touched > moment {
			continue
		}
		if c := l.claims[id]; c != nil {
			r, ok := listed[id]
			l.compare(c, p, began, r, ok)
		}
		if !p.claiming {
			p.doubt = time.Time{}
		}
	}
}

func (l *Loop) compare(c *Claim, p *partition, began time.Time, r azeventhubs.Ownership, listed bool) {
	switch {
	case listed && r.OwnerID != l.o.Owner:
		l.lost(c, r.OwnerID)
	case p.claiming: // the record may be of before or after that
		if listed {
			c.seen = began
		}
	case !listed: // its blob was deleted, and nobody has claimed it since: claim it as if for the first time
		c.record.ETag = nil
		p.retryAt, p.refusals = time.Now(), p.refusals+1
	case sameETag(r.ETag, c.record.ETag):
		c.seen = began
	default: // a claim of ours was stored, though its answer didn't say so
		c.seen = began
		c.renewed = later(c.renewed, p.doubt)
		c.record = r
		p.trouble, p.refusals, p.retryAt = trouble{}, 0, time.Time{}
	}
}

func sameETag(a, b *azcore.ETag) bool { return a != nil && b != nil && *a == *b }

// noteRequests takes down what became of requests: ours, and promises of ours whose answers were lost.
func (l *Loop) noteRequests(now time.Time, requests []handover.Request) {
	for _, r := range requests {
		if c := l.claims[r.PartitionID]; c != nil && r.Promised > 0 && r.OwnerID == c.promised {
			l.want(c)
		}
		if r.OwnerID != l.o.Owner {
			continue
		}
		a, known := l.asked[r.PartitionID]
		if !known || a.From != r.FromOwnerID {
			a = Asked{From: r.FromOwnerID, Until: now.Add(2 * l.o.UpdateInterval)}
		}
		if r.Promised > 0 && !a.Promised {
			a.Promised, a.Until = true, now.Add(r.Promised+promiseMargin)
		}
		l.asked[r.PartitionID] = a
	}
}

// want tells the reader of a partition to hand it over. claimsMu is held.
func (l *Loop) want(c *Claim) {
	if !c.isWanted() {
		close(c.wanted)
	}
}

func (c *Claim) isWanted() bool {
	select {
	case <-c.wanted:
		return true
	default:
		return false
	}
}

func (l *Loop) view(now time.Time, moment uint64, records []azeventhubs.Ownership, requests []handover.Request) View {
	held, skip := map[string]Held{}, map[string]bool{}
	for id, p := range l.partitions {
		switch c := l.claims[id]; {
		case c != nil:
			held[id] = Held{Promised: c.granting || c.isWanted()}
		case p.claiming:
			held[id] = Held{Claiming: true}
		case now.Add(l.soon()).Before(p.retryAt): // those almost due are claimed with the others
			l.listSoon(p.retryAt)
			skip[id] = true
		case p.touched > moment, p.releasing:
			skip[id] = true
		}
	}
	return View{
		Now: now, Owner: l.o.Owner, Partitions: l.ids, Records: records, Requests: requests, CanAsk: l.requests != nil,
		Group: azeventhubs.Ownership{
			FullyQualifiedNamespace: l.o.Namespace, EventHubName: l.o.EventHub, ConsumerGroup: l.o.ConsumerGroup,
		},
		Held: held, Skip: skip, Asked: l.asked, Draining: l.draining, Strategy: l.o.Strategy, Round: l.round,
		Interval: l.o.UpdateInterval, Expiration: l.o.Expiration, Promise: l.o.DrainTimeout + promiseMargin, Rand: l.rand,
	}
}

// act starts what was planned.
func (l *Loop) act(ctx, claiming context.Context, now time.Time, d Decision) {
	var wants []want
	for _, r := range d.Claim {
		wants = append(wants, want{record: r})
	}
	l.claim(claiming, wants)
	asked := make(map[string]Asked, len(d.Pending))
	for _, id := range d.Pending {
		asked[id] = l.asked[id]
	}
	for _, r := range d.Ask {
		if a := asked[r.PartitionID]; a.From != r.FromOwnerID {
			asked[r.PartitionID] = Asked{From: r.FromOwnerID, Until: now.Add(2 * l.o.UpdateInterval)}
		}
		l.write(ctx, r, l.requests.PutRequest, nil)
	}
	l.asked = asked
	if len(asked) > 0 {
		l.listSoon(now.Add(l.soon()))
	}
	for _, r := range d.Grant {
		c := l.claims[r.PartitionID]
		if l.writing[c.id] {
			continue
		}
		c.promised, c.granting = r.OwnerID, true
		l.write(ctx, r, l.requests.PutRequest, func(err error) {
			c.granting = false
			if err == nil {
				l.want(c)
			}
		})
	}
	for _, r := range d.Delete {
		l.write(ctx, r, l.requests.DeleteRequest, nil)
	}
}

// write writes a request, or deletes one. If that fails, the next listing shows what is still to be done. done is called
// with claimsMu held.
func (l *Loop) write(
	ctx context.Context, r handover.Request, call func(context.Context, handover.Request) error, done func(error),
) {
	if l.writing[r.PartitionID] {
		return
	}
	l.writing[r.PartitionID] = true
	began := time.Now()
	l.begin(ctx, l.slots, func(bounded context.Context) func() {
		err := call(bounded, r)
		return func() {
			l.claimsMu.Lock()
			defer l.unlock()
			delete(l.writing, r.PartitionID)
			if done != nil {
				done(err)
			}
			switch {
			case ctx.Err() != nil:
			case err != nil:
				l.fails(&l.handovers, "ask another consumer for a partition", began, err)
			default:
				l.works(&l.handovers, "ask another consumer for a partition")
			}
		}
	})
}
