package receive_test

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// stallAfter is how long a handler may run before it is reported.
const stallAfter = 30 * time.Second

// stalls returns for how long a handler had been running each time that it was reported.
func (s *scene) stalls() (after []time.Duration) {
	s.Helper()
	for _, l := range s.log.find("level=WARN", "the handler has stalled") {
		d, err := time.ParseDuration(stalledFor.FindStringSubmatch(l.text)[1])
		require.NoError(s, err)
		after = append(after, d)
	}
	return after
}

var stalledFor = regexp.MustCompile(` for=(\S+)`)

// TestStalledHandlerIsReported at growing intervals, and when it returns.
func TestStalledHandlerIsReported(t *testing.T) {
	for name, result := range map[string]error{"success": nil, "failure": errors.New("not yet")} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				s.send("1", 5)
				s.receive("one", eventhubs.ConsumerOptions{}, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
					if e.SequenceNumber == 3 && e.Attempt == 1 {
						time.Sleep(10 * stallAfter)
						return result
					}
					return nil
				})
				s.untilHandled(10*stallAfter+margin, "1", 5)
				attributes := []string{"event_hub=hub", "group=$Default", "owner=one", "partition=1", "sequence=3", "attempt=1"}
				require.Equal(s, 4, s.log.count(append(attributes, "level=WARN", "the handler has stalled")...))
				require.Equal(s, 1, s.log.count(append(attributes, "level=INFO", "the handler that had stalled has returned")...))
				for i, d := range s.stalls() {
					require.InDelta(s, stallAfter<<i, d, float64(stallAfter/2), "time %d", i)
				}
			})
		})
	}
}

// TestStalledHandlerIsReportedWhileDraining has Receive wait for a handler that doesn't look at its context.
func TestStalledHandlerIsReportedWhileDraining(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 1)
		running := make(chan struct{})
		r := s.receive("one", eventhubs.ConsumerOptions{}, func(context.Context, *eventhubs.ReceivedEvent) error {
			close(running)
			time.Sleep(5 * stallAfter)
			return nil
		})
		<-running
		require.InDelta(s, 5*stallAfter, r.stop(), float64(margin))
		require.Len(s, s.stalls(), 3)
	})
}

// TestQuickHandlerIsNotReported has handlers, the pauses between attempts, and the wait for events take long only
// together.
func TestQuickHandlerIsNotReported(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 3)
		o := eventhubs.ConsumerOptions{Backoff: func(int, error) time.Duration { return 2 * stallAfter }}
		s.receive("one", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			time.Sleep(stallAfter / 2)
			if e.Attempt == 1 {
				return errors.New("not yet")
			}
			return nil
		})
		s.untilHandled(20*stallAfter, "0", 3)
		time.Sleep(10 * stallAfter)
		require.Empty(s, s.stalls())
		require.Zero(s, s.log.count("had stalled"))
	})
}
