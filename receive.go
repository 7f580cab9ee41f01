package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// receiving is one running call of Receive or ReceiveBatch.
type receiving struct {
	*Consumer
	handle   BatchHandler
	unit     int                     // how many events a call of handle gets at the most
	ctx      context.Context         // the caller's; what goes on after its end takes its values
	fetch    context.Context         // ends when nothing more is to be fetched
	stop     context.CancelCauseFunc // ends fetch
	progress *checkpointer
	returned chan struct{}

	mu      sync.Mutex
	failed  error                             // the first reason to end that is not the caller's
	opened  bool                              // a partition was opened: names and rights are right
	anew    map[string]bool                   // partitions whose checkpoint the service has refused
	begins  map[string]azeventhubs.Checkpoint // where the Processor was told to begin, by partition
	reading *generation                       // the latest
}

// errDone is the cause when things end in good order.
var errDone = errors.New("eventhubs: done")

func (c *Consumer) receive(ctx context.Context, unit int, h BatchHandler) error {
	r := &receiving{Consumer: c, handle: h, unit: unit, ctx: ctx, returned: make(chan struct{}), progress: newCheckpointer(c)}
	r.fetch, r.stop = context.WithCancelCause(ctx)
	defer r.stop(errDone)
	if err := c.begin(r); err != nil {
		return err
	}
	defer c.end(r)
	defer r.progress.run()()
	defer r.watchPartitions()()
	if err := r.run(); err != nil {
		return err
	}
	return r.failed
}

// begin makes r the one call that may run.
func (c *Consumer) begin(r *receiving) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return fmt.Errorf("eventhubs: receive %s: the consumer is closed", c.entity())
	case c.current != nil:
		return fmt.Errorf("eventhubs: receive %s: the consumer is receiving already: make a second Consumer to read with two", c.entity())
	}
	c.current = r
	return nil
}

func (c *Consumer) end(r *receiving) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
	close(r.returned)
}

// run reads with one Processor of the SDK after the other: one that has ended can't be run again (azeventhubs, processor.go, checkState).
func (r *receiving) run() error {
	var dropped time.Time // when the connection was given up that doesn't renew its tokens
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := r.runProcessor()
		if r.fetch.Err() != nil {
			return nil //nolint:nilerr // what a Processor says that was told to end is no news
		}
		switch {
		case err == nil:
		case sdkerr.IsUnauthorized(err) && r.hasOpened() && time.Since(dropped) > retry.Longest:
			// The token for $management may have run out: the SDK renews it beside the link, and if that comes late (the machine has slept), it doesn't ask for a new link.
			dropped = time.Now()
			r.dialer.Drop()
		case isFatal(err), !r.hasOpened() && !sdkerr.IsBusy(err):
			return r.target.explain(sdkerr.Receive, r.entity(), err)
		}
		if time.Since(began) > retry.Longest {
			attempt = 1
		}
		wait := retry.Backoff(attempt)
		if retry.Worth(attempt) {
			r.logger().Warn("eventhubs: reading has to begin anew", "attempt", attempt, "again_in", wait, "error", err)
		}
		if !retry.Sleep(r.fetch, wait) {
			return nil
		}
	}
}

// fail ends the call with an error. The first one counts.
func (r *receiving) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
	r.stop(errDone)
}

// setGeneration says which generation is reading.
func (r *receiving) setGeneration(g *generation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading = g
}

func (r *receiving) generation() *generation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reading
}

func (r *receiving) setOpened() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = true
}

func (r *receiving) hasOpened() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// isFatal reports whether waiting is of no use: somebody has to change a name or a right.
func isFatal(err error) bool { return sdkerr.IsUnauthorized(err) || sdkerr.IsNotFound(err) }

// defaultBackoff is what a nil ConsumerOptions.Backoff means.
func defaultBackoff(attempt int, _ error) time.Duration { return retry.Backoff(attempt) }
