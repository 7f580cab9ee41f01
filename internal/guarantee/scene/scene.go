// Package scene has what the tests of the guarantees need: a namespace and a storage account in which something goes
// wrong, consumers, and an account of what was sent and what was handled.
//
// A scene is either in memory and in virtual time (see [In]): minutes take milliseconds there, and no goroutine of the
// library may be left when the test ends. Or it is on real sockets, for tests that need processes (see [Open]).
package scene

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The names in a scene.
const (
	Hub       = "hub"
	Group     = azeventhubs.DefaultConsumerGroup
	Container = "checkpoints"
)

// Scene is a namespace with the event hub "hub", and a storage account with the container "checkpoints".
type Scene struct {
	T      testing.TB
	Server *eventhubstest.Server
	Config eventhubs.Config               // of the event hub, for producers and consumers that are made from now on
	Store  *eventhubs.BlobCheckpointStore // the scene's own, for looking: consumers have others
	Log    *Log                           // of the library
	Tally  *Tally

	options  eventhubstest.Options
	leaves   bool // the test uses clients of the SDK: see leave
	logger   *slog.Logger
	producer *eventhubs.Producer // nil until something is sent
	sent     int                 // how many events Send has sent

	receiversMu sync.Mutex
	receivers   []*Receiver
}

// In runs a test in virtual time, in a scene with so many partitions.
func In(t *testing.T, partitions int, test func(s *Scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(New(t, partitions)) })
}

// New makes a scene in memory, in a bubble of testing/synctest.
func New(t testing.TB, partitions int) *Scene {
	t.Helper()
	hub := eventhubstest.Hub{Name: Hub, Partitions: partitions}
	return Open(t, eventhubstest.Options{InMemory: true, Hubs: []eventhubstest.Hub{hub}})
}

// Bare is New without a Store of the scene's own, for consumers whose checkpoints are elsewhere.
func Bare(t testing.TB, partitions int) *Scene {
	t.Helper()
	hub := eventhubstest.Hub{Name: Hub, Partitions: partitions}
	return open(t, eventhubstest.Options{InMemory: true, Hubs: []eventhubstest.Hub{hub}})
}

// Open makes a scene whose server has these options. If they name event hubs, one must be "hub".
func Open(t testing.TB, o eventhubstest.Options) *Scene {
	t.Helper()
	s := open(t, o)
	s.Store = s.OpenStore(Container)
	return s
}

func open(t testing.TB, o eventhubstest.Options) *Scene {
	t.Helper()
	s := &Scene{T: t, Log: &Log{}, Tally: NewTally(), options: o}
	var err error
	s.Server, err = eventhubstest.New(&o) // not Start, which sleeps for hours so that leaked goroutines end
	require.NoError(t, err)
	t.Cleanup(s.leave)
	t.Cleanup(s.Server.Close)
	s.logger = slog.New(slog.NewTextHandler(s.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Config = s.Server.Config(Hub)
	s.Config.Logger = s.logger
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the library's log:\n%s", s.Log)
		}
	})
	return s
}

// leave waits, in virtual time, for what the SDK's own clients leave behind: goroutines that end when their tokens
// would be renewed (azeventhubs, consumer_client.go, Close). The library's clients leave none.
func (s *Scene) leave() {
	if s.leaves && s.options.InMemory {
		time.Sleep(tokenLife)
	}
}

// tokenLife is how long the SDK's tokens last (azeventhubs, internal/sbauth/token_provider.go).
const tokenLife = 2 * time.Hour

// Leave makes the scene wait when the test has ended: see leave.
func (s *Scene) Leave() { s.leaves = true }

// OpenStore opens a checkpoint store, as each process does for itself.
func (s *Scene) OpenStore(container string) *eventhubs.BlobCheckpointStore {
	s.T.Helper()
	return s.openStore(s.Server.BlobConfig(container))
}

