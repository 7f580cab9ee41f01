package simulate_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// process is a consumer, with a network of its own.
type process struct {
	sim      *simulation
	name     string // its InstanceID; one that was killed may have had it before
	network  *network
	consumer *eventhubs.Consumer
	keys     int64 // of a partition; the events of each key come in order
	openings openings
	cancel   context.CancelFunc
	ended    chan struct{} // closed when Receive has returned for good
	killed   atomic.Bool

	drawsMu sync.Mutex
	draws   map[string]random   // by partition
	bad     map[place]time.Time // events that the handler fails with, until when
}

const (
	drainTimeout = 30 * time.Second // the default
	finishBound  = 5 * time.Second  // what ConsumerOptions.DrainTimeout says about the last checkpoints
	margin       = time.Second
	// restartAfter is how long a supervisor waits after an error before it calls Receive again.
	restartAfter = 10 * time.Second
	longestStall = 2 * time.Minute // of a handler
	longestBad   = 5 * time.Minute // that a handler fails with one event
	keys         = 13              // in a partition, for concurrent handlers
)

func (s *simulation) config(n *network) eventhubs.Config {
	cfg := s.server.Config(hub)
	cfg.Logger = s.logs.logger()
	cfg.DialContext = n.dial
	return cfg
}

func (s *simulation) blobs(n *network) eventhubs.BlobConfig {
	cfg := s.server.BlobConfig("checkpoints")
	cfg.Logger = s.logs.logger()
	cfg.ClientOptions.Transport = &http.Client{Transport: &http.Transport{DialContext: n.dial}}
	return cfg
}

// start starts a process that receives. It returns nil if the store can't be opened, for example while storage is down.
func (s *simulation) start(name string, r random) *process {
	n := newNetwork(s.server.DialContext)
	ctx, cancel := context.WithCancel(context.Background())
	opening, opened := context.WithTimeout(ctx, time.Minute)
	defer opened()
	returned := s.judge.within(time.Minute+margin, "%s: NewBlobCheckpointStore", name)
	store, err := eventhubs.NewBlobCheckpointStore(opening, s.blobs(n))
	returned()
	if err != nil {
		s.judge.notes("", "%s: could not start: %v", name, err)
		cancel()
		n.kill()
		return nil
	}
	o := eventhubs.ConsumerOptions{
		InstanceID: name, MaxBatch: 1 + r.upTo(100), CheckpointCount: r.upTo(2) * r.upTo(50),
		LagInterval: time.Duration(r.upTo(2)) * time.Minute,
	}
	batches := r.oneIn(2)
	if batches {
		o.BatchWait = time.Duration(r.upTo(2)) * r.time(5*time.Second)
	}
	if s.concurrency > 1 && !batches {
		o.Concurrency, o.MaxAhead = s.concurrency, r.upTo(2)*(1+r.upTo(200))
		o.Key = func(e *eventhubs.ReceivedEvent) string { return fmt.Sprint(e.SequenceNumber % keys) }
	}
	p := &process{
		sim: s, name: name, network: n, cancel: cancel, ended: make(chan struct{}), draws: map[string]random{},
		bad: map[place]time.Time{}, keys: 1,
	}
	if o.Concurrency > 1 {
		p.keys = keys
	}
	p.openings = openings{process: p, open: map[string]bool{}, running: map[string]int{}}
	o.PartitionOpened, o.PartitionClosed = p.openings.opened, p.openings.closed
	p.consumer, err = eventhubs.NewConsumer(s.config(n), store, &o)
	require.NoError(s.t, err)
	s.judge.notes("", "%s: started; batches: %t, %+v", name, batches, o)
	go p.run(ctx, batches)
	return p
}

// run calls Receive, and calls it again after an error, as a supervisor would.
func (p *process) run(ctx context.Context, batches bool) {
	defer close(p.ended)
	for {
		var err error
		if batches {
			err = p.consumer.ReceiveBatch(ctx, p.handleBatch)
		} else {
			err = p.consumer.Receive(ctx, p.handle)
		}
		p.openings.check()
		if ctx.Err() != nil || p.killed.Load() {
			return
		}
		p.sim.judge.notes("", "%s: Receive returned: %v", p.name, err)
		if !sleep(ctx, restartAfter) {
			return
		}
	}
}

func (p *process) handle(ctx context.Context, e *eventhubs.ReceivedEvent) error {
	return p.handleBatch(ctx, []*eventhubs.ReceivedEvent{e})
}

