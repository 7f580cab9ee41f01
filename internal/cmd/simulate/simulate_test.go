package simulate_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
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
	partitions = 8
	consumers  = 3 // that run at one time, more or less
)

// TestSimulation runs SIM of virtual time, or 20 minutes, with the seed SEED, or 1. SEED=0 takes a random one.
func TestSimulation(t *testing.T) {
	length, seed := 20*time.Minute, uint64(1)
	var err error
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
	var line string
	var ok bool
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, seed)
		s.run(length)
		line, ok = s.result(length)
	})
	state := "ok"
	if !ok {
		state = "FAILED"
		t.Fail()
	}
	fmt.Printf("simulate: %s: seed=%d virtual=%v real=%v %s\n", state, seed, length, time.Since(began).Round(10*time.Millisecond), line)
}

// simulation is one run.
type simulation struct {
	t      *testing.T
	server *eventhubstest.Server
	dial   dialFunc
	store  *eventhubs.BlobCheckpointStore
	judge  *judge
	log    *logs
	random *rand.Rand // of chaos; senders and handlers draw from the process's

	processes []*process
	started   int

	sentMu sync.Mutex
	sent   map[string]bool // acknowledged
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{t: t, judge: newJudge(), log: &logs{}, random: rand.New(rand.NewPCG(seed, seed)), sent: map[string]bool{}}
	s.server = eventhubstest.Start(t, &eventhubstest.Options{
		InMemory: true, Hubs: []eventhubstest.Hub{{Name: hub, Partitions: partitions}}, RetentionBytes: 1 << 30,
	})
	s.dial = s.server.Config(hub).DialContext
	var err error
	s.store, err = eventhubs.NewBlobCheckpointStore(t.Context(), s.server.BlobConfig("checkpoints"))
	require.NoError(t, err)
	return s
}

func (s *simulation) run(length time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var beside sync.WaitGroup
	for i := range 2 {
		beside.Go(func() { s.sender(ctx, fmt.Sprintf("producer-%d", i)) })
	}
	beside.Go(func() { s.watch(ctx) })
	beside.Go(func() { s.storms(ctx) })
	s.live(ctx)
	beside.Wait()
}

// pause is how long a producer waits before its next event: bursts, a steady trickle, and hours of nothing.
func (s *simulation) pause() time.Duration {
	switch n := rand.IntN(1000); {
	case n == 0:
		return rand.N(3 * time.Hour)
	case n < 500:
		return rand.N(time.Second)
	}
	return rand.N(8 * time.Second)
}

func (s *simulation) accepted(id string) {
	s.sentMu.Lock()
	defer s.sentMu.Unlock()
	s.sent[id] = true
}

// live has processes come and go.
func (s *simulation) live(ctx context.Context) {
	for sleep(ctx, rand.N(2*time.Minute)) {
		if len(s.processes) < consumers || len(s.processes) < 2*consumers && s.random.IntN(4) == 0 {
			s.started++
			if p := s.start(fmt.Sprintf("consumer-%d", s.started)); p != nil {
				s.judge.notes("", "%s: started", p.name)
				s.processes = append(s.processes, p)
			}
			continue
		}
		i := s.random.IntN(len(s.processes))
		p := s.processes[i]
		switch s.random.IntN(20) {
		case 0, 1:
			p.kill()
		case 2, 3, 4:
			p.stop(2 * s.random.IntN(20))
		case 5:
			p.stop(2*s.random.IntN(20) + 1)
		case 6:
			s.judge.notes("", "%s: paused", p.name)
			p.network.freeze()
			sleep(ctx, rand.N(3*time.Minute))
			p.network.resume()
			s.judge.notes("", "%s: resumed", p.name)
			continue
		default:
			continue
		}
		s.processes = append(s.processes[:i], s.processes[i+1:]...)
	}
}

// storms has things go wrong.
func (s *simulation) storms(ctx context.Context) {
	for sleep(ctx, rand.N(20*time.Minute)) {
		name, storm := s.storm()
		s.judge.notes("", "storm: %s", name)
		if calm := storm(ctx); calm != nil {
			sleep(ctx, rand.N(8*time.Minute))
			calm()
			s.judge.notes("", "calm after %s", name)
		}
	}
}

