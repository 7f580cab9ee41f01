package send

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// smallestLimit is the limit of the Basic tier, 256 KB: every event hub accepts that much.
const smallestLimit = 250 << 10

// onTheirWay is how many batches of a link may be in flight: fewer than the 1,000 that the service grants credit for,
// because go-amqp waits for credit with a lock held that all senders need (sender.go, send).
const onTheirWay = 256

// link leads to one partition, or, without one, to the whole hub.
type link struct {
	engine    *Engine
	partition string
	shared    *connection.Shared[*azeventhubs.ProducerClient]
	share     share // of the Engine's room, which queuesMu guards

	limit     atomic.Int64 // the most bytes of a message; 0: it was never open
	batchSize atomic.Int64 // the most bytes of a batch; the limit, once it is known

	quick     atomic.Bool // the last answer took little of AnswerTimeout
	failing   atomic.Bool
	failureMu sync.Mutex
	failure   outage
}

// outage is what is known about a link that keeps failing.
type outage struct {
	since time.Time // of the first failure
	tries int
	last  error
	next  time.Time // when it is logged again; zero: it was not yet
}

func newLink(e *Engine, partition string) *link {
	l := &link{engine: e, partition: partition}
	l.batchSize.Store(smallestLimit)
	l.shared = connection.New(connection.Options[*azeventhubs.ProducerClient]{
		New: e.options.New, Open: l.open, Close: closeProducer, AtOnce: onTheirWay, CallTimeout: e.options.AnswerTimeout,
	})
	return l
}

// open opens the link, and learns how large a message may be.
func (l *link) open(ctx context.Context, client *azeventhubs.ProducerClient) error {
	o := Destination{Partition: l.partition}.options()
	o.MaxBytes = math.MaxUint64
	_, err := client.NewEventDataBatch(ctx, o) // fails on purpose: the error has the limit
	limit := sdkerr.Limit(err)
	if limit == 0 {
		return err
	}
	l.limit.Store(limit)
	l.batchSize.Store(limit)
	l.engine.reached.Store(true)
	return nil
}

// closeProducer closes a client. Its links are detached, and the connection is closed, unless it is lost.
func closeProducer(ctx context.Context, client *azeventhubs.ProducerClient, _ *dial.Dialer) error {
	return client.Close(ctx)
}

// ensure opens the link.
func (l *link) ensure(ctx context.Context) error {
	wanted := func() bool { return ctx.Err() == nil }
	err := l.try(ctx, time.Now(), wanted, func() error { return l.shared.Open(ctx) })
	if err != nil && ctx.Err() != nil {
		return l.abandoned(ctx, "nothing was sent")
	}
	return err
}

// abandoned is the error of a call whose context has ended.
func (l *link) abandoned(ctx context.Context, open string) error {
	cause := context.Cause(ctx)
	l.failureMu.Lock()
	defer l.failureMu.Unlock()
	return &AbandonedError{Open: open, Cause: cause, Last: l.failure.last}
}

// try does one step of sending, and repeats it while it fails transiently and somebody wants it. It may take RetryFor
// since the link began to fail, or since began if that is later. ctx ends the waits between tries.
func (l *link) try(ctx context.Context, began time.Time, wanted func() bool, step func() error) error {
	var first time.Time // failure
	for n := 1; ; n++ {
		err := step()
		if err == nil {
			l.succeed()
			return nil
		}
		if n == 1 {
			first = time.Now()
		}
		wait, again := l.engine.pause(err, n, time.Since(l.fail(err, first, began)))
		if !again || !wanted() {
			return err
		}
		if l.engine.reached.Load() || kindOf(err) == busy { // otherwise the caller is told soon
			l.log(err, wait)
		}
		if !retry.Sleep(ctx, wait) {
			return context.Cause(ctx)
		}
		if !wanted() {
			return err
		}
	}
}

func (l *link) isFailing() bool { return l.failing.Load() }

// fail notes a failure, and returns since when something has been failing whose first failure and beginning are given.
func (l *link) fail(err error, first, began time.Time) (since time.Time) {
	l.failureMu.Lock()
	defer l.failureMu.Unlock()
	if l.failure.tries == 0 {
		l.failure.since = time.Now()
	}
	l.failure.tries++
	l.failure.last = err
	l.failing.Store(true)
	l.quick.Store(false)
	return failingSince(l.failure.since, first, began)
}

// failingSince returns since when a step has been failing: since its link began to fail, or since the step began if
// that was later; but no later than its own first failure, because it may be the only one that fails.
func failingSince(link, first, began time.Time) time.Time {
	since := link
	if began.After(since) {
		since = began
	}
	if first.Before(since) {
		since = first
	}
	return since
}

// succeed ends an outage.
func (l *link) succeed() {
	if !l.failing.Load() {
		return
	}
	l.failureMu.Lock()
	o := l.failure
	l.failure = outage{}
	l.failing.Store(false)
	l.failureMu.Unlock()
	if !o.next.IsZero() {
		l.logger().Info("eventhubs: sending works again", "after", retry.Text(time.Since(o.since)), "tries", o.tries)
	}
}

// log reports a failure that is retried: the first one, and then at doubling intervals.
func (l *link) log(err error, wait time.Duration) {
	l.failureMu.Lock()
	now := time.Now()
	o := &l.failure
	if now.Before(o.next) {
		l.failureMu.Unlock()
		return
	}
	o.next = now.Add(max(time.Second, now.Sub(o.since)))
	tries, since := o.tries, o.since
	l.failureMu.Unlock()
	log := l.logger().With("tries", tries, "for", retry.Text(now.Sub(since)), "again_in", retry.Text(wait),
		"error", l.engine.options.Explain(err))
	if sdkerr.IsUnauthorized(err) {
		log.Warn("eventhubs: sending is no longer authorized: retrying", "role", sdkerr.Role(sdkerr.Send))
		return
	}
	log.Warn("eventhubs: sending fails: retrying")
}

func (l *link) logger() *slog.Logger {
	log := l.engine.options.Logger.With("event_hub", l.engine.options.EventHub)
	if l.partition != "" {
		log = log.With("partition", l.partition)
	}
	return log
}
