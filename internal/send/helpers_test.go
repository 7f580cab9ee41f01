package send_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// roundTrip makes each answer of the server take virtual time. A call that holds a lock of the SDK meanwhile, with
// others blocked on it, hangs the test for good.
const roundTrip = 10 * time.Millisecond

// scene is a namespace in memory, with an event hub "hub" of four partitions, and a producer.
type scene struct {
	*eventhubs.Producer
	t   *testing.T
	srv *eventhubstest.Server
	log *logs
}

// options say how the scene is set up. The zero value is right for most.
type options struct {
	server   eventhubstest.Options
	producer eventhubs.ProducerOptions
	config   func(*eventhubstest.Server) eventhubs.Config // nil: a connection string
}

// bubble runs a test in virtual time. It fails if a goroutine is left after the producer and the server are closed.
func bubble(t *testing.T, o options, test func(*testing.T, *scene)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o.server.InMemory = true
		if o.server.RoundTrip == 0 {
			o.server.RoundTrip = roundTrip
		}
		s := &scene{t: t, srv: eventhubstest.Start(t, &o.server), log: &logs{}}
		defer s.srv.Close()
		cfg := s.srv.Config("hub")
		if o.config != nil {
			cfg = o.config(s.srv)
		}
		cfg.Logger = slog.New(slog.NewTextHandler(s.log, nil))
		p, err := eventhubs.NewProducer(cfg, &o.producer)
		require.NoError(t, err)
		s.Producer = p
		defer func() { require.NoError(t, p.Close(context.Background())) }()
		test(t, s)
		if t.Failed() {
			t.Logf("log:\n%s", s.log)
		}
	})
}

// start calls Send in a goroutine of its own, and returns what it will return. It waits until nothing moves any more.
func (s *scene) start(ctx context.Context, events ...eventhubs.Event) <-chan error {
	err := make(chan error, 1)
	go func() { err <- s.Send(ctx, events...) }()
	synctest.Wait()
	return err
}

// stored are the bodies in a partition.
func (s *scene) stored(partition string) (bodies []string) {
	for _, e := range s.srv.Events("hub", partition) {
		bodies = append(bodies, string(e.Body))
	}
	return bodies
}

// numbered are events from one number up to another, whose bodies are their numbers.
func numbered(from, to int, like eventhubs.Event) (events []eventhubs.Event) {
	for i := from; i < to; i++ {
		e := like
		e.Body = fmt.Append(nil, i)
		events = append(events, e)
	}
	return events
}

// numbers are the bodies of numbered events.
func numbers(from, to int) (bodies []string) {
	for i := from; i < to; i++ {
		bodies = append(bodies, fmt.Sprint(i))
	}
	return bodies
}

var (
	anywhere = eventhubs.Event{Body: []byte("event")}
	toZero   = eventhubs.Event{Body: []byte("event"), PartitionID: "0"}
	keyed    = eventhubs.Event{Body: []byte("event"), PartitionKey: "key"}
)

// sized is an event to a partition with so many KiB.
func sized(kib int, partition string) eventhubs.Event {
	return eventhubs.Event{Body: make([]byte, kib<<10), PartitionID: partition}
}

// elapsed is how long something takes, in virtual time.
func elapsed(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// unacknowledged expects a SendError and returns what it lists.
func unacknowledged(t *testing.T, err error) []int {
	t.Helper()
	var failed *eventhubs.SendError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 1, strings.Count(err.Error(), "eventhubs: "), "%v", err)
	return failed.Unacknowledged
}

// requireNothingSent expects an error that says that nothing was sent.
func requireNothingSent(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.False(t, errors.As(err, new(*eventhubs.SendError)), "%v", err)
	require.Equal(t, 1, strings.Count(err.Error(), "eventhubs: "), "%v", err)
}

// logs keeps lines of a log.
type logs struct {
	linesMu sync.Mutex
	lines   []string
}

func (l *logs) Write(line []byte) (int, error) {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

func (l *logs) String() string {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
	return strings.Join(l.lines, "")
}

// count returns how many lines have all the parts in them.
func (l *logs) count(parts ...string) (n int) {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
lines:
	for _, line := range l.lines {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue lines
			}
		}
		n++
	}
	return n
}
