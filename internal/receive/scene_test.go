package receive_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// roundTrip makes every answer of the service take virtual time. So a goroutine that waits for a lock of the SDK, whose
// holder waits for an answer, stops the clock, and the test hangs: no two of ours may be in one client like that.
const roundTrip = 20 * time.Millisecond

// address is where the namespace is, so that one can take another's place.
const address = "127.0.0.1:5672"

// scene is a namespace and a storage account in memory, and consumers with default options.
type scene struct {
	*testing.T
	srv   *eventhubstest.Server // the namespace that is there now
	cfg   eventhubs.Config
	store eventhubs.CheckpointStore
	log   *logs

	servers []*eventhubstest.Server // all there were; the first one has the storage account

	// questions counts what the service was asked about a partition.
	questions atomic.Int64

	mu      sync.Mutex
	handled []handled
}

// handled is a call of a handler that has succeeded.
type handled struct {
	who, partition string
	sequence       int64
	at             time.Time
}

// bubble runs a test in virtual time, with so many partitions. It fails if a goroutine is left after everything is
// closed.
func bubble(t *testing.T, partitions int, test func(s *scene)) {
	t.Helper()
	bubbleOn(t, eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: partitions}}}, test)
}

// bubbleOn does the same with a server that has these options.
func bubbleOn(t *testing.T, o eventhubstest.Options, test func(s *scene)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{T: t, log: &logs{}}
		t.Cleanup(func() {
			for _, srv := range s.servers {
				srv.Close()
			}
			if t.Failed() {
				t.Logf("the log:\n%s", s.log)
			}
		})
		s.srv = s.newServer(o)
		s.cfg = s.srv.Config("hub")
		s.cfg.Logger = slog.New(s.log)
		s.cfg.DialContext = s.dial
		blobs := s.srv.BlobConfig("checkpoints")
		blobs.Logger = s.cfg.Logger
		blobs.ClientOptions.Retry = policy.RetryOptions{MaxRetries: -1}
		store, err := eventhubs.NewBlobCheckpointStore(t.Context(), blobs)
		require.NoError(t, err)
		s.store = store
		test(s)
	})
}

// newServer returns a server that is closed when the test ends, after all consumers.
func (s *scene) newServer(o eventhubstest.Options) *eventhubstest.Server {
	s.Helper()
	o.InMemory, o.Address, o.RoundTrip = true, address, roundTrip
	srv, err := eventhubstest.New(&o)
	require.NoError(s, err)
	s.servers = append(s.servers, srv)
	return srv
}

// dial connects to the namespace that is there now.
func (s *scene) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := s.srv.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &countedConn{nc, &s.questions}, nil
}

// countedConn counts questions about partitions.
type countedConn struct {
	net.Conn
	questions *atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.questions.Add(int64(bytes.Count(b, []byte("com.microsoft:partition"))))
	return c.Conn.Write(b)
}

// namespace is what stands for the server in the names of checkpoints.
func (s *scene) namespace() string { return "localhost" } // without the port, which is the usual one

// send sends n events to a partition.
func (s *scene) send(partition string, n int) {
	s.Helper()
	events := make([]eventhubs.Event, n)
	for i := range events {
		events[i] = eventhubs.Event{Body: []byte("event"), PartitionID: partition}
	}
	require.NoError(s, s.srv.Send(s.Context(), "hub", events...))
}

// steady returns a function that sends an event to a partition. It keeps one producer, which is cheaper for tests that
// send many and leave all connections in peace.
func (s *scene) steady() (send func(partition string)) {
	s.Helper()
	p, err := eventhubs.NewProducer(s.srv.Config("hub"), nil)
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, p.Close(context.Background())) })
	return func(partition string) {
		s.Helper()
		require.NoError(s, p.Send(s.Context(), eventhubs.Event{Body: []byte("event"), PartitionID: partition}))
	}
}

