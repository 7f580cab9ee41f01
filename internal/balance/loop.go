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
	Store azeventhubs.CheckpointStore
	// Group has the names of the namespace, the event hub and the consumer group; and, as OwnerID, the name under which
	// partitions are claimed. It is this consumer's alone.
	Group azeventhubs.Ownership
	// Strategy is greedy, which claims a whole share at once, or balanced, which claims one partition per
	// UpdateInterval.
	Strategy azeventhubs.ProcessorStrategy
	// UpdateInterval is the longest time between two listings of the store.
	UpdateInterval time.Duration
	// Expiration is how long a claim lasts without being renewed.
	Expiration time.Duration
	// DrainTimeout is how long a reader that is asked for its partition may take to finish.
	DrainTimeout time.Duration
	// Partitions are the ids at the start.
	Partitions []string
	// AskPartitions returns the ids there are now. It is called every minute, and has as long as a call of the store.
	AskPartitions func(ctx context.Context) ([]string, error)
	// Refused reports whether an error of the store is permanent: a person has to fix something. Nil means that none is.
	Refused func(error) bool
	// Role names the role that is missing if the store refuses a call for that, or is "". Nil means that it always is.
	Role func(error) string
	// Taken is called with each partition that becomes ours. It must not block, nor call methods of the
	// Loop or of the Claim, except those that say what a Claim is.
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
	// promiseMargin is what a reader gets beyond DrainTimeout for its last checkpoint and for the release, and how
	// long whoever waits for it waits beyond that.
	promiseMargin = 5 * time.Second
	// atOnce bounds the calls about single partitions that are under way.
	atOnce = 32
	// grace is how long calls that are under way at Run's end get to be answered: a claim that is cut off may be
	// stored.
	grace = time.Second
	// lastCalls bounds how Run releases what nobody has released: a listing and a claim.
	lastCalls = 5 * time.Second
)

// Loop claims partitions and renews the claims. Its methods are safe for concurrent use.
type Loop struct {
	o        Options
	requests handover.Store // nil if the store keeps no requests
	bound    time.Duration  // of a call
	wake     chan struct{}  // something may be due
	answers  chan func()    // what to do, in Run's goroutine, about the answers of calls
	slots    chan struct{}  // for calls about single partitions
	underWay int            // calls whose answers Run's goroutine has not taken in
	hurry    context.Context
	hurryUp  context.CancelFunc

	stateMu    sync.Mutex // guards what follows, and what claims say it guards
	ids        []string
	unanswered int                              // questions for the ids in a row
	known      map[string]azeventhubs.Ownership // what was last listed
	partitions map[string]*partition
	held       int       // how many of them have a claim
	roundAt    time.Time // when the next round is due
	listAt     time.Time // when a listing is due out of turn; zero means never
	askAt      time.Time // when the ids are due; zero while they are being asked for
	round      bool      // a round has begun, and no listing has succeeded since
	isListing  bool      // a listing is under way
	moment     uint64    // counts what happens, so that it is known what a listing can't have seen
	planned    uint64    // the moment of the listing that was last planned from
	listing    calls
	claiming   calls
	asking     calls     // about requests
	listedAt   time.Time // when the last answer to a listing came
	unwritten  bool      // no record of ours could be written then
	draining   bool
	ending     bool          // Run ends: calls may be cut off
	doubt      bool          // the store may have our name where we have no claim
	refused    error         // why Run ends, unless its context says so
	changed    chan struct{} // closed, and replaced, when more is known
	logs       []func()      // to be logged once stateMu is unlocked
}

