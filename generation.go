package eventhubs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/lease"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// generation is the life of one Processor of the SDK, and of the workers that read what it opens.
type generation struct {
	*receiving
	lease    *lease.Store
	fetch    context.Context // ends when nothing more is to be fetched with this Processor
	handlers context.Context // what the contexts of handlers come from

	workers  sync.WaitGroup
	mu       sync.Mutex
	draining bool                                    // no worker is started any more
	open     map[string]bool                         // which partitions have a worker
	left     []*azeventhubs.ProcessorPartitionClient // clients to close when all workers are done
}

const (
	// closeTimeout is how long links get to be closed in good order.
	closeTimeout = 5 * time.Second
	// storeTimeout bounds a call of the checkpoint store, so that one that hangs is tried again before ownership expires.
	storeTimeout = 20 * time.Second
)

// runProcessor reads with one Processor until fetch ends, the Processor ends, or only a new one helps.
func (r *receiving) runProcessor() error {
	g := &generation{receiving: r, open: map[string]bool{}}
	fetch, stop := context.WithCancelCause(r.fetch)
	defer stop(errDone)
	handlers, cancelHandlers := context.WithCancelCause(context.WithoutCancel(r.ctx))
	defer cancelHandlers(errDone)
	g.fetch, g.handlers = fetch, handlers
	g.lease = lease.New(lease.Options{
		Store: r.store, Owner: r.client.InstanceID(), Expiration: r.opts.ExpirationInterval, Patience: r.opts.ExpirationInterval / 2,
		CallTimeout: min(storeTimeout, r.opts.ExpirationInterval/2), Complete: r.completeCheckpoints, Logger: r.logger(),
		Final: func(err error) bool { return !r.hasOpened() && sdkerr.IsStorageRefusal(err) },
	})
	r.setGeneration(g)
	defer func() {
		if g.lease.Answered() { // a consumer that found no partition to take has had its first success all the same
			r.setOpened()
		}
		g.lease.Close()
	}()
	processor, err := azeventhubs.NewProcessor(r.client, g.lease, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: r.opts.Balance, UpdateInterval: r.opts.UpdateInterval, PartitionExpirationDuration: r.opts.ExpirationInterval,
		StartPositions: r.opts.Start, Prefetch: r.opts.Prefetch,
	})
	if err != nil {
		return fmt.Errorf("eventhubs: receive %s: %w", r.entity(), err)
	}
	// The Processor outlives the end of fetch: cancelled, it would give partitions up whose handlers are still running (processor.go, close).
	processing, stopProcessor := context.WithCancel(context.WithoutCancel(r.ctx))
	defer stopProcessor()
	ended := make(chan error, 1)
	go func() { ended <- processor.Run(processing) }()
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { g.takePartitions(processor) })
	beside.Go(g.watchUnopened)

	select {
	case <-fetch.Done():
	case <-g.lease.Broken():
	case err := <-ended:
		stop(errDone)
		g.drain(cancelHandlers)
		return err
	}
	stop(errDone)
	g.drain(cancelHandlers)
	g.lease.End()
	stopProcessor()
	return <-ended
}

// takePartitions starts a worker for each partition that the Processor hands out, until it has ended.
func (g *generation) takePartitions(p *azeventhubs.Processor) {
	for {
		client := p.NextPartitionClient(context.WithoutCancel(g.ctx)) // nil once the Processor has ended
		if client == nil {
			return
		}
		g.setOpened()
		g.mu.Lock()
		switch hold := g.lease.Hold(client.PartitionID()); {
		case g.draining:
			g.left = append(g.left, client)
		case hold == nil: // lost again already
			g.closeClients([]*azeventhubs.ProcessorPartitionClient{client})
		default:
			g.open[client.PartitionID()] = true
			g.workers.Add(1)
			go newWorker(g, client, hold).work()
		}
		g.mu.Unlock()
	}
}

// drain waits for the workers to finish what they are doing, and closes the links. fetch has ended.
func (g *generation) drain(cancelHandlers context.CancelCauseFunc) {
	g.lease.Drain()
	g.mu.Lock()
	g.draining = true
	g.mu.Unlock()
	timeout := time.AfterFunc(max(g.opts.DrainTimeout, 0), func() { cancelHandlers(ErrDraining) })
	defer timeout.Stop()
	g.workers.Wait()
	g.mu.Lock()
	left := g.left
	g.left = nil
	g.mu.Unlock()
	g.closeClients(left)
}

// closeClients closes links side by side. What can't be closed in good order is gone all the same.
func (g *generation) closeClients(clients []*azeventhubs.ProcessorPartitionClient) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), closeTimeout)
	defer cancel()
	var closing sync.WaitGroup
	for _, c := range clients {
		closing.Go(func() { _ = c.Close(ctx) })
	}
	closing.Wait()
}