// storm draws something that goes wrong. What it returns takes it back; nil: that was it.
func (s *simulation) storm() (name string, begin func(context.Context) (calm func())) {
	partition := fmt.Sprint(s.random.IntN(partitions))
	once := func(f eventhubstest.Fault) func(context.Context) func() {
		return func(context.Context) func() { s.server.Fault(f); return nil }
	}
	lasting := func(f eventhubstest.Fault) func(context.Context) func() {
		return func(context.Context) func() { return s.server.Fault(f) }
	}
	blobs := func(f eventhubstest.BlobFault) func(context.Context) func() {
		return func(context.Context) func() { return s.server.BlobFault(f) }
	}
	busy := "com.microsoft:server-busy"
	all := []struct {
		name  string
		begin func(context.Context) func()
	}{
		{"connections are cut", func(context.Context) func() { s.server.DropConnections(); return nil }},
		{"connections go silent", func(context.Context) func() { s.server.SilenceConnections(); return nil }},
		{"storage answers 503", blobs(eventhubstest.BlobFault{Status: 503})},
		{"storage does not answer", blobs(eventhubstest.BlobFault{Hang: true})},
		{"storage loses answers", blobs(eventhubstest.BlobFault{Status: 500, After: true, Times: 20})},
		{"listing is refused", blobs(eventhubstest.BlobFault{Operation: "ListBlobs", Status: 500})},
		{"an acknowledgement is lost", once(eventhubstest.Fault{On: eventhubstest.OnPublish, After: true, Times: 2})},
		{"the service is busy", lasting(eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: busy})},
		{"readers are refused", lasting(eventhubstest.Fault{On: eventhubstest.OnAttach, Partition: partition, Condition: busy})},
		{"a link is detached", once(eventhubstest.Fault{
			On: eventhubstest.OnReceive, Partition: partition, Condition: "amqp:link:detach-forced", Times: 1,
		})},
		{"attach is late", lasting(eventhubstest.Fault{On: eventhubstest.OnAttach, Delay: 90 * time.Second})},
		{"properties are not told", lasting(eventhubstest.Fault{On: eventhubstest.OnManagement, After: true})},
		{"tokens are not answered", lasting(eventhubstest.Fault{On: eventhubstest.OnToken, After: true})},
		{"connections are not answered", lasting(eventhubstest.Fault{On: eventhubstest.OnConnect, Delay: 2 * time.Minute})},
		{"a partition is stolen", func(ctx context.Context) func() { return s.steal(ctx, partition) }},
	}
	drawn := all[s.random.IntN(len(all))]
	return drawn.name, drawn.begin
}

// steal has a stranger read a partition with a higher epoch for a while.
func (s *simulation) steal(ctx context.Context, partition string) (calm func()) {
	cfg := s.server.Config(hub)
	stealing, cancel := context.WithTimeout(ctx, time.Minute)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := azeventhubs.NewConsumerClientFromConnectionString(cfg.ConnectionString, "", "$Default", &azeventhubs.ConsumerClientOptions{
			InstanceID: "stranger",
			NewWebSocketConn: func(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
				return s.dial(ctx, "tcp", s.address())
			},
		})
		if err != nil {
			return
		}
		epoch := int64(1)
		p, err := c.NewPartitionClient(partition, &azeventhubs.PartitionClientOptions{OwnerLevel: &epoch})
		if err != nil {
			return
		}
		_, _ = p.ReceiveEvents(stealing, 1000, nil)
		closing, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		_ = p.Close(closing)
		_ = c.Close(closing)
	}()
	return func() { cancel(); <-ended }
}

// address is what stands for the namespace in checkpoints, and where it is.
func (s *simulation) address() string {
	p, err := azeventhubs.ParseConnectionString(s.server.ConnectionString(""))
	require.NoError(s.t, err)
	return p.FullyQualifiedNamespace
}

// watch looks at the stored checkpoints.
func (s *simulation) watch(ctx context.Context) {
	for sleep(ctx, 15*time.Second) {
		s.look(ctx)
	}
}

func (s *simulation) look(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	list, err := s.store.ListCheckpoints(looking, s.address(), hub, "$Default", nil)
	if err != nil {
		return // storage is down
	}
	for _, c := range list {
		s.judge.sees(c.PartitionID, *c.SequenceNumber)
	}
}

// result heals everything, has one more process handle what is left, and says how it went.
func (s *simulation) result(length time.Duration) (line string, ok bool) {
	for _, p := range s.processes {
		p.stop(0)
	}
	last := s.start("the last one")
	require.NotNil(s.t, last, "storage works")
	stored := s.stored()
	missing := s.judge.missing(stored)
	for began := time.Now(); len(missing) > 0 && time.Since(began) < time.Hour; missing = s.judge.missing(stored) {
		time.Sleep(10 * time.Second)
	}
	s.judge.loses(missing)
	last.stop(0)
	s.look(context.Background())
	sent, twice := s.acknowledged()
	handled, repeated, wrong := s.judge.counts()
	ok = len(wrong) == 0 && sent > 0 && handled >= sent
	if !ok {
		s.t.Log(s.judge.story())
	}
	return fmt.Sprintf("consumers=%d sent=%d handled=%d lost=%d out_of_order=%d back=%d hung=%d repeated=%d stored_twice=%d logged=%d",
		s.started, sent, handled, wrong[lost], wrong[outOfOrder], wrong[back], wrong[hung], repeated, twice, s.log.lines.Load()), ok
}

// stored returns where the events are that the service has stored.
func (s *simulation) stored() (all []place) {
	for _, e := range s.server.AllEvents(hub) {
		all = append(all, place{e.PartitionID, e.SequenceNumber})
	}
	return all
}

// acknowledged returns how many events were acknowledged, and how many were stored more than once. One that was acknowledged and not stored
// is lost.
func (s *simulation) acknowledged() (sent, twice int) {
	times := map[string]int{}
	for _, e := range s.server.AllEvents(hub) {
		if times[string(e.Body)]++; times[string(e.Body)] == 2 {
			twice++
		}
	}
	s.sentMu.Lock()
	defer s.sentMu.Unlock()
	for id := range s.sent {
		if times[id] == 0 {
			s.judge.notStored(id)
		}
	}
	return len(s.sent), twice
}
