package eventhubs_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// scene is a namespace with a storage account, in which something goes wrong, and an account of what was sent and what came.
type scene struct {
	*tally
	t     *testing.T
	srv   *eventhubstest.Server
	cfg   eventhubs.Config
	store *eventhubs.BlobCheckpointStore
	log   *logs

	receivers []*receiving // guarded by the tally's mu
}

// newScene makes one with the event hub "hub" and so many partitions. Clients are told to try quickly, so that they soon give up.
func newScene(t *testing.T, partitions int) *scene {
	t.Helper()
	return newSceneOn(t, eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: partitions}}})
}

// newSceneOn makes one whose server has these options, and an event hub "hub".
func newSceneOn(t *testing.T, o eventhubstest.Options) *scene {
	t.Helper()
	s := &scene{t: t, log: &logs{}}
	s.srv = eventhubstest.Start(t, &o)
	s.cfg = s.srv.Config("hub")
	s.cfg.Retry = quickRetry
	s.cfg.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.store = s.openStore("checkpoints")
	s.tally = newTally(func() (sent []place) {
		for _, e := range s.srv.AllEvents("hub") {
			sent = append(sent, place{e.PartitionID, e.SequenceNumber})
		}
		return sent
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the library's log:\n%s", s.log)
		}
	})
	return s
}

// openStore opens a store that tries each call of the storage account only once.
func (s *scene) openStore(container string) *eventhubs.BlobCheckpointStore {
	s.t.Helper()
	cfg := s.srv.BlobConfig(container)
	cfg.Logger = s.cfg.Logger
	cfg.ClientOptions.Retry = policy.RetryOptions{MaxRetries: -1}
	store, err := eventhubs.NewBlobCheckpointStore(s.t.Context(), cfg)
	require.NoError(s.t, err)
	return store
}

// send sends n events to a partition.
func (s *scene) send(partition string, n int) {
	s.t.Helper()
	events := make([]eventhubs.Event, n)
	for i := range events {
		events[i] = eventhubs.Event{Body: []byte("event"), PartitionID: partition}
	}
	p, err := eventhubs.NewProducer(s.cfg, nil)
	require.NoError(s.t, err)
	require.NoError(s.t, p.Send(s.t.Context(), events...))
	require.NoError(s.t, p.Close(s.t.Context()))
}

// expiration is long against updateInterval, since blobs are dated in whole seconds: a claim that is renewed all the time looks up to a second old.
const (
	updateInterval = 100 * time.Millisecond
	expiration     = 3 * time.Second
)

// quickRetry has the SDK give up soon.
var quickRetry = azeventhubs.RetryOptions{MaxRetries: 3, RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 50 * time.Millisecond}

// quick are the options of consumers that notice soon what has changed.
func quick() eventhubs.ConsumerOptions {
	return eventhubs.ConsumerOptions{UpdateInterval: updateInterval, ExpirationInterval: expiration}
}

// calm are quick, but claims don't expire: a machine that is slow to renew them changes nothing.
func calm() eventhubs.ConsumerOptions {
	o := quick()
	o.ExpirationInterval = time.Minute
	return o
}

// receiving is a call of Receive that goes on beside the test.
type receiving struct {
	t        *testing.T
	consumer *eventhubs.Consumer
	cancel   context.CancelFunc
	ended    chan struct{}
	err      error       // what Receive has returned
	known    atomic.Bool // result has returned it
}

func nothing(context.Context, *eventhubs.ReceivedEvent) error { return nil }

// receive starts a consumer. who is its name in ownership records, and in what the tally finds.
func (s *scene) receive(who string, o eventhubs.ConsumerOptions, h eventhubs.Handler) *receiving {
	s.t.Helper()
	o.InstanceID = who
	c, err := eventhubs.NewConsumer(s.cfg, s.store, &o)
	require.NoError(s.t, err)
	return s.start(c, func(ctx context.Context) error { return c.Receive(ctx, s.handler(who, h)) })
}

// start runs what calls Receive.
func (s *scene) start(c *eventhubs.Consumer, call func(context.Context) error) *receiving {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context())) // the test's own ends before its cleanups
	r := &receiving{t: s.t, consumer: c, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = call(ctx)
	}()
	s.mu.Lock()
	s.receivers = append(s.receivers, r)
	s.mu.Unlock()
	s.t.Cleanup(func() {
		cancel()
		_ = r.result()
		require.NoError(s.t, c.Close(context.Background()))
	})
	return r
}

// hasFailed reports whether Receive has returned an error that the test doesn't know of.
func (r *receiving) hasFailed() bool {
	select {
	case <-r.ended:
		return r.err != nil && !r.known.Load()
	default:
		return false
	}
}

// result waits until Receive returns.
func (r *receiving) result() error {
	r.t.Helper()
	select {
	case <-r.ended:
		r.known.Store(true)
		return r.err
	case <-time.After(patience):
		r.t.Fatal("Receive does not return")
		return nil
	}
}

// stop cancels Receive and waits for it.
func (r *receiving) stop() {
	r.t.Helper()
	r.cancel()
	require.NoError(r.t, r.result())
}

// take returns what comes next on a channel.
func take[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("not reached")
	}
}

// until waits for what has to happen.
func (s *scene) until(what string, condition func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		receivers, began := slices.Clone(s.receivers), slices.Clone(s.first)
		s.mu.Unlock()
		for _, r := range receivers {
			if r.hasFailed() {
				s.t.Fatalf("waited until %s, but Receive has ended: %v", what, r.err)
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain until %s: %d events are not handled, holdings began at %v", what, len(s.lost()), began)
		}
	}
}

// untilAll waits until all events that were sent are handled.
func (s *scene) untilAll() {
	s.t.Helper()
	s.until("all events are handled", s.all)
}

// untilCheckpoint waits until the stored checkpoint of a partition is at an event.
func (s *scene) untilCheckpoint(partition string, sequence int64) {
	s.t.Helper()
	s.until(fmt.Sprintf("the checkpoint of partition %s is %d", partition, sequence), func() bool { return s.checkpoint(partition) == sequence })
}

func (s *scene) checkpoint(partition string) int64 {
	s.t.Helper()
	return checkpoint(s.t, s.srv, s.store, partition)
}

// ownership returns the records of who owns what, by partition.
func (s *scene) ownership(store eventhubs.CheckpointStore, group string) map[string]azeventhubs.Ownership {
	s.t.Helper()
	list, err := store.ListOwnership(s.t.Context(), s.namespace(), "hub", group, nil)
	require.NoError(s.t, err)
	owned := map[string]azeventhubs.Ownership{}
	for _, o := range list {
		owned[o.PartitionID] = o
	}
	return owned
}

func (s *scene) owner(partition string) string {
	s.t.Helper()
	return s.ownership(s.store, "$Default")[partition].OwnerID
}

func (s *scene) namespace() string {
	return namespaceOf(s.srv)
}

// logs keeps lines of a log.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

// String leaves out lines that say again what was said before.
func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	said := map[string]bool{}
	for _, line := range l.lines {
		what, _, _ := strings.Cut(line, "error=")
		_, what, _ = strings.Cut(what, " ") // without the time
		if !said[what] {
			said[what] = true
			b.WriteString(line)
		}
	}
	return b.String()
}

// count returns how many lines have all the parts in them.
func (l *logs) count(parts ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			n++
		}
	}
	return n
}
