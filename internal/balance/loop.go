package balance

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// Options describe a Loop. All fields are required, except those that say otherwise.
type Options struct {
	// Store keeps who owns which partition. If it is a handover.Store, partitions are asked for before they are taken;
	// otherwise they are taken at once, as the SDKs do. Its calls must end with their contexts.
	Store                              azeventhubs.CheckpointStore
	Namespace, EventHub, ConsumerGroup string
	// Owner is the name under which partitions are claimed. It is this consumer's alone.
	Owner string
	// Strategy is greedy, which claims a whole share at once, or balanced, which claims one partition per UpdateInterval.
	Strategy azeventhubs.ProcessorStrategy
	// UpdateInterval is the longest time between two listings of the store.
	UpdateInterval time.Duration
	// Expiration is how long a claim lasts without being renewed.
	Expiration time.Duration
	// DrainTimeout is how long a reader that is asked for its partition may take to finish.
	DrainTimeout time.Duration
	// Partitions are the ids known at the start.
	Partitions []string
	// AskPartitions returns the ids there are now. It is called every minute, and bounds itself.
	AskPartitions func(ctx context.Context) ([]string, error)
	// Refused reports whether an error of the store needs a person to mend it. Nil means that none does.
	Refused func(error) bool
	// Taken is called, by Run's goroutine, with each partition that becomes ours. It must not block.
	Taken  func(*Claim)
	Logger *slog.Logger
}

const (
	// longestCall bounds a call of the store, or half an Expiration if that is less: a claim is due after a third of it,
	// so one call that hangs is over before the claim expires.
	longestCall = 20 * time.Second
	// askEvery is how often the partition ids are asked for.
	askEvery = time.Minute
	// promiseMargin is what a reader gets beyond DrainTimeout for its last checkpoint and to give the partition back, and
	// then again what the other consumer waits beyond that.
	promiseMargin = 5 * time.Second
	// atOnce bounds the calls for single partitions that are under way.
	atOnce = 32
	// grace is how long claims that are under way when ctx ends get to be answered: one that is cut off may be stored.
	grace = time.Second
	// lastCalls bounds the listing and the claim with which Run gives back what nobody has released.
	lastCalls = 5 * time.Second
)

// Loop claims partitions and renews the claims. Its methods are safe for concurrent use.
type Loop struct {
	o        Options
	requests handover.Store // nil if the store keeps no requests
	bound    time.Duration  // of a call of the store
	wake     chan struct{}  // something may be due
	answers  chan func()    // what to do, in Run's goroutine, about the answers of calls
	slots    chan struct{}

	// Only Run's goroutine uses these.
	rand      *rand.Rand
	ids       []string
	askAt     time.Time // when the ids are due; zero means never
	roundAt   time.Time // when the next round is due
	listAt    time.Time // when a listing is due out of turn; zero means never
	round     bool      // it has begun, and no listing has succeeded since
	asking    bool      // a call for the ids is under way
	isListing bool      // so is a listing
	underWay  int       // all calls that are
	asked     map[string]Asked
	known     map[string]azeventhubs.Ownership // the records that were ever listed
	writing   map[string]bool                  // partitions whose request is being written
	questions trouble                          // with the ids
	handovers trouble                          // with requests
	refused   error

	claimsMu   sync.Mutex // guards what follows, and what claims say it guards
	claims     map[string]*Claim
	partitions map[string]*partition
	moment     uint64 // counts what happens, so that it is known what a listing can't have seen
	draining   bool
	listing    trouble
	claiming   trouble
	hasListed  bool
	hasClaimed bool
	outages    []outage
	changed    chan struct{} // closed, and replaced, when Await may know more
	notes      []func()      // to be called once claimsMu is unlocked
}

// partition is what is known of a partition, whether it is ours or not.
type partition struct {
	touched   uint64    // the moment of the last change that we may have made to its record
	claiming  bool      // a claim is under way
	releasing bool      // so is its release
	doubt     time.Time // when the first call began of those that may have changed the record since it was last known
	trouble   trouble
	refusals  int
	retryAt   time.Time // after a failure or refusal
}

