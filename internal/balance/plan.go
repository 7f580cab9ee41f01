package balance

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// View is what a plan is made from: what one listing of the store said, and what this consumer knows besides.
type View struct {
	Now   time.Time
	Owner string // our name
	// Group has the names of the namespace, event hub and consumer group, for records of partitions never claimed.
	Group      azeventhubs.Ownership
	Partitions []string
	Records    []azeventhubs.Ownership
	Requests   []handover.Request
	// CanAsk says that the store keeps requests. Otherwise partitions are taken at once.
	CanAsk bool
	// Held are the partitions that are ours, or are being claimed, whatever their records say.
	Held map[string]Held
	// Skip are partitions whose records may have changed since they were listed, or whose claims wait after a failure.
	Skip map[string]bool
	// Asked are the partitions that we have asked for.
	Asked      map[string]Asked
	Draining   bool
	Strategy   azeventhubs.ProcessorStrategy
	Round      bool // the balanced strategy may take one more partition
	Interval   time.Duration
	Expiration time.Duration
	Promise    time.Duration // what we promise to whom asks us
	Rand       *rand.Rand
}

// Held is a partition of ours.
type Held struct {
	Claiming bool // the claim is under way
	Promised bool // we have promised it to another consumer
}

// Asked is a partition that we have asked for.
type Asked struct {
	From     string
	Promised bool      // its owner has promised it
	Until    time.Time // when to take it, whatever its owner does
}

// Decision is what to do.
type Decision struct {
	Claim   []azeventhubs.Ownership // with our name, under the ETags listed
	Ask     []handover.Request
	Grant   []handover.Request // with our promise, under the ETags listed
	Delete  []handover.Request // likewise
	Pending []string           // partitions that we have asked for, and go on waiting for
}

// Plan decides what to do about partitions that are not ours, and about those that others ask us for. It depends on
// its View alone.
func Plan(v View) Decision {
	p := newPlan(v)
	p.grant()
	if !v.Draining {
		p.claimOurs()
		p.awaitAsked()
		p.claimFree()
		p.takeFromOthers()
	}
	p.tidy()
	return p.Decision
}

// plan is a plan being made.
type plan struct {
	View
	Decision
	records  map[string]azeventhubs.Ownership
	requests map[string]handover.Request
	holders  map[string]string // who holds a partition now: "" if it is free
	heirs    map[string]string // who will, once what was asked for was handed over
	holds    map[string]int    // how many partitions each member holds
	counts   map[string]int    // how many each is heir to
	least    int               // what each member is to have at least
	uneven   bool              // some have one more
	took     bool              // this round has taken a partition
}

func newPlan(v View) *plan {
	p := &plan{
		View: v, records: map[string]azeventhubs.Ownership{}, requests: map[string]handover.Request{},
		holders: map[string]string{}, heirs: map[string]string{},
		holds: map[string]int{}, counts: map[string]int{v.Owner: 0},
	}
	for _, o := range v.Records {
		p.records[o.PartitionID] = o
	}
	for _, r := range v.Requests {
		p.requests[r.PartitionID] = r
	}
	for _, id := range v.Partitions {
		holder := p.holder(id)
		heir := p.heir(id, holder)
		p.holders[id], p.heirs[id] = holder, heir
		if holder != "" {
			p.holds[holder]++
			p.counts[holder] += 0 // a member, even if everything was asked of it
		}
		if r := p.requests[id]; p.fresh(r) && (holder != "" || p.reserved(id)) {
			p.counts[r.OwnerID] += 0 // about to have one
		}
		if heir != "" {
			p.counts[heir]++
		}
	}
	p.least = len(v.Partitions) / len(p.counts)
	p.uneven = len(v.Partitions)%len(p.counts) > 0
	return p
}

// holder returns who holds a partition: whoever has a claim that hasn't expired, as to the SDKs
// (azeventhubs, processor_load_balancer.go).
func (p *plan) holder(id string) string {
	o := p.records[id]
	switch _, held := p.Held[id]; {
	case held:
		return p.Owner
	case p.Skip[id], p.Now.Sub(o.LastModifiedTime) > p.Expiration:
		return ""
	}
	return o.OwnerID
}

