package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// receiving is one running call of Receive or ReceiveBatch.
type receiving struct {
	*Consumer
	handle   BatchHandler
	unit     int // how many events a call of handle gets at the most
	fetch    context.Context
	stop     context.CancelCauseFunc // ends fetch; nil as cause: in good order
	handlers context.Context         // what the contexts of handlers come from
	progress *checkpointer
	returned chan struct{}

	workers  sync.WaitGroup
	mu       sync.Mutex
	draining bool
	failed   error                                   // the first reason to end that is not the user's
	clients  []*azeventhubs.ProcessorPartitionClient // of workers that have drained
}

// errDone is the cause when Receive ends in good order.
var errDone = errors.New("eventhubs: done")

func (c *Consumer) receive(ctx context.Context, unit int, h BatchHandler) error {
	r := &receiving{Consumer: c, handle: h, unit: unit, returned: make(chan struct{})}
	var cancelHandlers context.CancelCauseFunc
	r.fetch, r.stop = context.WithCancelCause(ctx)
	r.handlers, cancelHandlers = context.WithCancelCause(context.WithoutCancel(ctx))
	defer r.stop(errDone)
	defer cancelHandlers(errDone)
	if err := c.begin(r); err != nil {
		return err
	}
	defer c.end(r)

	r.progress = newCheckpointer(c)
	defer r.progress.run()()
	err := r.run(cancelHandlers)
	if r.failed != nil {
		return r.failed
	}
	return err
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

// run reads with one Processor of the SDK until there is a reason to stop.
func (r *receiving) run(cancelHandlers context.CancelCauseFunc) error {
	processor, err := azeventhubs.NewProcessor(r.client, r.store, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: r.opts.Balance, UpdateInterval: r.opts.UpdateInterval, PartitionExpirationDuration: r.opts.ExpirationInterval,
		StartPositions: r.opts.Start, Prefetch: r.opts.Prefetch,
	})
	if err != nil {
		return fmt.Errorf("eventhubs: receive %s: %w", r.entity(), err)
	}
	// The Processor outlives the end of ctx: cancelled, it would give partitions up whose handlers are still running (processor.go, close).
	processing, stopProcessor := context.WithCancel(context.WithoutCancel(r.fetch))
	defer stopProcessor()
	ended := make(chan error, 1)
	go func() { ended <- processor.Run(processing) }()
	var beside sync.WaitGroup
	beside.Add(2)
	go func() {
		defer beside.Done()
		r.takePartitions(processor)
	}()
	go func() {
		defer beside.Done()
		r.probe()
	}()

	select {
	case <-r.fetch.Done():
		r.drain(cancelHandlers)
		stopProcessor()
		err = <-ended
	case err = <-ended:
		r.stop(errDone)
		r.drain(cancelHandlers)
	}
	beside.Wait()
	return r.cfg.explain("receive", r.entity(), err)
}

// probe opens a link as the Processor does, which only logs why it can't and tries again for ever (processor.go, dispatch): without a
// probe nothing would arrive, and nobody would be told. It has no epoch, so it takes nothing away from anyone: where there is a reader with one,
// it is refused, and that is as good an answer as any.
func (r *receiving) probe() {
	ctx, cancel := context.WithTimeout(r.fetch, probeTimeout)
	defer cancel()
	properties, err := r.client.GetEventHubProperties(ctx, nil)
	if err != nil || len(properties.PartitionIDs) == 0 {
		return // the Processor asks the same, and says what is wrong
	}
	latest := true
	partition, err := r.client.NewPartitionClient(properties.PartitionIDs[0], &azeventhubs.PartitionClientOptions{
		Prefetch: -1, StartPosition: azeventhubs.StartPosition{Latest: &latest},
	})
	if err != nil {
		return
	}
	_, err = partition.ReceiveEvents(ctx, 1, nil)
	_ = partition.Close(context.WithoutCancel(ctx))
	if err != nil && (isUnauthorized(err) || isMissing(err)) {
		r.fail(r.cfg.explain("receive", r.entity(), err))
	}
}

// takePartitions starts a worker for each partition that the Processor hands out, until it has ended.
func (r *receiving) takePartitions(p *azeventhubs.Processor) {
	for {
		client := p.NextPartitionClient(context.WithoutCancel(r.fetch)) // nil once the Processor has ended
		if client == nil {
			return
		}
		r.mu.Lock()
		if r.draining || r.fetch.Err() != nil { // nothing new is begun
			r.clients = append(r.clients, client)
			r.mu.Unlock()
			continue
		}
		r.workers.Add(1)
		r.mu.Unlock()
		go newWorker(r, client).work()
	}
}

// drain waits for the workers to finish what they are doing, and closes their links.
func (r *receiving) drain(cancelHandlers context.CancelCauseFunc) {
	r.beginNothing()
	timeout := time.AfterFunc(max(r.opts.DrainTimeout, 0), func() { cancelHandlers(ErrDraining) })
	defer timeout.Stop()
	r.workers.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.fetch), closeTimeout)
	defer cancel()
	r.mu.Lock()
	clients := r.clients
	r.clients = nil
	r.mu.Unlock()
	var closing sync.WaitGroup
	for _, c := range clients {
		closing.Add(1)
		go func() {
			defer closing.Done()
			_ = c.Close(ctx) // the link is gone either way
		}()
	}
	closing.Wait()
}

// beginNothing returns when takePartitions has seen that fetch has ended: workers may be waited for.
func (r *receiving) beginNothing() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
}

const (
	// probeTimeout is how long a link may take to be opened, or refused, at the start.
	probeTimeout = 5 * time.Second
	// closeTimeout is how long links get to be closed in good order.
	closeTimeout = 5 * time.Second
	// lastCheckpointTimeout is how long the last checkpoint of a partition may take.
	lastCheckpointTimeout = 15 * time.Second
)

// fail ends the call with an error. The first one counts.
func (r *receiving) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
	r.stop(errDone)
}

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 30 * time.Second
)

func defaultBackoff(attempt int, _ error) time.Duration {
	d := lastBackoff
	if attempt < 10 { // or the shift overflows
		d = min(firstBackoff<<(attempt-1), lastBackoff)
	}
	return d*3/4 + rand.N(d/2)
}

// sleep waits, and returns early, with false, when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
