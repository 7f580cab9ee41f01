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

const (
	callList = "list who owns which partition"
	callAsk  = "ask other consumers for partitions"
)

// askPartitions asks for the partition ids. If that fails, those added lately are read later.
func (l *Loop) askPartitions(ctx context.Context) {
	l.isAsking = true
	l.begin(ctx, nil, func(bounded context.Context) func() {
		ids, err := l.o.AskPartitions(bounded)
		return func() {
			l.isAsking = false
			l.askAt = time.Now().Add(askEvery)
			if err == nil {
				l.unanswered = 0
				l.setPartitions(sorted(ids))
			} else if ctx.Err() == nil {
				l.partitionsUnanswered(err)
			}
		}
	})
}

func (l *Loop) setPartitions(ids []string) {
	if len(ids) == 0 || slices.Equal(ids, l.ids) {
		return
	}
	l.o.Logger.Info("eventhubs: the partitions are known", "before", len(l.ids), "now", len(ids))
	l.ids = ids
	l.listSoon(time.Now())
}

func (l *Loop) partitionsUnanswered(err error) {
	if l.unanswered++; len(l.ids) == 0 {
		l.askAt = time.Now().Add(l.pause(l.unanswered))
	}
	if retry.Worth(l.unanswered) {
		l.o.Logger.Warn("eventhubs: the partition ids could not be asked for, and are asked for again",
			"failures", l.unanswered, "error", err)
	}
}

func (l *Loop) listClaims(ctx context.Context) ([]azeventhubs.Ownership, []handover.Request, error) {
	if l.requests != nil {
		return l.requests.ListClaims(ctx, l.o.Namespace, l.o.EventHub, l.o.ConsumerGroup)
	}
	records, err := l.o.Store.ListOwnership(ctx, l.o.Namespace, l.o.EventHub, l.o.ConsumerGroup, nil)
	return records, nil, err
}

// listed is the answer to a listing. Of records that may have changed since its moment it says nothing.
type listed struct {
	began    time.Time
	moment   uint64
	records  map[string]azeventhubs.Ownership
	requests []handover.Request
}

// list lists the records, plans, and starts what was planned.
func (l *Loop) list(ctx, claiming context.Context) {
	l.isListing, l.listAt = true, time.Time{}
	answer := listed{began: time.Now(), moment: l.nextMoment(), records: map[string]azeventhubs.Ownership{}}
	l.begin(ctx, nil, func(bounded context.Context) func() {
		records, requests, err := l.listClaims(bounded)
		for _, r := range records {
			answer.records[r.PartitionID] = r
		}
		answer.requests = requests
		return func() {
			l.isListing = false
			if ctx.Err() != nil {
				return
			}
			l.claimsMu.Lock()
			defer l.unlock()
			if err != nil {
				l.notListed(answer.began, err)
			} else {
				l.plan(ctx, claiming, answer)
			}
			l.change()
		}
	})
}

func (l *Loop) nextMoment() uint64 {
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	l.moment++
	return l.moment
}

func (l *Loop) notListed(began time.Time, err error) {
	if l.isRefused(l.hasListed, err) {
		l.refused = err
		return
	}
	l.fails(&l.listing, callList, began, err)
	l.listSoon(time.Now().Add(l.pause(l.listing.failures)))
}

// isRefused reports whether an error ends Run: nothing of its kind was ever answered, and a person has to mend it.
func (l *Loop) isRefused(answered bool, err error) bool {
	return err != nil && !answered && l.o.Refused != nil && l.o.Refused(err)
}

// plan takes a listing in, and does what follows from it. claimsMu is held, here and in what follows.
func (l *Loop) plan(ctx, claiming context.Context, answer listed) {
	now := time.Now()
	if l.listing.failures > 0 {
		l.outages = append(l.outages, outage{l.listing.since, now})
		l.works(&l.listing, callList)
	}
	l.hasListed = true
	for id, p := range l.partitions {
		if r, ok := answer.records[id]; p.claim != nil && p.touched < answer.moment {
			l.compare(p, answer.began, r, ok)
		}
	}
	for _, r := range answer.requests {
		l.noteRequest(now, r)
	}
	// Nobody but its owner has a reason to make a record anew that somebody has deleted, until it would have expired.
	for id, r := range l.known {
		if _, ok := answer.records[id]; !ok {
			r.ETag = nil
			answer.records[id] = r
		}
	}
	l.known = answer.records
	d := Plan(l.view(now, answer))
	l.round = false
	l.act(ctx, claiming, now, d)
}

// compare compares a claim with its record.
func (l *Loop) compare(p *partition, began time.Time, r azeventhubs.Ownership, listed bool) {
	c := p.claim
	switch {
	case listed && r.OwnerID != l.o.Owner:
		l.lost(p, r.OwnerID)
	case !listed: // it was deleted: make it anew
		c.record.ETag = nil
		p.retryAt = time.Now()
	case sameETag(r.ETag, c.record.ETag):
		c.seen = began
	default: // a renewal was stored, though its answer didn't say so: others reckon with its date
		c.record, c.seen = r, began
		c.renewed = later(c.renewed, sooner(r.LastModifiedTime, began)) // a clock may be ahead
		p.settle()
	}
}

