package scene

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// Receiver is a consumer with a checkpoint store of its own. Its Receive runs concurrently with the test.
type Receiver struct {
	Consumer *eventhubs.Consumer
	Who      string // its name in ownership records, and in what the tally finds
	Host     *Host  // the machine that it runs on; nil: the one that all others share

	scene  *Scene
	drain  time.Duration
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	err    error       // what Receive has returned
	at     time.Time   // and when
	known  atomic.Bool // Result has returned err
}

// Nothing is a handler that succeeds.
func Nothing(context.Context, *eventhubs.ReceivedEvent) error { return nil }

// Receive starts a consumer.
func (s *Scene) Receive(who string, o eventhubs.ConsumerOptions, h eventhubs.Handler) *Receiver {
	s.T.Helper()
	r := s.Consumer(who, o)
	r.Receive(h)
	return r
}

// ReceiveBatch starts a consumer that handles batches.
func (s *Scene) ReceiveBatch(who string, o eventhubs.ConsumerOptions, h eventhubs.BatchHandler) *Receiver {
	s.T.Helper()
	r := s.Consumer(who, o)
	r.start(func(ctx context.Context) error { return r.Consumer.ReceiveBatch(ctx, s.Tally.BatchHandler(who, h)) })
	return r
}

// Consumer makes a consumer that does not receive yet.
func (s *Scene) Consumer(who string, o eventhubs.ConsumerOptions) *Receiver {
	s.T.Helper()
	return s.consumer(who, o, s.Config, s.OpenStore(Container), nil)
}

// ConsumerOn makes a consumer that runs on a machine of its own.
func (s *Scene) ConsumerOn(h *Host, who string, o eventhubs.ConsumerOptions) *Receiver {
	s.T.Helper()
	return s.consumer(who, o, h.config(s.Config), s.openStore(h.blobConfig(s.Server.BlobConfig(Container))), h)
}

// ConsumerWith makes a consumer with another configuration, or another store, than the scene's.
func (s *Scene) ConsumerWith(
	cfg eventhubs.Config, store eventhubs.CheckpointStore, o eventhubs.ConsumerOptions,
) *Receiver {
	s.T.Helper()
	return s.consumer(o.InstanceID, o, cfg, store, nil)
}

func (s *Scene) consumer(
	who string, o eventhubs.ConsumerOptions, cfg eventhubs.Config, store eventhubs.CheckpointStore, h *Host,
) *Receiver {
	s.T.Helper()
	o.InstanceID = who
	c, err := eventhubs.NewConsumer(cfg, store, &o)
	require.NoError(s.T, err)
	r := &Receiver{Consumer: c, Who: who, Host: h, scene: s, drain: max(o.DrainTimeout, 0), ended: make(chan struct{})}
	if o.DrainTimeout == 0 {
		r.drain = 30 * time.Second
	}
	r.ctx, r.cancel = context.WithCancel(s.late())
	s.T.Cleanup(r.close)
	s.receiversMu.Lock()
	defer s.receiversMu.Unlock()
	s.receivers = append(s.receivers, r)
	return r
}

// late is a context for what runs on after the test has ended.
func (s *Scene) late() context.Context { return context.WithoutCancel(s.T.Context()) }

// close ends the consumer when the test does.
func (r *Receiver) close() {
	r.cancel()
	began := time.Now()
	err := r.Consumer.Close(r.scene.late())
	if err != nil && r.Host == nil { // from a broken host nothing can be closed
		r.scene.T.Errorf("close %s: %v", r.Who, err)
	}
	if took := time.Since(began); r.scene.options.InMemory && took > r.drain+finish+closeConnections {
		r.scene.T.Errorf("close %s took %v", r.Who, took)
	}
}

// Receive starts the consumer's Receive.
func (r *Receiver) Receive(h eventhubs.Handler) {
	r.start(func(ctx context.Context) error { return r.Consumer.Receive(ctx, r.scene.Tally.Handler(r.Who, h)) })
}

// ReceiveUncounted is Receive without the tally.
func (r *Receiver) ReceiveUncounted(h eventhubs.Handler) {
	r.start(func(ctx context.Context) error { return r.Consumer.Receive(ctx, h) })
}

func (r *Receiver) start(call func(context.Context) error) {
	go func() {
		defer close(r.ended)
		r.err = call(r.ctx)
		r.at = time.Now()
	}()
}

// EndedAt returns the time at which Receive returned. It waits until Receive has returned.
func (r *Receiver) EndedAt() time.Time {
	<-r.ended
	return r.at
}

// hasFailed reports whether Receive has returned an error that the test doesn't know of.
func (r *Receiver) hasFailed() bool { return r.Ended() && r.err != nil && !r.known.Load() }

// Ended reports whether Receive has returned.
func (r *Receiver) Ended() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// Result waits until Receive returns, and returns its error.
func (r *Receiver) Result() error {
	r.scene.T.Helper()
	return r.resultWithin(r.scene.Patience())
}

func (r *Receiver) resultWithin(d time.Duration) error {
	r.scene.T.Helper()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-r.ended:
		r.known.Store(true)
		return r.err
	case <-late.C:
		r.scene.T.Fatalf("Receive of %s has not returned after %v", r.Who, d)
		return nil
	}
}

const (
	// finish is the longest that Receive may take after its handlers have returned.
	finish = 5 * time.Second
	// closeConnections is the longest that Close may take after that, if nothing is answered.
	closeConnections = 5 * time.Second
	// slack is added to bounds when the clock is real.
	slack = 30 * time.Second
)

// Cancel ends the context of Receive.
func (r *Receiver) Cancel() { r.cancel() }

// Stop ends the context of Receive, and fails the test unless Receive returns nil within the documented time.
func (r *Receiver) Stop() {
	r.scene.T.Helper()
	bound := r.drain + finish
	if !r.scene.options.InMemory {
		bound += slack
	}
	r.cancel()
	require.NoError(r.scene.T, r.resultWithin(bound))
}

// Kill ends the consumer as if its machine had lost its power. Its connections break, and what it does from now on is
// not counted. The contexts of handlers end.
func (r *Receiver) Kill() {
	r.scene.Tally.Kill(r.Who)
	r.Host.Cut()
	r.known.Store(true)
	ended, cancel := context.WithCancel(r.scene.late())
	cancel()
	_ = r.Consumer.Close(ended) // it can't close cleanly
}