// sendDecimals sends n events that go-amqp can't decode, as .NET programs do: with a decimal in their properties.
func (s *scene) sendDecimals(partition string, n int) {
	s.Helper()
	const uuidCode, decimal128Code = 0x98, 0x94
	price := amqp.UUID([]byte("a decimal number"))
	uuid, decimal := append([]byte{uuidCode}, price[:]...), append([]byte{decimal128Code}, price[:]...)
	client, err := azeventhubs.NewProducerClientFromConnectionString(s.srv.ConnectionString("hub"), "",
		&azeventhubs.ProducerClientOptions{
			NewWebSocketConn: func(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
				nc, err := s.srv.DialContext(ctx, "tcp", address)
				return &replacedConn{nc, uuid, decimal}, err
			},
		})
	require.NoError(s, err)
	defer client.Close(s.Context())
	for range n {
		batch, err := client.NewEventDataBatch(s.Context(), &azeventhubs.EventDataBatchOptions{PartitionID: &partition})
		require.NoError(s, err)
		require.NoError(s, batch.AddEventData(&azeventhubs.EventData{Properties: map[string]any{"price": price}}, nil))
		require.NoError(s, client.SendEventDataBatch(s.Context(), batch, nil))
	}
}

// replacedConn replaces what is written.
type replacedConn struct {
	net.Conn
	was, is []byte
}

func (c *replacedConn) Write(b []byte) (int, error) {
	return c.Conn.Write(bytes.ReplaceAll(b, c.was, c.is))
}

// rarely looks at claims less often, which is cheaper for tests that take hours and are not about claims.
var rarely = eventhubs.ConsumerOptions{UpdateInterval: time.Minute, ExpirationInterval: 10 * time.Minute}

// receiver is a consumer and its call of Receive.
type receiver struct {
	*eventhubs.Consumer
	s      *scene
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // what Receive has returned; once ended is closed
}

func nothing(context.Context, *eventhubs.ReceivedEvent) error { return nil }

// receive starts a consumer, with default options but for those that are changed. It is stopped when the test ends.
func (s *scene) receive(who string, o eventhubs.ConsumerOptions, h eventhubs.Handler) *receiver {
	s.Helper()
	o.InstanceID = who
	c, err := eventhubs.NewConsumer(s.cfg, s.store, &o)
	require.NoError(s, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &receiver{Consumer: c, s: s, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.err = c.Receive(ctx, s.counted(who, h))
	}()
	s.Cleanup(func() {
		cancel()
		<-r.ended
		if err := c.Close(context.Background()); err != nil {
			s.Errorf("close: %v", err)
		}
	})
	return r
}

// counted notes what a handler has handled.
func (s *scene) counted(who string, h eventhubs.Handler) eventhubs.Handler {
	return func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if err := h(ctx, e); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.handled = append(s.handled, handled{who, e.PartitionID, e.SequenceNumber, time.Now()})
		return nil
	}
}

// stop ends Receive as the end of its context does, and returns how long that took.
func (r *receiver) stop() time.Duration {
	r.s.Helper()
	began := time.Now()
	r.cancel()
	<-r.ended
	require.NoError(r.s, r.err)
	return time.Since(began)
}

// handledOf returns the sequence numbers that were handled in a partition, in order.
func (s *scene) handledOf(partition string) (sequences []int64) {
	for _, h := range s.calls(partition) {
		sequences = append(sequences, h.sequence)
	}
	return sequences
}

func (s *scene) calls(partition string) (calls []handled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.handled {
		if h.partition == partition {
			calls = append(calls, h)
		}
	}
	return calls
}

// until waits for what has to happen within a bound, and returns how long it took.
func (s *scene) until(bound time.Duration, what string, condition func() bool) time.Duration {
	s.Helper()
	began := time.Now()
	for {
		synctest.Wait()
		took := time.Since(began)
		switch {
		case condition():
			return took
		case took > bound:
			s.Fatalf("not within %v: %s", bound, what)
		}
		time.Sleep(max(bound/200, 10*time.Millisecond))
	}
}

