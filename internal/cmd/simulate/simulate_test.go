package simulate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const (
	hub        = "hub"
	group      = azeventhubs.DefaultConsumerGroup
	partitions = 8
	// roundTrip is how long every answer takes. Without it, a loop could run forever at one moment of virtual time.
	roundTrip = 5 * time.Millisecond
)

// TestSimulation runs SIM of virtual time, or 10 minutes, with the seed SEED, or 1. SEED=0 takes a random one. With
// CONCURRENCY above 1, consumers that do not take batches run so many handlers of a partition at once.
func TestSimulation(t *testing.T) {
	length, seed, concurrency := 10*time.Minute, uint64(1), 1
	var err error
	if s := os.Getenv("CONCURRENCY"); s != "" {
		concurrency, err = strconv.Atoi(s)
		require.NoError(t, err, "CONCURRENCY")
	}
	if s := os.Getenv("SIM"); s != "" {
		length, err = time.ParseDuration(s)
		require.NoError(t, err, "SIM")
	}
	if s := os.Getenv("SEED"); s != "" {
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, "SEED")
	}
	for seed == 0 {
		seed = rand.Uint64() >> 32
	}
	began := time.Now()
	var clock clock
	defer clock.watch(seed)()
	var result result
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, seed, &clock)
		s.concurrency = concurrency
		s.run(length)
		result = s.result()
	})
	state := "ok"
	if !result.ok {
		state = "FAILED"
		t.Fail()
	}
	fmt.Printf("simulate: %s: seed=%d concurrency=%d virtual=%v real=%v %s\n",
		state, seed, concurrency, length, time.Since(began).Round(10*time.Millisecond), result.line)
}

// simulation is one run.
type simulation struct {
	t      *testing.T
	seed   uint64
	clock  *clock
	server *eventhubstest.Server
	store  *eventhubs.BlobCheckpointStore // for looking at checkpoints
	judge  *judge
	logs   *logs

	concurrency int // handlers of a partition that run at once

	// Only live's goroutine uses these.
	processes []*process
	started   int      // names that were given
	free      []string // names that may be given again

	fair    atomic.Bool  // no storms begin
	drought atomic.Bool  // half of the partitions get no events
	added   atomic.Int64 // partitions

	troubleMu sync.Mutex
	troubles  int       // that have not ended
	troubled  time.Time // when the last one ended

	sentMu sync.Mutex
	sent   map[string]destination // acknowledged, by their bodies
}

func newSimulation(t *testing.T, seed uint64, c *clock) *simulation {
	s := &simulation{t: t, seed: seed, clock: c, judge: newJudge(), logs: &logs{}, sent: map[string]destination{}}
	s.server = eventhubstest.Start(t, &eventhubstest.Options{
		InMemory: true, RoundTrip: roundTrip, RetentionBytes: 1 << 30,
		Hubs: []eventhubstest.Hub{{Name: hub, Partitions: partitions}},
	})
	var err error
	s.store, err = eventhubs.NewBlobCheckpointStore(t.Context(), s.server.BlobConfig("checkpoints"))
	require.NoError(t, err)
	return s
}

func (s *simulation) run(length time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var beside sync.WaitGroup
	for i := range producers {
		beside.Go(func() { s.produce(ctx, fmt.Sprintf("producer-%d", i)) })
	}
	for i := range storms {
		beside.Go(func() { s.rage(ctx, fmt.Sprintf("storm-%d", i)) })
	}
	beside.Go(func() { s.forecast(ctx) })
	beside.Go(func() { s.dry(ctx) })
	beside.Go(func() { s.watch(ctx) })
	s.live(ctx)
	beside.Wait()
}

// address is the namespace's address, which is also its name in checkpoints.
func (s *simulation) address() string {
	p, err := azeventhubs.ParseConnectionString(s.server.ConnectionString(""))
	require.NoError(s.t, err)
	return p.FullyQualifiedNamespace
}

// result is the outcome of a run.
type result struct {
	line string
	ok   bool
}

// settleTime is how long the last consumer may take for the events that are left. It is an hour of virtual time, but
// only seconds of real time.
const settleTime = time.Hour

// result ends all processes, has one more process handle the events that are left, and returns how the run went.
func (s *simulation) result() result {
	for _, p := range s.processes {
		p.stop()
	}
	last := s.start("the last one", s.draws("the last one"))
	require.NotNil(s.t, last, "storage works")
	stored := s.stored()
	missing := s.judge.missing(stored)
	for began := time.Now(); len(missing) > 0 && time.Since(began) < settleTime; missing = s.judge.missing(stored) {
		time.Sleep(10 * time.Second)
		s.clock.ticks()
	}
	last.stop()
	for _, p := range missing {
		s.judge.accuses(lost, &p, "it was never handled")
	}
	s.look(context.Background())
	sent, twice := s.audit()
	handled, repeated, wrong := s.judge.counts()
	line := fmt.Sprintf("sent=%d handled=%d lost=%d out_of_order=%d back=%d hung=%d repeated=%d "+
		"stored=%d stored_twice=%d consumers=%d logged=%d",
		sent, handled, wrong[lost], wrong[outOfOrder], wrong[back], wrong[hung], repeated,
		len(stored), twice, s.started, s.logs.count())
	ok := len(wrong) == 0 && sent > 0 && handled >= sent
	if !ok {
		s.t.Log(s.judge.story(s.logs))
	}
	return result{line, ok}
}

// stored returns the places of all stored events.
func (s *simulation) stored() (all []place) {
	for _, e := range s.server.AllEvents(hub) {
		all = append(all, place{e.PartitionID, e.SequenceNumber})
	}
	return all
}
