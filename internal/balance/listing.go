package balance

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// askPartitions asks for the partition ids. If that fails, those added lately are read later. stateMu is held, here
// and in what follows.
func (l *Loop) askPartitions(ctx context.Context) {
	l.askAt = time.Time{}
	l.begin(ctx, false, func(bounded context.Context) func() {
		ids, err := l.o.AskPartitions(bounded)
		return func() {
			now := time.Now()
			l.askAt = now.Add(askEvery)
			if err != nil {
				if l.unanswered++; retry.Worth(l.unanswered) && !l.ending {
					l.log(slog.LevelWarn, "eventhubs: the partition ids are unknown: asking again",
						"failures", l.unanswered, "error", err)
				}
				return
			}
			l.unanswered = 0
			if ids = sorted(ids); len(ids) > 0 && !slices.Equal(ids, l.ids) {
				l.log(slog.LevelInfo, "eventhubs: the partitions are known", "before", len(l.ids), "now", len(ids))
				l.ids = ids
				l.listSoon(now)
			}
		}
	})
}

// listClaims lists the records. stateMu is not held.
func (l *Loop) listClaims(ctx context.Context) ([]azeventhubs.Ownership, []handover.Request, error) {
	g := l.o.Group
	if l.requests != nil {
		return l.requests.ListClaims(ctx, g.FullyQualifiedNamespace, g.EventHubName, g.ConsumerGroup)
	}
	records, err := l.o.Store.ListOwnership(ctx, g.FullyQualifiedNamespace, g.EventHubName, g.ConsumerGroup, nil)
	return records, nil, err
}

// list lists the records, plans, and starts what was planned.
func (l *Loop) list(ctx context.Context) {
	l.isListing, l.listAt = true, time.Time{}
	l.moment++
	began, moment := time.Now(), l.moment
	l.begin(ctx, false, func(bounded context.Context) func() {
		records, requests, err := l.listClaims(bounded)
		return func() {
			l.isListing = false
			if err == nil && !l.ending {
				l.listed(ctx, began, moment, records, requests) // which still knows of an outage
			}
			if l.takeOutcome(&l.listing, began, err) {
				l.listSoon(time.Now().Add(l.pause(l.listing.trouble.failures)))
			}
		}
	})
}

// listed takes a listing in, and does what follows from it. It says nothing of records that may have changed since
// its moment.
func (l *Loop) listed(
	ctx context.Context, began time.Time, moment uint64,
	list []azeventhubs.Ownership, requests []handover.Request,
) {
	records := make(map[string]azeventhubs.Ownership, len(list))
	for _, r := range list {
		records[r.PartitionID] = r
	}
	for id, p := range l.partitions {
		if r, ok := records[id]; p.claim != nil && p.touched < moment {
			l.compare(p.claim, began, r, ok)
		}
	}
	// A record that somebody has deleted is left to its owner until it would have expired.
	for id, r := range l.known {
		if _, ok := records[id]; !ok {
			r.ETag = nil
			records[id] = r
		}
	}
	now := time.Now()
	l.forgive(records, now)
	l.known = records
	asked := make(map[string]handover.Request, len(requests))
	for _, r := range requests {
		asked[r.PartitionID] = r
		c := l.partition(r.PartitionID).claim
		if c != nil && r.Promised > 0 && r.OwnerID == c.promised { // it was stored, though its answer may be lost
			c.want()
		}
	}
	v := l.view(now, moment)
	v.Records, v.Requests = records, asked
	l.round, l.planned = false, moment
	l.act(ctx, now, Plan(v))
}

// compare compares a claim with its record.
func (l *Loop) compare(c *Claim, began time.Time, r azeventhubs.Ownership, listed bool) {
	switch {
	case listed && r.OwnerID != l.o.Group.OwnerID:
		l.lost(c, r.OwnerID)
	case !listed: // it was deleted: store it again
		c.record.ETag = nil
		c.partition.retryAt = time.Now()
	case sameETag(r.ETag, c.record.ETag):
		c.seen = began
	default: // a renewal was stored, though its answer didn't say so: others reckon with its date
		c.record, c.seen = r, began
		c.renewed = later(c.renewed, sooner(r.LastModifiedTime, began)) // a clock may be ahead
		c.partition.settle()
	}
}

func sameETag(a, b *azcore.ETag) bool { return a != nil && b != nil && *a == *b }

// view is what we know besides a listing.
func (l *Loop) view(now time.Time, moment uint64) View {
	known := make(map[string]Known, len(l.partitions))
	for id, p := range l.partitions {
		k := Known{Claiming: p.claiming, Asked: p.asked}
		switch {
		case p.claim != nil:
			k.Held, k.Claiming, k.Promised = true, false, p.writing || p.claim.isWanted
		case now.Add(l.soon()).Before(p.retryAt): // what is almost due is claimed now
			k.Skip = true
			l.listSoon(p.retryAt)
		default:
			k.Skip = !p.claiming && (p.releasing || p.touched > moment)
		}
		known[id] = k
	}
	// If requests can't be written, partitions are taken as from an owner that does not answer.
	asking := l.asking.trouble
	canAsk := l.requests != nil && (asking.failures == 0 || now.Sub(asking.since) <= 2*l.o.UpdateInterval)
	return View{
		Now: now, Group: l.o.Group, Partitions: l.ids, CanAsk: canAsk, Known: known, Draining: l.draining, Round: l.round,
		Strategy: l.o.Strategy, Interval: l.o.UpdateInterval, Expiration: l.o.Expiration,
		Promise: max(l.o.DrainTimeout, 0) + promiseMargin, Rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
}

// act starts what was planned.
func (l *Loop) act(ctx context.Context, now time.Time, d Decision) {
	for _, r := range d.Claim {
		l.claim(ctx, r, false)
	}
	for _, p := range l.partitions {
		p.asked = ""
		if p.claim == nil && !p.claiming && !now.Before(p.retryAt) {
			p.settle() // nor do we want it any more
		}
	}
	for id, from := range d.Asked {
		l.partition(id).asked = from
		l.listSoon(now.Add(l.soon()))
	}
	for _, r := range d.Ask {
		l.write(ctx, r, l.requests.PutRequest, nil)
	}
	for _, r := range d.Grant {
		c := l.partition(r.PartitionID).claim
		c.promised = r.OwnerID
		l.write(ctx, r, l.requests.PutRequest, c.want)
	}
	for _, r := range d.Delete {
		l.write(ctx, r, l.requests.DeleteRequest, nil)
	}
}

// write writes a request, or deletes it, and then calls done. It does nothing if such a call is under way, or has ended
// since the listing was begun that it follows from: it could replace a promise. The next listing shows what is still to
// be done.
func (l *Loop) write(
	ctx context.Context, r handover.Request, call func(context.Context, handover.Request) error, done func(),
) {
	p := l.partition(r.PartitionID)
	if p.writing || p.wrote > l.planned {
		return
	}
	p.writing = true
	began := time.Now()
	l.begin(ctx, true, func(bounded context.Context) func() {
		err := call(bounded, r)
		return func() {
			p.writing = false
			l.moment++
			p.wrote = l.moment
			if !l.takeOutcome(&l.asking, began, err) && done != nil {
				done()
			}
		}
	})
}