// New returns a Loop that holds nothing until Run is called.
func New(o Options) *Loop {
	l := &Loop{
		o: o, bound: min(longestCall, o.Expiration/2),
		wake: make(chan struct{}, 1), answers: make(chan func()), slots: make(chan struct{}, atOnce),
		rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), ids: sorted(o.Partitions), asked: map[string]Asked{},
		writing: map[string]bool{},
		claims:  map[string]*Claim{}, partitions: map[string]*partition{}, changed: make(chan struct{}),
	}
	l.requests, _ = o.Store.(handover.Store)
	return l
}

func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Run lists, plans and claims until ctx ends; then it returns nil within six seconds. What is still held then is given
// back, and all claims are over. An error means that the store has refused a listing, or a claim, before it had answered
// the first of that kind, and that a person has to mend it. Run may be called once.
func (l *Loop) Run(ctx context.Context) error {
	claiming, cut := context.WithCancel(context.WithoutCancel(ctx)) // claims outlast ctx: see grace
	defer cut()
	now := time.Now()
	l.roundAt, l.askAt = now, now
	if len(l.ids) > 0 {
		l.askAt = now.Add(askEvery)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
		case answer := <-l.answers:
			answer()
		case <-l.wake:
		case <-timer.C:
		}
		if ctx.Err() != nil || l.refused != nil {
			break
		}
		timer.Reset(time.Until(l.start(ctx, claiming)))
	}
	l.finish(ctx, cut)
	return l.refused
}

// start starts what is due, and returns when something is due next.
func (l *Loop) start(ctx, claiming context.Context) time.Time {
	now := time.Now()
	if len(l.asked) > 0 && l.isDraining() {
		clear(l.asked)
		l.listSoon(now) // to withdraw what was asked for
	}
	next := l.renew(claiming, now)
	if !l.asking && !now.Before(l.askAt) {
		l.askPartitions(ctx)
	}
	if !l.asking {
		next = sooner(next, l.askAt)
	}
	if !l.isListing && !now.Before(l.roundAt) {
		l.round = true
		l.roundAt = now.Add(l.interval())
		l.listSoon(now)
	}
	if !l.isListing && !l.listAt.IsZero() && !now.Before(l.listAt) {
		l.list(ctx, claiming)
	}
	if !l.isListing {
		next = sooner(sooner(next, l.roundAt), l.listAt)
	}
	return next
}

// sooner returns the earlier of two times, of which the zero one means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// interval returns how long after one round the next begins. It is never longer than UpdateInterval, so that limits which
// are counted in UpdateIntervals hold; and consumers don't stay in step.
func (l *Loop) interval() time.Duration {
	return l.o.UpdateInterval - time.Duration(l.rand.Int64N(int64(l.o.UpdateInterval/5)+1))
}

// listSoon has the records listed at a time out of turn.
func (l *Loop) listSoon(at time.Time) { l.listAt = sooner(l.listAt, at) }

// soon is how often the store is listed while we wait for partitions that we have asked for.
func (l *Loop) soon() time.Duration { return max(l.o.UpdateInterval/10, 10*time.Millisecond) }

// begin makes a call in a goroutine of its own. What it returns is done in Run's.
func (l *Loop) begin(ctx context.Context, slots chan struct{}, call func(ctx context.Context) (answer func())) {
	l.underWay++
	go func() {
		if slots != nil {
			slots <- struct{}{}
			defer func() { <-slots }()
		}
		bounded, cancel := context.WithTimeout(ctx, l.bound)
		defer cancel()
		answer := call(bounded)
		l.answers <- func() {
			l.underWay--
			answer()
		}
	}()
}