// heir returns who will hold a partition once it was handed over.
func (p *plan) heir(id, holder string) string {
	r := p.requests[id]
	asked, weAsked := p.Asked[id]
	switch {
	case p.Skip[id]:
	case p.fresh(r) && (r.FromOwnerID == holder || p.reserved(id)):
		return r.OwnerID
	case weAsked && asked.From == holder: // the request could not be stored
		return p.Owner
	}
	return holder
}

// fresh reports whether a request means anything: whoever made it counts as a member for as long as after a claim.
func (p *plan) fresh(r handover.Request) bool {
	return r.OwnerID != "" && p.Now.Sub(r.LastModifiedTime) <= p.Expiration+r.Promised
}

// reserved reports whether a partition was released just now, for whoever asked for it.
func (p *plan) reserved(id string) bool {
	o, listed := p.records[id]
	return listed && o.OwnerID == "" && p.holder(id) == "" && p.Now.Sub(o.LastModifiedTime) <= p.Interval
}

// share returns how many partitions we may hold. Nobody gets one more than the least before it has the least.
func (p *plan) share() int {
	if p.uneven && p.counts[p.Owner] >= p.least {
		return p.least + 1
	}
	return p.least
}

// claim adds a claim.
func (p *plan) claim(id string) {
	o, listed := p.records[id]
	if !listed {
		o = p.Group
		o.PartitionID = id
	}
	o.OwnerID = p.Owner
	p.Claim = append(p.Claim, o)
}

// move makes somebody heir to a partition.
func (p *plan) move(id, to string) {
	if from := p.heirs[id]; from != "" {
		p.counts[from]--
	}
	p.heirs[id] = to
	p.counts[to]++
}

// claimOurs claims what has our name and isn't held: we were restarted, or the answer to a claim was lost.
func (p *plan) claimOurs() {
	for _, id := range p.Partitions {
		if _, held := p.Held[id]; !held && p.holders[id] == p.Owner {
			p.claim(id)
		}
	}
}

// awaitAsked claims what we have asked for and is free, or should have been long ago. It withdraws requests that would leave
// us with more than their owners: others may have asked at the same time.
func (p *plan) awaitAsked() {
	for _, id := range p.Partitions {
		holder := p.holders[id]
		if p.heirs[id] != p.Owner || holder == p.Owner {
			continue
		}
		r, listed := p.requests[id]
		listed = listed && p.fresh(r)
		asked, known := p.Asked[id]
		overdue := known && p.Now.After(asked.Until)
		theirs, ours := p.counts[holder], p.counts[p.Owner] // the partition is counted among ours
		switch {
		case holder == "":
			p.claim(id)
			p.holds[p.Owner]++
		case overdue && theirs >= ours && p.holds[holder] > max(p.holds[p.Owner]+1, p.least):
			p.claim(id)
			p.holds[holder]--
			p.holds[p.Owner]++
			p.Pending = append(p.Pending, id) // its owner may renew it at the same moment
		case overdue, r.Promised == 0 && theirs < ours-1:
			p.move(id, holder)
			if listed {
				p.Delete = append(p.Delete, r)
			}
		default:
			p.Pending = append(p.Pending, id)
			p.took = true
			if !listed {
				p.ask(id, holder)
			}
		}
	}
}

// more reports whether this round may claim or ask for one more partition.
func (p *plan) more() bool {
	if p.counts[p.Owner] >= p.share() {
		return false
	}
	if p.Strategy != azeventhubs.ProcessorStrategyBalanced {
		return true
	}
	return p.Round && !p.took
}

