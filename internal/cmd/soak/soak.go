//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const (
	hub        = "hub"
	group      = "$Default"
	container  = "checkpoints" // as Server.Env says
	partitions = 16
	consumers  = 4
	// retention bounds the bytes that each partition keeps: minutes at the usual rate. So unread events are never dropped,
	// and the hub does not grow for hours.
	retention = 8 << 20
	// quiet is how long no partition must change hands for things to be settled. By then claims have expired, were made
	// again, and are shared out.
	quiet = expiration + 3*updateInterval
	// patience is how long things may take to settle.
	patience = 60 * time.Second
	// handOvers is how often the last consumer is stopped and started in a clean phase.
	handOvers = 3
)

// soak is a load test in progress.
type soak struct {
	options
	server   *eventhubstest.Server
	judge    *judge
	fleet    *fleet
	chaos    *chaos
	producer *producer
	watcher  *watcher
	began    time.Time
	ended    time.Time
	before   usage

	stopWatching context.CancelFunc
	watching     sync.WaitGroup // goroutines that watch this process
}

// usage is what this process uses, with the namespace that runs in it.
type usage struct {
	heap       uint64
	goroutines int
}

func newUsage() usage {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return usage{m.HeapAlloc, runtime.NumGoroutine()}
}

func (u usage) String() string {
	return fmt.Sprintf("%d MiB, %d goroutines", u.heap>>20, u.goroutines)
}

