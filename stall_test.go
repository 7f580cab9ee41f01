package eventhubs_test

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// soon is after how long a handler counts as stalled in tests.
const soon = 20 * time.Millisecond

func stallSoon(c *eventhubs.Consumer) { c.SetStallAfter(soon) }

// stalls returns for how long a handler had been running each time that it was told as stalled.
func (s *scene) stalls(parts ...string) (for_ []time.Duration) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, line := range s.log.lines {
		if m := stalledFor.FindStringSubmatch(line); m != nil {
			for _, p := range parts {
				require.Contains(s.t, line, p)
			}
			d, err := time.ParseDuration(m[1])
			require.NoError(s.t, err)
			for_ = append(for_, d)
		}
	}
	return for_
}

var stalledFor = regexp.MustCompile(`the handler has stalled.* for=(\S+)`)

func TestStalledHandlerIsToldAtGrowingIntervals(t *testing.T) {
	for name, result := range map[string]error{"success": nil, "failure": errors.New("not yet")} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2)
			s.send("1", 5)
			release := make(chan struct{})
			c := s.consumer(calm(), stallSoon)
			s.receiveWith(c, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
				if e.SequenceNumber == 3 && e.Attempt == 1 {
					<-release
					return result
				}
				return nil
			})
			attributes := []string{"level=WARN", "event_hub=hub", "group=$Default", "owner=only", "partition=1", "sequence=3", "attempt=1"}
			s.until("it is told four times", func() bool { return len(s.stalls(attributes...)) == 4 })
			close(release)
			s.untilAll()
			attributes[0] = "level=INFO"
			s.until("it is told that it goes on", func() bool {
				return s.log.count(append(attributes, "the handler that had stalled has returned")...) == 1
			})
			at := soon
			for i, d := range s.stalls() {
				require.GreaterOrEqual(t, d, at, "time %d", i)
				at *= 2
			}
		})
	}
}

// TestStalledHandlerIsToldWhileDraining has Receive wait for a handler that doesn't return.
func TestStalledHandlerIsToldWhileDraining(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 1)
	running, release := make(chan struct{}), make(chan struct{})
	c := s.consumer(calm(), stallSoon)
	r := s.receiveWith(c, func(context.Context, *eventhubs.ReceivedEvent) error {
		close(running)
		<-release
		return nil
	})
	take(t, running)
	r.cancel()
	before := len(s.stalls())
	s.until("it is told again", func() bool { return len(s.stalls()) > before+1 })
	close(release)
	require.NoError(t, r.result())
}

// TestQuickHandlerIsNotStalled has handlers, the waits between attempts, and the wait for events take long only together.
func TestQuickHandlerIsNotStalled(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 3)
	o := calm()
	o.Backoff = func(int, error) time.Duration { return 600 * time.Millisecond }
	c := s.consumer(o, func(c *eventhubs.Consumer) { c.SetStallAfter(500 * time.Millisecond) })
	s.receiveWith(c, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if e.Attempt == 1 {
			return errors.New("not yet")
		}
		return nil
	})
	s.untilAll()
	during(600*time.Millisecond, func(int) { // nothing is there to handle
		require.Empty(t, s.stalls())
	})
	require.Zero(t, s.log.count("had stalled"))
}

// consumer makes one whose times are set before it receives.
func (s *scene) consumer(o eventhubs.ConsumerOptions, set func(*eventhubs.Consumer)) *eventhubs.Consumer {
	s.t.Helper()
	o.InstanceID = "only"
	c, err := eventhubs.NewConsumer(s.cfg, s.store, &o)
	require.NoError(s.t, err)
	if set != nil {
		set(c)
	}
	return c
}

// receiveWith starts a consumer that is made already.
func (s *scene) receiveWith(c *eventhubs.Consumer, h eventhubs.Handler) *receiving {
	return s.start(c, func(ctx context.Context) error { return c.Receive(ctx, s.handler("only", h)) })
}