// untilHandled waits until so many events of a partition are handled.
func (s *scene) untilHandled(bound time.Duration, partition string, n int) time.Duration {
	s.Helper()
	return s.until(bound, fmt.Sprintf("%d events of partition %s are handled", n, partition), func() bool {
		return len(s.calls(partition)) >= n
	})
}

// sequences are those from one up to, but without, another.
func sequences(from, to int64) (list []int64) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// checkpoint returns the sequence number that the store has for a partition. none: there is no checkpoint.
func (s *scene) checkpoint(partition string) int64 {
	s.Helper()
	list, err := s.store.ListCheckpoints(context.Background(), s.namespace(), "hub", "$Default", nil)
	require.NoError(s, err)
	for _, c := range list {
		if c.PartitionID == partition {
			return *c.SequenceNumber
		}
	}
	return none
}

const none = -100

// setCheckpoint stores a checkpoint.
func (s *scene) setCheckpoint(partition string, sequence int64, offset string) {
	s.Helper()
	require.NoError(s, s.store.SetCheckpoint(s.Context(), azeventhubs.Checkpoint{
		FullyQualifiedNamespace: s.namespace(), EventHubName: "hub", ConsumerGroup: "$Default", PartitionID: partition,
		SequenceNumber: &sequence, Offset: &offset,
	}, nil))
}

// owner returns who owns a partition.
func (s *scene) owner(partition string) string {
	s.Helper()
	list, err := s.store.ListOwnership(s.Context(), s.namespace(), "hub", "$Default", nil)
	require.NoError(s, err)
	for _, o := range list {
		if o.PartitionID == partition {
			return o.OwnerID
		}
	}
	return ""
}

// partition returns the status of a partition, which has to be held.
func (r *receiver) partition(id string) eventhubs.PartitionStatus {
	r.s.Helper()
	for _, p := range r.Partitions() {
		if p.PartitionID == id {
			return p
		}
	}
	r.s.Fatalf("partition %s is not held", id)
	return eventhubs.PartitionStatus{}
}

// logs keeps the lines of a log.
type logs struct {
	mu    sync.Mutex
	lines []line
}

// line is a line of a log: all of it as text, and when it was written.
type line struct {
	text string
	at   time.Time
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }

func (l *logs) Handle(_ context.Context, r slog.Record) error { return l.add(r, nil) }

func (l *logs) add(r slog.Record, with []slog.Attr) error {
	parts := []string{"level=" + r.Level.String(), r.Message}
	for _, a := range with {
		parts = append(parts, a.String())
	}
	r.Attrs(func(a slog.Attr) bool {
		parts = append(parts, a.String())
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line{strings.Join(parts, " "), r.Time})
	return nil
}

func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler { return &logsWith{l, attrs} }

func (l *logs) WithGroup(string) slog.Handler { return l } // nobody groups

// logsWith is logs with attributes.
type logsWith struct {
	logs  *logs
	attrs []slog.Attr
}

func (l *logsWith) Enabled(context.Context, slog.Level) bool { return true }

func (l *logsWith) Handle(_ context.Context, r slog.Record) error { return l.logs.add(r, l.attrs) }

func (l *logsWith) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logsWith{l.logs, append(slices.Clone(l.attrs), attrs...)}
}

func (l *logsWith) WithGroup(string) slog.Handler { return l }

// find returns the lines that have all the parts in them.
func (l *logs) find(parts ...string) (found []line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, candidate := range l.lines {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(candidate.text, p)
		}
		if all {
			found = append(found, candidate)
		}
	}
	return found
}

func (l *logs) count(parts ...string) int { return len(l.find(parts...)) }

// String is what a person reads of a test that has failed.
func (l *logs) String() string {
	var b strings.Builder
	for _, line := range l.find() {
		fmt.Fprintf(&b, "%s %s\n", line.at.Format("15:04:05.000"), line.text)
	}
	return b.String()
}
