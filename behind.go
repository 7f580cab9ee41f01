package eventhubs

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

const (
	// askEvery is how old what is known of the end of a partition may be before the service is asked again.
	askEvery = 30 * time.Second
	// askPause is the least time between two questions.
	askPause = 100 * time.Millisecond
	// answerTimeout is how long an answer is waited for. The SDK waits for ever.
	answerTimeout = 10 * time.Second
	// maxUnanswered bounds the questions whose answers were waited for in vain.
	maxUnanswered = 4
	// endKnownFor is how long it counts what was known of the end of a partition: with an older end, a partition that falls behind would look well.
	endKnownFor = 5 * time.Minute
)

// watch is what a Consumer has for being watched.
type watch struct {
	wanted     atomic.Bool    // Partitions was called: somebody wants to know how far behind partitions are
	asking     sync.WaitGroup // questions under way
	unanswered atomic.Int32   // how many these are

	stallAfter, askEvery, answerTimeout, endKnownFor time.Duration // 0: the constants; for tests
}

// close waits for the answers that are missing, which end with the connection, or until ctx ends. No question is asked any more.
func (w *watch) close(ctx context.Context) {
	none := make(chan struct{})
	go func() { w.asking.Wait(); close(none) }()
	select {
	case <-none:
	case <-ctx.Done():
	}
}

// extent is what the service has said about the events that a partition has.
type extent struct {
	first, last int64     // sequence numbers; with no event, first is last+1
	at          time.Time // when it was asked; zero: it hasn't said anything
	askedAt     time.Time // when it was last asked; the answer may be missing
}

// watchPartitions watches the partitions until the function that it returns is called, which waits.
func (r *receiving) watchPartitions() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { r.watchStalled(ctx) })
	watching.Go(func() { r.watchEnds(ctx) })
	return func() { cancel(); watching.Wait() }
}

// watchEnds keeps up to date where partitions end, once somebody has wanted to know. Events don't tell: the SDK's links don't ask for that (partition_client.go,
// newEventHubConsumerLink). So the service is asked, for one partition after the other, slowly: all consumers of a namespace share what it answers in a second.
func (r *receiving) watchEnds(ctx context.Context) {
	every := cmp.Or(r.watch.askEvery, askEvery)
	for retry.Sleep(ctx, askPause) {
		if p := r.unknownEnd(every); p != nil {
			r.askEnd(ctx, p)
		}
	}
}

// unknownEnd returns the partition that is to be asked for next, or nil.
func (r *receiving) unknownEnd(every time.Duration) (next *progress) {
	g := r.generation()
	if g == nil || !r.watch.wanted.Load() {
		return nil
	}
	oldest := time.Now().Add(-every)
	for id := range g.lease.Held() {
		if p := r.progress.find(id); p != nil {
			if asked := p.askedAt(); asked.Before(oldest) {
				next, oldest = p, asked
			}
		}
	}
	return next
}

// askEnd asks where a partition ends, and waits for the answer for a while. If none comes, the question ends with the connection: the SDK doesn't pass its context on (mgmt.go).
func (r *receiving) askEnd(ctx context.Context, p *progress) {
	now := time.Now()
	p.asked(now)
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.watch.answerTimeout, answerTimeout))
	defer cancel()
	answered := make(chan struct{})
	if !r.question(func() { defer close(answered); r.learnEnd(ctx, p, now) }) {
		return
	}
	select {
	case <-answered:
	case <-ctx.Done():
		p.log.Debug("eventhubs: the service doesn't answer where the partition ends")
	}
}

// question runs one that Close waits for, unless there are too many already, or the Consumer is closed.
func (c *Consumer) question(ask func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.watch.unanswered.Load() >= maxUnanswered {
		return false
	}
	c.watch.unanswered.Add(1)
	c.watch.asking.Go(func() { defer c.watch.unanswered.Add(-1); ask() })
	return true
}

// learnEnd takes down what the service says, who was asked at a time.
func (c *Consumer) learnEnd(ctx context.Context, p *progress, asked time.Time) {
	properties, err := c.properties(ctx, p.id)
	if err != nil {
		if ctx.Err() == nil {
			p.log.Debug("eventhubs: the service doesn't say where the partition ends", "error", err)
		}
		return
	}
	first, last := properties.BeginningSequenceNumber, properties.LastEnqueuedSequenceNumber
	if properties.IsEmpty {
		first = last + 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if asked.After(p.extent.at) { // an answer may overtake another
		p.extent.first, p.extent.last, p.extent.at = first, last, asked
	}
}

func (p *progress) askedAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.extent.askedAt
}

func (p *progress) asked(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.extent.askedAt = now
}