// claimFree claims partitions that nobody has: those first that were ours before, and else any, so that consumers
// which start together don't all claim the same.
func (p *plan) claimFree() {
	var free []string
	for _, i := range p.Rand.Perm(len(p.Partitions)) {
		if id := p.Partitions[i]; p.heirs[id] == "" && !p.Skip[id] {
			free = append(free, id)
		}
	}
	slices.SortStableFunc(free, func(a, b string) int { return p.rank(a) - p.rank(b) })
	for _, id := range free {
		if !p.more() {
			return
		}
		p.claim(id)
		p.holds[p.Owner]++
		p.move(id, p.Owner)
		p.took = true
	}
}

func (p *plan) rank(id string) int {
	if p.records[id].OwnerID == p.Owner {
		return 0
	}
	return 1
}

// takeFromOthers asks for partitions of whoever has most, as long as that has two more than we have. So nobody is asked who
// has no more than its share, and no partition moves between those that have.
func (p *plan) takeFromOthers() {
	for p.more() {
		id, from := p.richest()
		if id == "" {
			return
		}
		if p.CanAsk {
			p.ask(id, from)
			p.Pending = append(p.Pending, id)
		} else {
			p.claim(id)
		}
		p.move(id, p.Owner)
		p.took = true
	}
}

// richest returns a partition of whoever has most, if that has enough more than we have.
func (p *plan) richest() (id, from string) {
	kept := map[string][]string{} // what nobody has asked for
	for _, i := range p.Partitions {
		if h := p.holders[i]; h != "" && h != p.Owner && p.heirs[i] == h {
			kept[h] = append(kept[h], i)
		}
	}
	most := p.counts[p.Owner] + 1
	for h, ids := range kept {
		if n := p.counts[h]; len(ids) > p.least && (n > most || n == most && from != "" && h < from) {
			most, from = n, h
		}
	}
	if from == "" {
		return "", ""
	}
	return kept[from][p.Rand.IntN(len(kept[from]))], from
}

func (p *plan) ask(id, from string) {
	p.Ask = append(p.Ask, handover.Request{
		FullyQualifiedNamespace: p.Group.FullyQualifiedNamespace, EventHubName: p.Group.EventHubName,
		ConsumerGroup: p.Group.ConsumerGroup, PartitionID: id, OwnerID: p.Owner, FromOwnerID: from,
	})
}

// grant promises partitions to those who ask for them, as long as that leaves us the least that each member is to have:
// those who ask may not know of each other yet. On the way out everything is promised.
func (p *plan) grant() {
	left := 0
	for _, h := range p.Held {
		if !h.Promised {
			left++
		}
	}
	for _, id := range p.Partitions {
		r := p.requests[id]
		h, held := p.Held[id]
		asked := held && !h.Claiming && !h.Promised && r.FromOwnerID == p.Owner && r.Promised == 0 && p.heirs[id] != p.Owner
		switch {
		case !asked:
		case left > p.least || p.Draining:
			r.Promised = p.Promise
			p.Grant = append(p.Grant, r)
			left--
		default:
			p.move(id, p.Owner)
		}
	}
}

// tidy deletes requests that nobody needs any more: ours, once they were met or can't be, and whatever was left behind for
// a partition that we hold. One that we promised when we held the partition before is such.
func (p *plan) tidy() {
	for _, id := range p.Partitions {
		r, listed := p.requests[id]
		if !listed || p.Skip[id] {
			continue
		}
		h, held := p.Held[id]
		holder := p.holders[id]
		ours := r.OwnerID == p.Owner && !h.Claiming && (p.Draining || held || holder != "" && holder != r.FromOwnerID)
		old := !p.fresh(r) && p.Now.Sub(r.LastModifiedTime) > handover.Lifetime
		behind := held && !h.Claiming && (old || r.Promised > 0 && !h.Promised && r.FromOwnerID == p.Owner)
		if (ours || behind) && !slices.ContainsFunc(p.Delete, func(d handover.Request) bool { return d.PartitionID == id }) {
			p.Delete = append(p.Delete, r)
		}
	}
	slices.SortFunc(p.Delete, func(a, b handover.Request) int { return strings.Compare(a.PartitionID, b.PartitionID) })
}