func (s *Scene) openStore(cfg eventhubs.BlobConfig) *eventhubs.BlobCheckpointStore {
	s.T.Helper()
	cfg.Logger = s.logger
	store, err := eventhubs.NewBlobCheckpointStore(s.T.Context(), cfg)
	require.NoError(s.T, err)
	return store
}

// Send sends n events to each of the partitions.
func (s *Scene) Send(n int, partitions ...string) {
	s.T.Helper()
	var events []eventhubs.Event
	for _, id := range partitions {
		for range n {
			events = append(events, eventhubs.Event{Body: []byte("event"), PartitionID: id})
		}
	}
	require.NoError(s.T, s.Producer().Send(s.T.Context(), events...))
	s.sent += len(events)
}

// CheckReading fails the test unless all that Send has sent is handled by now. It only compares numbers, which costs
// less than [Tally.Lost].
func (s *Scene) CheckReading() {
	s.T.Helper()
	synctest.Wait()
	require.Equal(s.T, s.sent, s.Tally.Handled(), "reading goes on")
}

// Producer returns the scene's own producer.
func (s *Scene) Producer() *eventhubs.Producer {
	s.T.Helper()
	if s.producer == nil {
		p, err := eventhubs.NewProducer(s.Config, nil)
		require.NoError(s.T, err)
		s.T.Cleanup(func() { _ = p.Close(s.late()) }) // it may be closed, or its connection gone
		s.producer = p
	}
	return s.producer
}

// Silence closes the scene's own connection, and makes all others go silent that are open now.
func (s *Scene) Silence() {
	s.HangUp()
	s.Server.SilenceConnections()
}

// HangUp closes the scene's own connection, so that nothing happens to it. The next Send opens a new one.
func (s *Scene) HangUp() {
	s.T.Helper()
	if s.producer != nil {
		require.NoError(s.T, s.producer.Close(s.late()))
		s.producer = nil
	}
}

// Sent returns all events of the event hub.
func (s *Scene) Sent() (sent []Place) {
	for _, e := range s.Server.AllEvents(Hub) {
		sent = append(sent, Place{e.PartitionID, e.SequenceNumber})
	}
	return sent
}

// Last returns the sequence number of a partition's last event, or -1 if it has none.
func (s *Scene) Last(partition string) int64 {
	events := s.Server.Events(Hub, partition)
	if len(events) == 0 {
		return -1
	}
	return events[len(events)-1].SequenceNumber
}

// Checkpoint returns the sequence number of the stored checkpoint of a partition, or -1.
func (s *Scene) Checkpoint(partition string) int64 {
	s.T.Helper()
	return s.CheckpointIn(s.Store, partition)
}

// CheckpointIn is Checkpoint for another store.
func (s *Scene) CheckpointIn(store eventhubs.CheckpointStore, partition string) int64 {
	s.T.Helper()
	list, err := store.ListCheckpoints(s.T.Context(), s.Namespace(), Hub, Group, nil)
	require.NoError(s.T, err)
	for _, c := range list {
		if c.PartitionID == partition && c.SequenceNumber != nil {
			return *c.SequenceNumber
		}
	}
	return -1
}

// Ownership returns the ownership records by partition.
func (s *Scene) Ownership(store eventhubs.CheckpointStore, group string) map[string]azeventhubs.Ownership {
	s.T.Helper()
	list, err := store.ListOwnership(s.T.Context(), s.Namespace(), Hub, group, nil)
	require.NoError(s.T, err)
	owned := map[string]azeventhubs.Ownership{}
	for _, o := range list {
		owned[o.PartitionID] = o
	}
	return owned
}

// Owner returns who owns a partition, or "".
func (s *Scene) Owner(partition string) string {
	s.T.Helper()
	return s.Ownership(s.Store, Group)[partition].OwnerID
}

// Owned returns how many partitions a consumer owns.
func (s *Scene) Owned(who string) (n int) {
	s.T.Helper()
	for _, o := range s.Ownership(s.Store, Group) {
		if o.OwnerID == who {
			n++
		}
	}
	return n
}