// finish waits for the calls that are under way, ends the claims, and gives back what nobody has released.
func (l *Loop) finish(ctx context.Context, cut context.CancelFunc) {
	l.Drain() // what is claimed from now on is given back
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for l.underWay > 0 {
		select {
		case answer := <-l.answers:
			answer()
		case <-timer.C:
			cut()
		}
	}
	if !l.endClaims() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(lastCalls, l.bound))
	defer cancel()
	if err := l.giveBackAll(ctx); err != nil {
		l.o.Logger.Warn("eventhubs: partitions could not be given back: others can claim them once their claims expire",
			"after", l.o.Expiration.String(), "error", err)
	}
}

// endClaims ends the claims, and reports whether there may be some to give back, and a store that answers.
func (l *Loop) endClaims() bool {
	l.claimsMu.Lock()
	defer l.unlock()
	doubt := len(l.claims) > 0
	for _, c := range l.claims {
		l.drop(c)
	}
	for _, p := range l.partitions {
		doubt = doubt || !p.doubt.IsZero()
	}
	l.change()
	return doubt && l.listing.failures < 2
}

// giveBackAll gives back everything that has our name.
func (l *Loop) giveBackAll(ctx context.Context) error {
	records, _, err := l.listClaims(ctx)
	if err != nil {
		return err
	}
	records = slices.DeleteFunc(records, func(r azeventhubs.Ownership) bool { return r.OwnerID != l.o.Owner })
	for i := range records {
		records[i].OwnerID = ""
	}
	if len(records) > 0 {
		_, err = l.o.Store.ClaimOwnership(ctx, records, nil)
	}
	return err
}

// Drain stops claiming: nothing new is claimed or asked for, and requests are withdrawn. What is held is renewed until it
// is released.
func (l *Loop) Drain() {
	l.claimsMu.Lock()
	defer l.unlock()
	l.draining = true
	l.poke()
}

func (l *Loop) isDraining() bool {
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	return l.draining
}

// Claims returns what is held now, by partition id.
func (l *Loop) Claims() []*Claim {
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	return slices.SortedFunc(maps.Values(l.claims), func(a, b *Claim) int { return strings.Compare(a.id, b.id) })
}

// Health is how the checkpoint store answers.
type Health struct {
	// Answered says that the store has said once who owns which partition.
	Answered bool
	// FailingSince is when the calls began that have failed ever since. It is zero if the last ones succeeded.
	FailingSince time.Time
	// Err is why the last of them failed.
	Err error
}

// Health returns how the checkpoint store answers now.
func (l *Loop) Health() Health {
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	h := Health{Answered: l.hasListed, FailingSince: sooner(l.listing.since, l.claiming.since), Err: l.claiming.err}
	if h.Err == nil || l.listing.last.After(l.claiming.last) {
		h.Err = l.listing.err
	}
	return h
}

// poke has Run look at what is due.
func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// note has something be done once claimsMu is unlocked: loggers and Taken are the user's code.
func (l *Loop) note(do func()) { l.notes = append(l.notes, do) }

// unlock unlocks claimsMu, and does what was noted.
func (l *Loop) unlock() {
	notes := l.notes
	l.notes = nil
	l.claimsMu.Unlock()
	for _, do := range notes {
		do()
	}
}

// change has those look again who Await. claimsMu is held.
func (l *Loop) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// partition returns what is known of a partition. claimsMu is held.
func (l *Loop) partition(id string) *partition {
	p := l.partitions[id]
	if p == nil {
		p = &partition{}
		l.partitions[id] = p
	}
	return p
}

// touch notes that a partition's record may have changed: listings that are under way say nothing of it. claimsMu is held.
func (l *Loop) touch(p *partition) {
	l.moment++
	p.touched = l.moment
}

// drop ends a claim, unless it is over. claimsMu is held.
func (l *Loop) drop(c *Claim) bool {
	if c.over {
		return false
	}
	c.over = true
	c.end(ErrLost)
	delete(l.claims, c.id)
	p := l.partition(c.id)
	p.trouble, p.refusals, p.retryAt = trouble{}, 0, time.Time{}
	l.touch(p)
	l.change()
	return true
}
