package balance_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/balance"
	"github.com/go-eventhubs/eventhubs/internal/handover"
)

const (
	interval   = 10 * time.Second
	expiration = time.Minute
	promise    = 35 * time.Second
)

// group is a consumer group whose members act in rounds, on records with ETags.
type group struct {
	rand     *rand.Rand
	now      time.Time
	version  int
	ids      []string
	records  map[string]azeventhubs.Ownership
	requests map[string]handover.Request
	canAsk   bool
	members  []*member
	wrong    []string // what was done that nobody may do
}

// member is a consumer of the group: one of ours, or one that does what the SDKs do.
type member struct {
	name     string
	sdk      bool
	strategy azeventhubs.ProcessorStrategy
	held     map[string]azeventhubs.Ownership
	promised map[string]int // partitions that were promised, and in how many rounds they are released
	asked    map[string]string
	calm     bool // its last plan was to do nothing
}

// newGroup makes a group of n members and some dead ones, with records as they may have come about.
func newGroup(r *rand.Rand, partitions, n int, canAsk bool) *group {
	g := &group{
		rand: r, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), canAsk: canAsk,
		records: map[string]azeventhubs.Ownership{}, requests: map[string]handover.Request{},
	}
	for i := range partitions {
		g.ids = append(g.ids, fmt.Sprintf("%03d", i))
	}
	strategy := azeventhubs.ProcessorStrategyGreedy
	if r.IntN(2) == 0 {
		strategy = azeventhubs.ProcessorStrategyBalanced
	}
	for i := range n {
		g.members = append(g.members, &member{
			name: "m" + strconv.Itoa(i), strategy: strategy,
			held: map[string]azeventhubs.Ownership{}, promised: map[string]int{}, asked: map[string]string{},
		})
	}
	holders := 1 + r.IntN(n) // the others have just started
	for _, id := range g.ids {
		switch m := g.members[r.IntN(holders)]; r.IntN(8) {
		case 0: // nobody has ever claimed it
		case 1:
			age := time.Duration(r.Int64N(int64(2 * expiration)))
			g.write(azeventhubs.Ownership{PartitionID: id, OwnerID: "dead"}, -age)
		case 2:
			g.write(azeventhubs.Ownership{PartitionID: id}, -time.Duration(r.Int64N(int64(2*expiration))))
		default:
			m.held[id] = g.write(azeventhubs.Ownership{PartitionID: id, OwnerID: m.name}, 0)
		}
		if canAsk && r.IntN(8) == 0 { // somebody died after asking
			g.put(handover.Request{
				PartitionID: id, OwnerID: "dead", FromOwnerID: g.records[id].OwnerID,
				Promised: time.Duration(r.IntN(2)) * promise,
			})
		}
	}
	return g
}

func (g *group) etag() *azcore.ETag {
	g.version++
	e := azcore.ETag(strconv.Itoa(g.version))
	return &e
}

func (g *group) write(o azeventhubs.Ownership, age time.Duration) azeventhubs.Ownership {
	o.LastModifiedTime, o.ETag = g.now.Add(age), g.etag()
	g.records[o.PartitionID] = o
	return o
}

func (g *group) put(r handover.Request) {
	r.LastModifiedTime, r.ETag = g.now, g.etag()
	g.requests[r.PartitionID] = r
}

// claim claims as a store does.
func (g *group) claim(o azeventhubs.Ownership) (azeventhubs.Ownership, bool) {
	was, exists := g.records[o.PartitionID]
	if exists != (o.ETag != nil) || exists && *was.ETag != *o.ETag {
		return o, false
	}
	return g.write(o, 0), true
}

// round has every member list, plan and act once, in any order: either each on what the one before has done, or all
// on the same listing.
func (g *group) round() {
	order := g.rand.Perm(len(g.members))
	var acts []func()
	together := g.rand.IntN(2) == 0
	for _, i := range order {
		act := g.members[i].plan(g)
		if acts = append(acts, act); !together {
			act()
		}
	}
	if together {
		for _, act := range acts {
			act()
		}
	}
	g.now = g.now.Add(interval)
}

func (g *group) list() (records map[string]azeventhubs.Ownership, requests map[string]handover.Request) {
	if g.canAsk {
		requests = maps.Clone(g.requests)
	}
	return maps.Clone(g.records), requests
}

// holdings is how many live claims each member has by the records.
func (g *group) holdings() map[string]int {
	n := map[string]int{}
	for _, m := range g.members {
		n[m.name] = 0
	}
	for _, o := range g.records {
		if o.OwnerID != "" && g.now.Sub(o.LastModifiedTime) <= expiration {
			n[o.OwnerID]++
		}
	}
	return n
}

// calm reports whether the group is balanced, and none of our members had anything to do in the last round.
func (g *group) calm() bool {
	for _, m := range g.members {
		if !m.calm && !m.sdk {
			return false
		}
	}
	return g.settled()
}

// settled reports whether every partition is held, and no two members' shares differ by more than one.
func (g *group) settled() bool {
	least, most, all := len(g.ids), 0, 0
	holdings := g.holdings()
	for _, m := range g.members {
		n := holdings[m.name]
		least, most, all = min(least, n), max(most, n), all+n
	}
	return most-least <= 1 && all == len(g.ids)
}

