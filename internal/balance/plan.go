package balance

import (
	"math/rand/v2"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// View is what a plan is made from: one listing of the store, and what else this consumer knows.
type View struct {
	Now        time.Time
	Group      azeventhubs.Ownership // our name, and those of the namespace, the event hub and the consumer group
	Partitions []string
	Records    map[string]azeventhubs.Ownership // by partition, as is all that follows
	Requests   map[string]handover.Request
	CanAsk     bool // the store keeps requests; if not, partitions are taken at once
	Known      map[string]Known
	Draining   bool // nothing new is claimed or asked for
	Round      bool // the balanced strategy may take one more partition
	Strategy   azeventhubs.ProcessorStrategy
	Interval   time.Duration
	Expiration time.Duration
	Promise    time.Duration // how long we may take to release what others ask us for
	Rand       *rand.Rand
}

// Known is what a consumer knows of a partition. The zero value is nothing.
type Known struct {
	Held     bool   // it is ours, whatever its record says
	Claiming bool   // it may be: a claim is under way
	Promised bool   // it is ours, and promised to another consumer, or being promised
	Skip     bool   // it is not ours, and its record may be out of date
	Asked    string // whom we have asked for it; "" is nobody
}

// Decision is what to do.
type Decision struct {
	Claim  []azeventhubs.Ownership // with our name, under the ETags listed
	Ask    []handover.Request
	Grant  []handover.Request // with our promise, under the ETags listed
	Delete []handover.Request // under the ETags listed
	Asked  map[string]string  // whom we ask for the partitions that we wait for, by partition
}

// Plan decides what to do about the partitions that are not ours, and about those that others ask us for. It depends
// on its View alone. When to renew what is ours depends on no listing, so it is not for Plan to say.
func Plan(v View) Decision {
	p := newPlan(v)
	p.grant()
	if !v.Draining {
		p.claimOurs()
		p.claimFree()
		p.takeFromOthers()
	}
	p.tidy()
	return p.out
}

// plan is a plan being made.
type plan struct {
	v      View
	out    Decision
	me     string
	parts  []part
	holds  map[string]int // how many partitions each member holds
	counts map[string]int // how many it will hold once what was asked for is handed over
	least  int            // what each member is due at least
	most   int            // and at most
	took   bool           // this round has taken a partition
}

// part is what a plan knows of a partition.
type part struct {
	Known
	id      string
	record  azeventhubs.Ownership
	request handover.Request
	fresh   bool   // the request means something: whoever made it is a member for as long as after a claim
	ours    bool   // and it is what we ask of the holder
	holder  string // who has a claim that has not expired, as the SDKs see it (azeventhubs, processor_load_balancer.go)
	heir    string // who will have it once it is handed over
}

func newPlan(v View) *plan {
	p := &plan{v: v, me: v.Group.OwnerID, parts: make([]part, len(v.Partitions)), holds: map[string]int{}}
	p.counts = map[string]int{p.me: 0}
	p.out.Asked = map[string]string{}
	for i, id := range v.Partitions {
		record, listed := v.Records[id]
		if !listed {
			record = v.Group
			record.PartitionID, record.OwnerID = id, ""
		}
		p.parts[i] = part{Known: v.Known[id], id: id, record: record, request: v.Requests[id]}
		p.add(&p.parts[i])
	}
	p.least = len(v.Partitions) / len(p.counts)
	p.most = (len(v.Partitions) + len(p.counts) - 1) / len(p.counts)
	return p
}

// add finds out who has a partition, and who will have it.
func (p *plan) add(s *part) {
	r := s.request
	s.fresh = r.OwnerID != "" && p.v.Now.Sub(r.LastModifiedTime) <= p.v.Expiration+r.Promised
	age := p.v.Now.Sub(s.record.LastModifiedTime)
	switch {
	case s.Held || s.Claiming:
		s.holder = p.me
	case !s.Skip && age <= p.v.Expiration:
		s.holder = s.record.OwnerID
	}
	released := s.holder == "" && s.record.OwnerID == "" && age <= p.v.Interval // for whoever has asked for it
	s.ours = s.fresh && r.OwnerID == p.me && r.FromOwnerID == s.holder
	s.heir = s.holder
	switch {
	case s.Skip:
	case s.fresh && (r.FromOwnerID == s.holder || released):
		s.heir = r.OwnerID
	case s.holder != "" && s.Asked == s.holder: // the request is not written yet
		s.heir = p.me
	}
	if s.holder != "" {
		p.holds[s.holder]++
		p.counts[s.holder] += 0 // a member, even if everything is asked of it
	}
	if s.heir != "" {
		p.counts[s.heir]++
	}
}

// overdue reports whether a partition that we have asked for should be ours by now. Its owner looks at requests once in
// each of its UpdateIntervals, which we take to be as long as ours. A request looks older than it is: see dating.
func (p *plan) overdue(s *part) bool {
	if !s.ours {
		return !p.v.CanAsk
	}
	patience := 2 * p.v.Interval
	if s.request.Promised > 0 {
		patience = s.request.Promised + promiseMargin
	}
	return p.v.Now.Sub(s.request.LastModifiedTime) > patience+dating
}

// pass makes somebody heir to a partition.
func (p *plan) pass(s *part, to string) {
	if s.heir != "" {
		p.counts[s.heir]--
	}
	s.heir = to
	p.counts[to]++
}

func (p *plan) claim(s *part) {
	s.record.OwnerID = p.me
	p.out.Claim = append(p.out.Claim, s.record)
	if s.holder != "" {
		p.holds[s.holder]--
	}
	p.holds[p.me]++
	p.pass(s, p.me)
}

// ask asks for a partition, unless our request lies there, and waits for it.
func (p *plan) ask(s *part) {
	if !s.ours {
		p.out.Ask = append(p.out.Ask, handover.Request{
			FullyQualifiedNamespace: p.v.Group.FullyQualifiedNamespace, EventHubName: p.v.Group.EventHubName,
			ConsumerGroup: p.v.Group.ConsumerGroup, PartitionID: s.id, OwnerID: p.me, FromOwnerID: s.holder,
		})
	}
	p.out.Asked[s.id] = s.holder
	p.pass(s, p.me)
	p.took = true
}

// grant promises partitions to those who ask for them, as long as that leaves us what each member is due at least:
// those who ask may not know of one another yet. A consumer that drains promises everything.
func (p *plan) grant() {
	left := 0
	for i := range p.parts {
		if s := &p.parts[i]; s.holder == p.me && !s.Promised {
			left++
		}
	}
	for i := range p.parts {
		s := &p.parts[i]
		if !s.Held || s.Promised || s.heir == p.me || s.request.Promised > 0 {
			continue
		}
		if left <= p.least && !p.v.Draining {
			p.pass(s, p.me)
			continue
		}
		r := s.request
		r.Promised = p.v.Promise
		p.out.Grant = append(p.out.Grant, r)
		left--
	}
}

// claimOurs claims what was released for us, what we have asked for and should have had long ago, and what has our
// name: we were restarted, or the answer to a claim was lost. It withdraws requests that would leave us with more
// than whoever they ask has left; others may have asked at the same time.
func (p *plan) claimOurs() {
	for i := range p.parts {
		s := &p.parts[i]
		if s.heir != p.me || s.Held || s.Claiming {
			continue
		}
		overdue := p.overdue(s)
		switch {
		case s.holder == "" || s.holder == p.me,
			overdue && p.holds[s.holder] > max(p.holds[p.me]+1, p.least):
			p.claim(s)
		case overdue, s.request.Promised == 0 && p.counts[s.holder] < p.counts[p.me]-1: // it is counted as ours
			p.pass(s, s.holder)
			if s.ours {
				p.out.Delete = append(p.out.Delete, s.request)
			}
		default:
			p.ask(s)
		}
	}
}

// more reports whether this round may take one more partition.
func (p *plan) more() bool {
	oneByOne := p.v.Strategy == azeventhubs.ProcessorStrategyBalanced
	return p.counts[p.me] < p.most && (!oneByOne || p.v.Round && !p.took)
}

// claimFree claims partitions that nobody has, in any order: consumers that start together don't all claim the same.
func (p *plan) claimFree() {
	for _, i := range p.v.Rand.Perm(len(p.parts)) {
		if s := &p.parts[i]; s.heir == "" && !s.Skip && p.more() {
			p.claim(s)
			p.took = true
		}
	}
}

// takeFromOthers asks for partitions of whoever has most, as long as that has two more than we have. So nobody is
// asked that has no more than its share, and a balanced group rests.
func (p *plan) takeFromOthers() {
	for p.more() {
		s := p.richest()
		if s == nil {
			return
		}
		if p.v.CanAsk {
			p.ask(s)
		} else {
			p.claim(s)
			p.took = true
		}
	}
}

// richest returns a partition of whoever has most, or nil. Nobody has asked for it yet.
func (p *plan) richest() (most *part) {
	kept := map[string]int{}
	for _, s := range p.parts {
		if s.heir == s.holder {
			kept[s.holder]++
		}
	}
	for _, i := range p.v.Rand.Perm(len(p.parts)) {
		s := &p.parts[i]
		if s.heir != s.holder || s.holder == "" || s.holder == p.me || kept[s.holder] <= p.least {
			continue
		}
		if n := p.counts[s.holder]; n > p.counts[p.me]+1 && (most == nil || n > p.counts[most.holder]) {
			most = s
		}
	}
	return most
}

// tidy deletes requests that nobody needs any more: ours, once they were met or can't be, and what was left behind
// for a partition that we hold, such as what we promised when we held it before.
func (p *plan) tidy() {
	for i := range p.parts {
		s := &p.parts[i]
		r := s.request
		void := s.holder != "" && s.holder != p.me && s.holder != r.FromOwnerID
		met := r.OwnerID == p.me && (p.v.Draining || s.Held || void)
		left := s.Held && (!s.fresh || r.FromOwnerID == p.me && r.Promised > 0 && !s.Promised)
		if r.OwnerID != "" && (met || left) {
			p.out.Delete = append(p.out.Delete, r)
		}
	}
}