func sameETag(a, b *azcore.ETag) bool { return a != nil && b != nil && *a == *b }

// noteRequest takes down what became of a request: of ours, or of one whose promise was stored though its answer was
// lost.
func (l *Loop) noteRequest(now time.Time, r handover.Request) {
	p := l.partition(r.PartitionID)
	if p.claim != nil && r.Promised > 0 && r.OwnerID == p.claim.promised {
		p.claim.want()
	}
	if r.OwnerID != l.o.Owner {
		return
	}
	if p.asked.From != r.FromOwnerID {
		p.asked = l.nowAsked(now, r)
	}
	if r.Promised > 0 && !p.asked.Promised {
		p.asked.Promised, p.asked.Until = true, now.Add(r.Promised+promiseMargin)
	}
}

// nowAsked is that a consumer is asked now. It looks at requests once in each of its UpdateIntervals, which we take
// to be as long as ours.
func (l *Loop) nowAsked(now time.Time, r handover.Request) Asked {
	return Asked{From: r.FromOwnerID, Until: now.Add(2 * l.o.UpdateInterval)}
}

func (l *Loop) view(now time.Time, answer listed) View {
	known := make(map[string]Known, len(l.partitions))
	for id, p := range l.partitions {
		k := Known{Claiming: p.claiming, Asked: p.asked}
		switch {
		case p.claim != nil:
			k.Held, k.Claiming, k.Promised = true, false, p.claim.granting || p.claim.isWanted()
		case now.Add(l.soon()).Before(p.retryAt): // those almost due are claimed with the others
			k.Skip = true
			l.listSoon(p.retryAt)
		default:
			k.Skip = !p.claiming && (p.releasing || p.touched > answer.moment)
		}
		known[id] = k
	}
	return View{
		Now: now, Partitions: l.ids, Records: l.forgive(slices.Collect(maps.Values(answer.records)), now),
		Group: azeventhubs.Ownership{
			FullyQualifiedNamespace: l.o.Namespace, EventHubName: l.o.EventHub, ConsumerGroup: l.o.ConsumerGroup,
			OwnerID: l.o.Owner,
		},
		Requests: answer.requests, CanAsk: l.requests != nil, Known: known, Draining: l.draining, Round: l.round,
		Strategy: l.o.Strategy, Interval: l.o.UpdateInterval, Expiration: l.o.Expiration,
		Promise: max(l.o.DrainTimeout, 0) + promiseMargin, Rand: l.rand,
	}
}

// act starts what was planned.
func (l *Loop) act(ctx, claiming context.Context, now time.Time, d Decision) {
	wants := make([]want, len(d.Claim))
	for i, r := range d.Claim {
		wants[i] = want{record: r}
	}
	l.claim(claiming, wants)
	asked := map[string]Asked{}
	for _, id := range d.Pending {
		asked[id] = l.partition(id).asked
		l.listSoon(now.Add(l.soon()))
	}
	for _, r := range d.Ask {
		if asked[r.PartitionID].From != r.FromOwnerID {
			asked[r.PartitionID] = l.nowAsked(now, r)
		}
		l.write(ctx, r, l.requests.PutRequest, nil)
	}
	for id, p := range l.partitions {
		p.asked = asked[id]
		if p.claim == nil && !p.claiming && !now.Before(p.retryAt) {
			p.settle() // nor do we want it any more
		}
	}
	for _, r := range d.Grant {
		l.grant(ctx, r)
	}
	for _, r := range d.Delete {
		l.write(ctx, r, l.requests.DeleteRequest, nil)
	}
}

// grant promises a partition to whoever asks for it, and then tells its reader.
func (l *Loop) grant(ctx context.Context, r handover.Request) {
	c := l.partition(r.PartitionID).claim
	granting := l.write(ctx, r, l.requests.PutRequest, func(err error) {
		if c.granting = false; err == nil {
			c.want()
		}
	})
	if granting {
		c.promised, c.granting = r.OwnerID, true
	}
}

// write writes a request, or deletes it, unless such a call is under way. If it fails, the next listing shows what is
// still to be done. done is called with claimsMu held.
func (l *Loop) write(
	ctx context.Context, r handover.Request, call func(context.Context, handover.Request) error, done func(error),
) bool {
	p := l.partition(r.PartitionID)
	if p.writing {
		return false
	}
	p.writing = true
	began := time.Now()
	l.begin(ctx, l.slots, func(bounded context.Context) func() {
		err := call(bounded, r)
		return func() {
			l.claimsMu.Lock()
			defer l.unlock()
			p.writing = false
			if done != nil {
				done(err)
			}
			if err == nil {
				l.works(&l.asking, callAsk)
			} else if ctx.Err() == nil {
				l.fails(&l.asking, callAsk, began, err)
			}
		}
	})
	return true
}
