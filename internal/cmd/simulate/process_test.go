package simulate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-eventhubs/eventhubs"
)

// process is a consumer, with a network of its own.
type process struct {
	sim      *simulation
	name     string
	network  *network
	consumer *eventhubs.Consumer
	cancel   context.CancelFunc
	ended    chan struct{} // closed when Receive has returned
	killed   atomic.Bool
}

// stopBound is how long a process may take to stop: DrainTimeout, which handlers here don't need, what finishing may take,
// and a little.
const stopBound = 30*time.Second + 10*time.Second

func (s *simulation) config(n *network) eventhubs.Config {
	cfg := s.server.Config(hub)
	cfg.Logger = slog.New(s.log)
	cfg.DialContext = n.dial
	return cfg
}

func (s *simulation) blobs(n *network) eventhubs.BlobConfig {
	cfg := s.server.BlobConfig("checkpoints")
	cfg.Logger = slog.New(s.log)
	cfg.ClientOptions.Transport = &http.Client{Transport: &http.Transport{DialContext: n.dial}}
	return cfg
}

// start starts a process that receives. It returns nil if the store can't be opened, as while storage is down.
func (s *simulation) start(name string) *process {
	n := newNetwork(s.dial)
	ctx, cancel := context.WithCancel(context.Background())
	opening, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	store, err := eventhubs.NewBlobCheckpointStore(opening, s.blobs(n))
	if err != nil {
		cancel()
		n.kill()
		return nil
	}
	c, err := eventhubs.NewConsumer(s.config(n), store, &eventhubs.ConsumerOptions{InstanceID: name})
	if err != nil {
		panic(err)
	}
	p := &process{sim: s, name: name, network: n, consumer: c, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for {
			err := c.Receive(ctx, p.handle)
			if ctx.Err() != nil || p.killed.Load() {
				return
			}
			s.judge.notes("", "%s: Receive returned: %v", name, err)
			// As a supervisor would: at the start the namespace may be out of reach.
			if !sleep(ctx, 10*time.Second) {
				return
			}
		}
	}()
	return p
}

var errOfHandler = errors.New("the handler fails now and then")

// handle handles one event: mostly at once, sometimes slowly, sometimes not at the first try.
func (p *process) handle(ctx context.Context, e *eventhubs.ReceivedEvent) error {
	h := holding{p.name, e.PartitionID, ctx}
	if p.killed.Load() {
		return errDead
	}
	p.network.wait() // a process that is paused runs no handler
	p.sim.judge.comes(h, e.SequenceNumber, e.Attempt)
	completed := false
	defer func() { p.sim.judge.ends(h, e.SequenceNumber, completed) }()
	switch rand.IntN(50) {
	case 0:
		return errOfHandler
	case 1:
		sleep(ctx, rand.N(3*time.Second))
	}
	p.network.wait()
	if p.killed.Load() {
		return errDead
	}
	completed = true
	return nil
}

// stop ends the process as it should, in one of two ways.
func (p *process) stop(how int) {
	p.network.resume()
	began := time.Now()
	switch how % 2 {
	case 0:
		p.cancel()
	case 1:
		closing, done := context.WithTimeout(context.Background(), time.Duration(how)*time.Second)
		_ = p.consumer.Close(closing)
		if took := time.Since(began); took > time.Duration(how)*time.Second+time.Second {
			p.sim.judge.hangs("%s: Close took %v with a context of %ds", p.name, took, how)
		}
		done()
		p.cancel()
	}
	p.waits(began)
	p.sim.judge.notes("", "%s: stopped", p.name)
}

// kill ends the process from one moment to the next.
func (p *process) kill() {
	p.killed.Store(true)
	p.network.kill()
	p.sim.judge.notes("", "%s: killed", p.name)
	p.cancel()
	p.waits(time.Now())
}

// waits waits for Receive to return, and cleans up.
func (p *process) waits(began time.Time) {
	select {
	case <-p.ended:
	case <-time.After(stopBound):
		p.sim.judge.hangs("%s: Receive has not returned after %v", p.name, time.Since(began))
		<-p.ended
	}
	closing, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	began = time.Now()
	_ = p.consumer.Close(closing)
	if took := time.Since(began); took > 11*time.Second {
		p.sim.judge.hangs("%s: Close took %v with a context of 10s", p.name, took)
	}
	p.network.kill()
}

// sender is a producer that sends at random, to random partitions.
func (s *simulation) sender(ctx context.Context, name string) {
	n := newNetwork(s.dial)
	defer n.kill()
	p, err := eventhubs.NewProducer(s.config(n), nil)
	if err != nil {
		panic(err)
	}
	defer func() {
		closing, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		_ = p.Close(closing)
	}()
	for i := 0; sleep(ctx, s.pause()); i++ {
		id := fmt.Sprintf("%s-%d", name, i)
		e := eventhubs.Event{Body: []byte(id)}
		switch rand.IntN(3) {
		case 0:
			e.PartitionKey = fmt.Sprint(rand.IntN(20))
		case 1:
			e.PartitionKey = fmt.Sprint(rand.IntN(partitions))
		}
		began := time.Now()
		err := p.Send(ctx, e)
		if took := time.Since(began); took > sendBound {
			s.judge.hangs("%s: Send of %s took %v", name, id, took)
		}
		if err == nil {
			s.accepted(id)
		}
	}
}

// sendBound is how long a Send may take: a minute of trying, and the last try, which may have to open a link and wait for an
// answer.
const sendBound = time.Minute + 30*time.Second + 30*time.Second + 10*time.Second

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// logs counts what the library logs, and keeps nothing.
type logs struct{ lines atomic.Int64 }

func (l *logs) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *logs) Handle(context.Context, slog.Record) error        { l.lines.Add(1); return nil }
func (l *logs) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *logs) WithGroup(string) slog.Handler                    { return l }