// Namespace is the namespace as the names of blobs spell it.
func (s *Scene) Namespace() string {
	if host, _, err := net.SplitHostPort(s.Config.Namespace); err == nil {
		return host
	}
	_, rest, _ := strings.Cut(s.Server.ConnectionString(""), "sb://")
	namespace, _, _ := strings.Cut(rest, ";")
	return namespace
}

// Check fails the test if events are lost or came out of order, or if events were completed again more than so many
// times.
func (s *Scene) Check(repeatedAtMost int) {
	s.T.Helper()
	require.Empty(s.T, s.Tally.Lost(s.Sent()), "lost")
	require.Empty(s.T, s.Tally.OutOfOrder(), "out of order")
	require.LessOrEqual(s.T, s.Tally.Repeated(), repeatedAtMost, "repeated; holdings began at %v", s.Tally.Holdings())
}

// CheckLogged fails the test unless the library has logged a line that contains all the parts.
func (s *Scene) CheckLogged(parts ...string) {
	s.T.Helper()
	require.NotZero(s.T, s.Log.Count(parts...), "not logged: %q", parts)
}

// Patience is how long Until waits, in virtual time if the scene is in memory.
func (s *Scene) Patience() time.Duration {
	if s.options.InMemory {
		return 15 * time.Minute
	}
	return time.Minute
}

// Until waits until a condition is true. In virtual time it looks at growing intervals, up to a quarter of a second, so
// handlers have to note what is measured exactly.
func (s *Scene) Until(what string, condition func() bool) {
	s.T.Helper()
	longest := 20 * time.Millisecond
	if s.options.InMemory {
		longest = 250 * time.Millisecond
	}
	s.until(what, longest, condition)
}

// until is Until with the longest interval between two looks.
func (s *Scene) until(what string, longest time.Duration, condition func() bool) {
	s.T.Helper()
	deadline := time.Now().Add(s.Patience())
	for step := time.Millisecond; !condition(); step = min(2*step, longest) {
		if failed := s.failed(); failed != nil {
			s.T.Fatalf("waited until %s, but Receive has ended: %v", what, failed.err)
		}
		if time.Now().After(deadline) {
			s.T.Fatalf("waited in vain until %s: %d events are not handled, holdings began at %v", what,
				len(s.Tally.Lost(s.Sent())), s.Tally.Holdings())
		}
		time.Sleep(step)
	}
}

// failed returns a receiver that has ended with an error that the test doesn't know of.
func (s *Scene) failed() *Receiver {
	s.receiversMu.Lock()
	defer s.receiversMu.Unlock()
	for _, r := range s.receivers {
		if r.hasFailed() {
			return r
		}
	}
	return nil
}

// UntilHandled waits until all events that were sent are handled.
func (s *Scene) UntilHandled() {
	s.T.Helper()
	seen := -1 // what was lost then stays lost until more is handled, and Lost costs more than Completed
	s.Until("all events are handled", func() bool {
		before := seen
		seen = s.Tally.Completed()
		return seen != before && len(s.Tally.Lost(s.Sent())) == 0
	})
}

// UntilCovered waits until the stored checkpoints of partitions are at their last events.
func (s *Scene) UntilCovered(partitions ...string) {
	s.T.Helper()
	for _, id := range partitions {
		s.UntilCheckpoint(id, s.Last(id))
	}
}

// UntilCheckpoint waits until the stored checkpoint of a partition is at an event.
func (s *Scene) UntilCheckpoint(partition string, sequence int64) {
	s.T.Helper()
	const longest = time.Second // a look at the store costs more than others
	what := fmt.Sprintf("the checkpoint of partition %s is %d", partition, sequence)
	s.until(what, longest, func() bool { return s.Checkpoint(partition) == sequence })
}

// During calls do at once and then every second, for a time.
func (s *Scene) During(d time.Duration, do func(second int)) {
	began := time.Now()
	for i := 0; time.Since(began) < d; i++ {
		do(i)
		time.Sleep(time.Second)
	}
}
