package balance

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// Options describe a Loop. All fields are required, except those that say otherwise.
type Options struct {
	// Store keeps who owns which partition. If it is a handover.Store, partitions are asked for before they are
	// taken; otherwise they are taken at once, as the SDKs do. Its calls must end with their contexts.
	Store                              azeventhubs.CheckpointStore
	Namespace, EventHub, ConsumerGroup string
	// Owner is the name under which partitions are claimed. It is this consumer's alone.
	Owner string
	// Strategy is greedy, which claims a whole share at once, or balanced, which claims one partition per
	// UpdateInterval.
	Strategy azeventhubs.ProcessorStrategy
	// UpdateInterval is the longest time between two listings of the store.
	UpdateInterval time.Duration
	// Expiration is how long a claim lasts without being renewed.
	Expiration time.Duration
	// DrainTimeout is how long a reader that is asked for its partition may take to finish.
	DrainTimeout time.Duration
	// Partitions are the ids known at the start.
	Partitions []string
	// AskPartitions returns the ids there are now. It is called every minute, and has as long as a call of the store.
	AskPartitions func(ctx context.Context) ([]string, error)
	// Refused reports whether an error of the store needs a person to mend it. Nil means that none does.
	Refused func(error) bool
	// Taken is called with each partition that becomes ours. It must not block, nor call Drain.
	Taken  func(*Claim)
	Logger *slog.Logger
}

const (
	// longestCall and shortestCall limit what bounds a call of the store: a sixth of an Expiration, but no less than
	// shortestCall, nor more than half an Expiration. A claim is renewed after 45 % of it, so two calls that
	// hang are over before it expires, and tell an outage from a pause of the process.
	longestCall  = 20 * time.Second
	shortestCall = 2 * time.Second
	// askEvery is how often the partition ids are asked for.
	askEvery = time.Minute
	// promiseMargin is what a reader gets beyond DrainTimeout for its last checkpoint and to give the partition back,
	// and how long whoever waits for it waits beyond that.
	promiseMargin = 5 * time.Second
	// atOnce bounds the calls about single partitions that are under way.
	atOnce = 32
	// grace is how long claims that are under way at Run's end get to be answered: one that is cut off may be stored.
	grace = time.Second
	// lastCalls bounds how Run gives back what nobody has released: a listing and a claim.
	lastCalls = 5 * time.Second
)

// Loop claims partitions and renews the claims. Its methods are safe for concurrent use.
type Loop struct {
	o        Options
	requests handover.Store // nil if the store keeps no requests
	bound    time.Duration  // of a call of the store
	wake     chan struct{}  // a listing is due
	answers  chan func()    // what to do, in Run's goroutine, about the answers of calls
	slots    chan struct{}  // for calls about single partitions
	hurry    context.Context
	hurryUp  context.CancelFunc

	// Only Run's goroutine uses these.
	rand       *rand.Rand
	ids        []string
	known      map[string]azeventhubs.Ownership // what was last listed
	roundAt    time.Time                        // when the next round is due
	listAt     time.Time                        // when a listing is due out of turn; zero means never
	askAt      time.Time                        // when the ids are due
	round      bool                             // a round has begun, and no listing has succeeded since
	isListing  bool                             // a listing is under way
	isAsking   bool                             // a call for the ids is
	underWay   int                              // all calls that are
	unanswered int                              // questions for the ids in a row
	refused    error

	claimsMu   sync.Mutex // guards what follows, and what claims say it guards
	partitions map[string]*partition
	held       int    // how many of them have a claim
	moment     uint64 // counts what happens, so that it is known what a listing can't have seen
	draining   bool
	taking     int // calls of Taken
	doubt      bool
	hasListed  bool
	hasClaimed bool
	listing    trouble
	claiming   trouble
	asking     trouble // with requests
	outages    []outage
	changed    chan struct{} // closed, and replaced, when more is known
	notes      []func()      // to be called once claimsMu is unlocked
}

// partition is what is known of a partition, whether it is ours or not.
type partition struct {
	claim     *Claim    // nil unless it is ours
	touched   uint64    // the moment when we may last have changed its record
	claiming  bool      // a claim or a renewal is under way
	releasing bool      // a release is
	writing   bool      // a call about its request is
	trouble   trouble   // claims that have failed, with no success since
	refusals  int       // claims that the store has refused, with no success since
	retryAt   time.Time // when to claim it after that
	asked     Asked
}

// New returns a Loop that holds nothing until Run is called.
func New(o Options) *Loop {
	l := &Loop{
		o: o, bound: min(longestCall, max(o.Expiration/6, min(shortestCall, o.Expiration/2))),
		ids: sorted(o.Partitions), wake: make(chan struct{}, 1),
		answers: make(chan func()), slots: make(chan struct{}, atOnce),
		rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), partitions: map[string]*partition{},
		changed: make(chan struct{}),
	}
	l.requests, _ = o.Store.(handover.Store)
	l.hurry, l.hurryUp = context.WithCancel(context.Background())
	return l
}