// New returns a Loop that holds nothing until Run is called.
func New(o Options) *Loop {
	l := &Loop{
		o: o, bound: min(longestCall, max(o.Expiration/6, min(shortestCall, o.Expiration/2))),
		wake: make(chan struct{}, 1), answers: make(chan func()), slots: make(chan struct{}, atOnce),
		ids: sorted(o.Partitions), partitions: map[string]*partition{}, changed: make(chan struct{}),
		roundAt: time.Now(), askAt: time.Now().Add(askEvery),
		listing:  calls{what: "list who owns which partition"},
		claiming: calls{what: "claim partitions"},
		asking:   calls{what: "ask other consumers for partitions", answered: true},
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

// Run lists, plans and claims until ctx ends; then it releases what is still held, and returns nil within six
// seconds. An error means that the store has refused a listing, or a claim, before it had answered the first of its
// kind, and that is permanent. Run may be called once.
func (l *Loop) Run(ctx context.Context) error {
	calls, cut := context.WithCancel(context.WithoutCancel(ctx)) // calls outlast ctx: see grace
	defer cut()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for l.start(ctx, calls, timer) {
		select {
		case <-ctx.Done():
		case answer := <-l.answers:
			l.takeIn(answer)
		case <-l.wake:
		case <-timer.C:
		}
	}
	l.finish(calls, cut)
	return l.refused
}

// start starts what is due, and sets the timer for what is due next. It returns false when Run has to end.
func (l *Loop) start(ctx, calls context.Context, timer *time.Timer) bool {
	l.stateMu.Lock()
	defer l.unlock()
	if l.ending = ctx.Err() != nil || l.refused != nil; l.ending {
		return false
	}
	now := time.Now()
	next := l.renew(calls, now)
	if due(now, l.askAt) {
		l.askPartitions(calls)
	}
	next = sooner(next, l.askAt)
	if !l.isListing { // otherwise its answer comes first
		next = sooner(next, l.startRound(calls, now))
	}
	timer.Stop()
	if !next.IsZero() {
		timer.Reset(time.Until(next))
	}
	return true
}

// startRound lists the records if that is due, and otherwise returns when it is.
func (l *Loop) startRound(calls context.Context, now time.Time) (next time.Time) {
	if due(now, l.roundAt) {
		l.round = true
		// Rounds are never further apart than UpdateInterval, so limits that are counted in those hold. They vary, so
		// that consumers don't stay in step.
		l.roundAt = now.Add(l.o.UpdateInterval - rand.N(l.o.UpdateInterval/10+1))
		l.listSoon(now)
	}
	if due(now, l.listAt) {
		l.list(calls)
		return next
	}
	return sooner(l.roundAt, l.listAt)
}

// due reports whether a time has come. The zero time means never, here and in sooner.
func due(now, at time.Time) bool { return !at.IsZero() && !now.Before(at) }

// sooner returns the earlier of two times.
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

// begin makes a call in a goroutine of its own. What it returns is done in Run's, with stateMu held. If the call is
// about a single partition, it waits until not too many of these are under way.
func (l *Loop) begin(ctx context.Context, single bool, call func(ctx context.Context) (answer func())) {
	l.underWay++
	go func() {
		if single {
			l.slots <- struct{}{}
			defer func() { <-l.slots }()
		}
		bounded, cancel := context.WithTimeout(ctx, l.bound)
		defer cancel()
		l.answers <- call(bounded)
	}()
}

func (l *Loop) takeIn(answer func()) {
	l.stateMu.Lock()
	defer l.unlock()
	l.underWay--
	answer()
	l.change()
}

// finish waits for the calls that are under way, ends the claims, and releases what nobody has released.
func (l *Loop) finish(ctx context.Context, cut context.CancelFunc) {
	l.Drain() // what is claimed from now on is released
	defer time.AfterFunc(grace, cut).Stop()
	defer context.AfterFunc(l.hurry, cut)()
	for l.underWay > 0 {
		l.takeIn(<-l.answers)
	}
	l.stateMu.Lock()
	for _, p := range l.partitions {
		if p.claim != nil {
			l.doubt = true
			l.drop(p)
		}
	}
	l.unlock()
	if !l.doubt || l.listing.trouble.failures > 1 { // then the store is down
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(lastCalls, l.bound))
	defer cancel()
	defer context.AfterFunc(l.hurry, cancel)()
	if err := l.releaseOurs(ctx, ""); err != nil {
		l.o.Logger.Warn("eventhubs: partitions could not be released: others can claim them once their claims expire",
			"after", retry.Text(l.o.Expiration), "error", err)
	}
}

// Hurry has Run, once its context has ended, return without waiting for the store. What is not released by then has
// to expire.
func (l *Loop) Hurry() { l.hurryUp() }

// Drain stops claiming: nothing new is claimed or asked for, and requests are withdrawn. What is held is renewed
// until it is released. Once Drain has returned, Taken is not called any more.
func (l *Loop) Drain() {
	l.stateMu.Lock()
	defer l.unlock()
	l.draining = true
	l.listSoon(time.Now())
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Claims returns what is held now, by partition id.
func (l *Loop) Claims() (held []*Claim) {
	l.stateMu.Lock()
	defer l.stateMu.Unlock()
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
	l.stateMu.Lock()
	defer l.stateMu.Unlock()
	a, b := l.listing.trouble, l.claiming.trouble
	last := a
	if b.last.After(a.last) {
		last = b
	}
	return Health{Answered: l.listing.answered, FailingSince: sooner(a.since, b.since), Err: last.err}
}