func (m *member) plan(g *group) (act func()) {
	records, requests := g.list()
	holdings := g.holdings()
	for _, o := range records {
		if o.OwnerID != m.name {
			delete(m.held, o.PartitionID)
		}
	}
	if m.sdk {
		wants := m.sdkPlan(g, records)
		return func() { m.claim(g, wants) }
	}
	v := balance.View{
		Now: g.now, Group: azeventhubs.Ownership{OwnerID: m.name}, Partitions: g.ids,
		Records: records, Requests: requests, CanAsk: g.canAsk, Known: map[string]balance.Known{},
		Strategy: m.strategy, Round: true,
		Interval: interval, Expiration: expiration, Promise: promise, Rand: g.rand,
	}
	for _, id := range g.ids {
		_, held := m.held[id]
		_, promised := m.promised[id]
		v.Known[id] = balance.Known{Held: held, Promised: promised, Asked: m.asked[id]}
	}
	d := balance.Plan(v)
	m.calm = len(d.Claim)+len(d.Ask)+len(d.Grant)+len(d.Asked) == 0
	return func() { m.act(g, v, d, holdings) }
}

func (m *member) act(g *group, v balance.View, d balance.Decision, holdings map[string]int) {
	for _, o := range d.Claim {
		m.judge(g, v, o, holdings)
	}
	m.claim(g, d.Claim)
	for _, o := range m.held { // renewed every round: more than is needed
		m.claim(g, []azeventhubs.Ownership{o})
	}
	for _, r := range d.Ask {
		g.put(r)
	}
	m.asked = d.Asked
	for _, r := range d.Grant {
		if was, ok := g.requests[r.PartitionID]; ok && *was.ETag == *r.ETag {
			g.put(r)
			m.promised[r.PartitionID] = g.rand.IntN(3)
		}
	}
	for _, r := range d.Delete {
		if was, ok := g.requests[r.PartitionID]; ok && *was.ETag == *r.ETag {
			delete(g.requests, r.PartitionID)
		}
	}
	for id, rounds := range m.promised {
		if m.promised[id]--; rounds == 0 {
			o := m.held[id]
			o.OwnerID = ""
			g.claim(o)
			delete(m.held, id)
			delete(m.promised, id)
		}
	}
}

func (m *member) claim(g *group, wants []azeventhubs.Ownership) {
	for _, o := range wants {
		o.OwnerID = m.name
		if got, ok := g.claim(o); ok {
			m.held[o.PartitionID] = got
		}
	}
}

// judge looks at a claim of a partition that another member holds, as the member saw it.
func (m *member) judge(g *group, v balance.View, claim azeventhubs.Ownership, holdings map[string]int) {
	o := v.Records[claim.PartitionID]
	if o.OwnerID == "" || o.OwnerID == m.name || g.now.Sub(o.LastModifiedTime) > expiration {
		return
	}
	r := v.Requests[o.PartitionID]
	asked := r.OwnerID == m.name && r.FromOwnerID == o.OwnerID
	if g.canAsk && (!asked || v.Now.Sub(r.LastModifiedTime) <= max(2*interval, r.Promised)) {
		g.wrong = append(g.wrong, fmt.Sprintf("%s takes %s from %s without asking", m.name, o.PartitionID, o.OwnerID))
	}
	members := map[string]bool{m.name: true}
	for _, r := range v.Records {
		if r.OwnerID != "" && g.now.Sub(r.LastModifiedTime) <= expiration {
			members[r.OwnerID] = true
		}
	}
	for _, r := range v.Requests {
		members[r.OwnerID] = true
	}
	if holdings[o.OwnerID] <= max(holdings[m.name]+1, len(g.ids)/len(members)) {
		g.wrong = append(g.wrong, fmt.Sprintf("%s, which has %d, takes %s from %s, which has %d",
			m.name, holdings[m.name], o.PartitionID, o.OwnerID, holdings[o.OwnerID]))
	}
}

// sdkPlan is what the SDK's balancer wants (azeventhubs, processor_load_balancer.go). It knows nothing of requests.
func (m *member) sdkPlan(g *group, records map[string]azeventhubs.Ownership) []azeventhubs.Ownership {
	owned := map[string][]azeventhubs.Ownership{m.name: nil}
	var free, above []azeventhubs.Ownership
	for _, id := range g.ids {
		o := records[id]
		o.PartitionID = id
		if o.OwnerID == "" || g.now.Sub(o.LastModifiedTime) > expiration {
			free = append(free, o)
		} else {
			owned[o.OwnerID] = append(owned[o.OwnerID], o)
		}
	}
	ours := owned[m.name]
	allowed := len(g.ids) / len(owned)
	if len(g.ids)%len(owned) > 0 && len(ours) >= allowed {
		allowed++
	}
	for name, list := range owned {
		if name != m.name && len(list) > allowed {
			above = append(above, list...)
		}
	}
	for _, from := range [][]azeventhubs.Ownership{free, above} {
		g.rand.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
		n := min(len(from), max(allowed-len(ours), 0))
		if m.strategy == azeventhubs.ProcessorStrategyBalanced {
			n = min(n, 1)
		}
		if ours = append(ours, from[:n]...); n > 0 && m.strategy == azeventhubs.ProcessorStrategyBalanced {
			break
		}
	}
	return ours
}