func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Run lists, plans and claims until ctx ends; then it gives back what is still held, and returns nil within six
// seconds. An error means that the store has refused a listing, or a claim, before it had answered the first of its
// kind, and that a person has to mend it. Run may be called once.
func (l *Loop) Run(ctx context.Context) error {
	claiming, cut := context.WithCancel(context.WithoutCancel(ctx)) // claims outlast ctx: see grace
	defer cut()
	l.roundAt = time.Now()
	l.askAt = l.roundAt
	if len(l.ids) > 0 {
		l.askAt = l.askAt.Add(askEvery)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
		case answer := <-l.answers:
			answer()
		case <-l.wake:
			l.listSoon(time.Now())
		case <-timer.C:
		}
		if ctx.Err() != nil || l.refused != nil {
			break
		}
		timer.Stop()
		if next := l.start(ctx, claiming); !next.IsZero() { // otherwise an answer comes first
			timer.Reset(time.Until(next))
		}
	}
	l.finish(ctx, cut)
	return l.refused
}

// start starts what is due, and returns when something is due next.
func (l *Loop) start(ctx, claiming context.Context) (next time.Time) {
	now := time.Now()
	next = l.renew(claiming, now)
	if !l.isAsking && !now.Before(l.askAt) {
		l.askPartitions(ctx)
	}
	if !l.isAsking {
		next = sooner(next, l.askAt)
	}
	if l.isListing {
		return next
	}
	if !now.Before(l.roundAt) {
		l.round = true
		// Rounds are never further apart than UpdateInterval, so limits that are counted in those hold. They vary, so
		// that consumers don't stay in step.
		l.roundAt = now.Add(l.o.UpdateInterval - time.Duration(l.rand.Int64N(int64(l.o.UpdateInterval/10)+1)))
		l.listSoon(now)
	}
	if !l.listAt.IsZero() && !now.Before(l.listAt) {
		l.list(ctx, claiming)
		return next
	}
	return sooner(sooner(next, l.roundAt), l.listAt)
}

// sooner returns the earlier of two times, of which the zero one means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// listSoon has the records listed out of turn.
func (l *Loop) listSoon(at time.Time) { l.listAt = sooner(l.listAt, at) }

// soon is how often the records are listed while we wait for partitions that we have asked for.
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
	defer context.AfterFunc(l.hurry, cut)()
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
	defer context.AfterFunc(l.hurry, cancel)()
	if err := l.giveBackAll(ctx); err != nil {
		l.o.Logger.Warn("eventhubs: partitions could not be given back: others can claim them once their claims expire",
			"after", retry.Text(l.o.Expiration), "error", err)
	}
}

// endClaims ends the claims, and reports whether something may have to be given back, and the store may take it.
func (l *Loop) endClaims() bool {
	l.claimsMu.Lock()
	defer l.unlock()
	for _, p := range l.partitions {
		if p.claim != nil {
			l.doubt = true
			l.drop(p)
		}
	}
	return l.doubt && l.listing.failures < 2
}

// giveBackAll gives back whatever has our name.
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

// Hurry has Run, once its context has ended, return without waiting for the store. What is not given back by then has
// to expire.
func (l *Loop) Hurry() { l.hurryUp() }

// Drain stops claiming: nothing new is claimed or asked for, and requests are withdrawn. What is held is renewed
// until it is released. Once Drain has returned, Taken is not called any more.
func (l *Loop) Drain() {
	l.claimsMu.Lock()
	defer l.unlock()
	l.draining = true
	for l.taking > 0 {
		changed := l.changed
		l.claimsMu.Unlock()
		<-changed
		l.claimsMu.Lock()
	}
	l.poke()
}

// poke has the records listed now.
func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Claims returns what is held now, by partition id.
func (l *Loop) Claims() (held []*Claim) {
	l.claimsMu.Lock()
	defer l.claimsMu.Unlock()
	for _, p := range l.partitions {
		if p.claim != nil {
			held = append(held, p.claim)
		}
	}
	slices.SortFunc(held, func(a, b *Claim) int { return strings.Compare(a.id, b.id) })
	return held
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
	last := l.listing
	if l.claiming.last.After(last.last) {
		last = l.claiming
	}
	return Health{Answered: l.hasListed, FailingSince: sooner(l.listing.since, l.claiming.since), Err: last.err}
}

// note has something done once claimsMu is unlocked: the Logger and Taken are not ours.
func (l *Loop) note(do func()) { l.notes = append(l.notes, do) }

// log logs once claimsMu is unlocked.
func (l *Loop) log(level slog.Level, message string, args ...any) {
	l.note(func() { l.o.Logger.Log(context.Background(), level, message, args...) })
}

// unlock unlocks claimsMu, and does what was noted.
func (l *Loop) unlock() {
	notes := l.notes
	l.notes = nil
	l.claimsMu.Unlock()
	for _, do := range notes {
		do()
	}
}

// change has those look again that wait for something to be known. claimsMu is held.
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

// touch notes that a record may have changed: listings that are under way say nothing of it. claimsMu is held.
func (l *Loop) touch(p *partition) {
	l.moment++
	p.touched = l.moment
}

// drop ends a claim. claimsMu is held.
func (l *Loop) drop(p *partition) {
	p.claim.end(ErrLost)
	p.claim = nil
	l.held--
	p.settle()
	l.touch(p)
	l.change()
}

// settle notes that the last claim has succeeded, or doesn't matter any more. claimsMu is held.
func (p *partition) settle() { p.trouble, p.refusals, p.retryAt = trouble{}, 0, time.Time{} }
