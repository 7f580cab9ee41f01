package receive

import (
	"context"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

const (
	// askPause is the least time between two questions about lag: all consumers of a namespace share what it answers in a
	// second.
	askPause = 100 * time.Millisecond
	// extentKnownFor is how long it counts what was known of the end of a partition: with an older end, a partition that
	// falls behind would look well. It is at least twice LagInterval.
	extentKnownFor = 5 * time.Minute
)

// extent is what the service has said about the events that a partition has.
type extent struct {
	first, last int64     // sequence numbers; with no event, first is last+1
	asked       time.Time // when it was asked; zero: it hasn't answered
}

// watchLag asks where the partitions end that are held, each one every LagInterval, until ctx ends. Events don't tell:
// the SDK's links don't ask for that (azeventhubs, partition_client.go, newEventHubConsumerLink).
func (e *Engine) watchLag(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.lagDue:
		}
		next := e.options.LagInterval
		for _, r := range e.readersNow() {
			wait := e.options.LagInterval - time.Since(r.done.extentAsked())
			if wait > 0 {
				next = min(next, wait)
				continue
			}
			e.askExtent(ctx, r.done)
			if !retry.Sleep(ctx, askPause) {
				return
			}
		}
		timer.Reset(next)
	}
}

func (e *Engine) askExtent(ctx context.Context, p *progress) {
	now := time.Now()
	p.locked(func() { p.extentAskedAt = now })
	properties, err := e.options.Questions.Partition(ctx, p.id)
	if err != nil {
		if ctx.Err() == nil {
			p.log().Debug("eventhubs: the service does not say where the partition ends", "error", err)
		}
		return
	}
	found := extent{first: properties.BeginningSequenceNumber, last: properties.LastEnqueuedSequenceNumber, asked: now}
	if properties.IsEmpty {
		found.first = found.last + 1
	}
	p.locked(func() { p.extent = found })
}

func (p *progress) extentAsked() (at time.Time) {
	p.locked(func() { at = p.extentAskedAt })
	return at
}