func newSoak(o options, fail func(error)) (*soak, error) {
	server, err := eventhubstest.New(&eventhubstest.Options{
		Hubs: []eventhubstest.Hub{{Name: hub, Partitions: partitions}}, RetentionBytes: retention,
	})
	if err != nil {
		return nil, err
	}
	s := &soak{options: o, server: server, judge: newJudge(partitions), began: time.Now()}
	s.fleet = newFleet(consumers, server.Env(hub), s.judge, o.verbose, fail)
	s.chaos = &chaos{
		fleet: s.fleet, server: server, history: s.judge.history, rand: rand.New(rand.NewPCG(o.seed, 0)),
		began: s.began, verbose: o.verbose, counted: map[string]int{},
	}
	watching, stop := context.WithCancel(context.Background())
	s.stopWatching = stop
	s.watching.Go(func() {
		watchStarvation(watching, func(begin, end time.Time) { s.judge.history.was(byPause, "", begin, end) })
	})
	cfg := server.Config(hub)
	cfg.Retry = retryOptions()
	cfg.Logger = slog.New(slog.DiscardHandler) // faults are expected here; what doesn't pass is an error
	if s.producer, err = startProducer(cfg, o.rate, fail); err == nil {
		s.watcher, err = startWatcher(cfg, s.judge, fail)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends all that runs.
func (s *soak) close() {
	s.fleet.close()
	s.stopWatching()
	s.watching.Wait()
	if s.watcher != nil {
		s.watcher.close()
	}
	if s.producer != nil {
		s.producer.finish()
		_ = s.producer.client.Close(context.Background())
	}
	s.server.Close()
}

// work goes through phases with faults and phases without, until the time is over, and judges.
func (s *soak) work(ctx context.Context) error {
	if err := s.fleet.fill(); err != nil {
		return err
	}
	if err := s.awaitReading(ctx, s.began); err != nil {
		return err
	}
	s.before = newUsage()
	for cycle := 1; cycle == 1 || time.Since(s.began) < s.duration; cycle++ {
		if err := s.fleet.fill(); err != nil {
			return err
		}
		harming, cancel := context.WithTimeout(ctx, s.harm)
		err := s.chaos.run(harming)
		cancel()
		if err == nil {
			err = s.settle(ctx)
		}
		if err == nil {
			err = s.comeAndGo(ctx)
		}
		if err != nil {
			return err
		}
		s.sayProgress()
	}
	return s.finish(ctx)
}

// finish stops sending, waits until all is handled, ends all consumers, and counts what is missing.
func (s *soak) finish(ctx context.Context) error {
	sent := s.producer.finish()
	stored, err := s.watcher.wait(ctx, patience)
	s.ended = time.Now()
	if stop := s.fleet.terminateAll(s.fleet.slots); err == nil {
		err = stop
	}
	if stored != nil {
		s.judge.end(stored, sent)
	}
	if err != nil {
		return err
	}
	return s.checkpoints(ctx, stored)
}

// checkpoints checks whether the checkpoints that the consumers have left cover all that is stored.
func (s *soak) checkpoints(ctx context.Context, stored []int64) error {
	store, err := eventhubs.NewBlobCheckpointStore(ctx, s.server.BlobConfig(container))
	if err != nil {
		return err
	}
	list, err := store.ListCheckpoints(ctx, namespace(s.server), hub, group, nil)
	if err != nil {
		return err
	}
	covered := map[string]int64{}
	for _, c := range list {
		covered[c.PartitionID] = *c.SequenceNumber + 1
	}
	for i, n := range stored {
		s.judge.covered(i, covered[strconv.Itoa(i)], n)
	}
	return nil
}

// namespace is the name of the server's namespace in checkpoints, which is its address.
func namespace(server *eventhubstest.Server) string {
	_, rest, _ := strings.Cut(server.ConnectionString(hub), "Endpoint=sb://")
	name, _, _ := strings.Cut(rest, ";")
	return name
}

// settle waits until every partition is being read, and has not changed hands for a while.
func (s *soak) settle(ctx context.Context) error {
	began := time.Now() // earlier quiet doesn't count: a process that was paused may have just resumed
	err := until(ctx, patience, func() bool {
		return time.Since(began) > quiet && s.judge.quietFor() > quiet && s.judge.readSince(time.Now().Add(-time.Second))
	})
	if err != nil {
		return fmt.Errorf("wait for the consumers to settle: %w\n%s", err, s.judge.state())
	}
	return nil
}

// comeAndGo is the clean phase: consumers come, and are stopped with SIGTERM, and nothing else happens. Half of them
// leave at once, then all but one. Then that one is replaced, handOvers times. Then the others come back, and one more
// comes and goes.
func (s *soak) comeAndGo(ctx context.Context) error {
	s.judge.beginClean()
	slots := s.fleet.slots
	leave := [][]*slot{slots[len(slots)/2:], slots[1 : len(slots)/2]}
	for range handOvers {
		leave = append(leave, slots[:1])
	}
	for _, leaving := range leave {
		if err := s.fleet.terminateAll(leaving); err != nil {
			return err
		}
		began := time.Now()
		if leaving[0] == slots[0] {
			slots[0].slotMu.Lock()
			err := s.fleet.startIn(slots[0], "")
			slots[0].slotMu.Unlock()
			if err != nil {
				return err
			}
		}
		if err := s.awaitReading(ctx, began); err != nil {
			return err
		}
		s.chaos.took("clean_stop", "%d of them", len(leaving))
	}
	if err := s.joinInGoodOrder(ctx); err != nil {
		return err
	}
	s.judge.endClean()
	return nil
}

// joinInGoodOrder has consumers join those that run, waits until each has its share, and ends one of them.
func (s *soak) joinInGoodOrder(ctx context.Context) error {
	if err := s.fleet.fill(); err != nil {
		return err
	}
	extra, err := s.fleet.start("")
	if err != nil {
		return err
	}
	s.chaos.took("clean_join", "%d of them", len(s.fleet.slots))
	err = until(ctx, patience, func() bool { return extra.handled.Load() > 0 && s.fleet.allHandle() })
	if err != nil {
		return fmt.Errorf("wait for each consumer to get its share: %w\n%s", err, s.judge.state())
	}
	if err := extra.terminate(); err != nil {
		return err
	}
	return s.awaitReading(ctx, time.Now())
}

// awaitReading waits until every partition was read after a time.
func (s *soak) awaitReading(ctx context.Context, since time.Time) error {
	if err := until(ctx, patience, func() bool { return s.judge.readSince(since) }); err != nil {
		return fmt.Errorf("wait for all partitions to be read: %w\n%s", err, s.judge.state())
	}
	return nil
}

var errTooLong = errors.New("it takes too long")

// until polls a condition.
func until(ctx context.Context, d time.Duration, condition func() bool) error {
	deadline := time.Now().Add(d)
	for !condition() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %v", errTooLong, d)
		}
		sleep(ctx, 20*time.Millisecond)
	}
	return nil
}