// handleBatch handles events: mostly at once, sometimes slowly, sometimes not at the first try.
func (p *process) handleBatch(ctx context.Context, events []*eventhubs.ReceivedEvent) (err error) {
	if !p.runs() {
		return errDead
	}
	first, n := events[0], int64(len(events))
	defer p.openings.run(first.PartitionID)()
	u := unit{
		holding{p.name, first.PartitionID, ctx}, first.SequenceNumber, first.SequenceNumber + n - 1, first.Attempt, p.keys,
	}
	p.sim.judge.comes(u)
	completed := false
	defer func() { p.sim.judge.returns(u, completed) }()
	if err := p.work(ctx, place{first.PartitionID, first.SequenceNumber}); err != nil {
		return err
	}
	if !p.runs() {
		return errDead
	}
	completed = true
	return nil
}

// runs waits while the process is paused, and returns false if it was killed. A process that doesn't run handles
// nothing.
func (p *process) runs() bool {
	p.network.wait(context.Background())
	return !p.killed.Load()
}

var errOfHandler = errors.New("the handler fails now and then")

// work is what a handler does with an event, or with a batch that starts with that event.
func (p *process) work(ctx context.Context, at place) error {
	rare, often, takes := p.drawsFor(at)
	switch rare {
	case 0:
		return eventhubs.Stop(errOfHandler)
	case 1:
		panic(errOfHandler)
	case 2, 3, 4:
		if !sleep(ctx, time.Duration(takes*float64(longestStall))) {
			return context.Cause(ctx)
		}
	}
	switch often {
	case 0:
		return errOfHandler
	case 1:
		sleep(ctx, time.Duration(takes*float64(3*time.Second)))
	}
	return nil
}

// drawsFor draws for a handler, from the source of its partition, since handlers run at the same time. Some events fail
// for a while, but only where that holds up one key alone.
func (p *process) drawsFor(at place) (rare, often int, takes float64) {
	p.drawsMu.Lock()
	defer p.drawsMu.Unlock()
	r, ok := p.draws[at.partition]
	if !ok {
		r = p.sim.draws(p.name + "/" + at.partition)
		p.draws[at.partition] = r
	}
	rare, often, takes = r.upTo(3000), r.upTo(50), r.source.Float64()
	if rare >= 5 && rare < 10 && p.keys > 1 {
		p.bad[at] = time.Now().Add(time.Duration(takes * float64(longestBad)))
	}
	if until, bad := p.bad[at]; bad && time.Now().Before(until) {
		return rare, 0, takes
	}
	return rare, often, takes
}

// stop ends the process cleanly.
func (p *process) stop() {
	began := time.Now()
	p.network.resume()
	p.cancel()
	p.await(began)
	p.sim.judge.notes("", "%s: stopped", p.name)
}

// close ends the process with Close, whose context lasts as long as patience.
func (p *process) close(patience time.Duration) {
	began := time.Now()
	p.network.resume()
	p.closeWithin(patience)
	p.cancel() // if Receive was between two calls
	p.await(began)
	p.sim.judge.notes("", "%s: closed in %v", p.name, patience)
}

func (p *process) closeWithin(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer p.sim.judge.within(patience+margin, "%s: Close with a context of %v", p.name, patience)()
	_ = p.consumer.Close(ctx) // running out of time is no failure here
}

// kill ends the process at once, without a clean shutdown.
func (p *process) kill() {
	p.killed.Store(true)
	p.network.kill()
	p.sim.judge.notes("", "%s: killed", p.name)
	p.cancel()
	p.await(time.Now())
}

// await waits for Receive to return, accuses it if that takes too long, and cleans up.
func (p *process) await(began time.Time) {
	bound := drainTimeout + finishBound + margin
	late := time.NewTimer(time.Until(began.Add(bound)))
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		p.sim.judge.accuses(hung, nil, "%s: Receive has not returned within %v", p.name, bound)
		<-p.ended
	}
	p.closeWithin(10 * time.Second)
	p.network.kill()
}

// nextName returns the name of the next process. Often it is a new one, like a pod's; otherwise it is that of a process
// that was killed, like that of a pod in a StatefulSet.
func (s *simulation) nextName(r random) string {
	if n := len(s.free); n > 0 && r.oneIn(2) {
		name := s.free[n-1]
		s.free = s.free[:n-1]
		return name
	}
	s.started++
	return fmt.Sprintf("consumer-%d", s.started)
}
