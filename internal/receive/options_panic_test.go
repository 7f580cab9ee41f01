package receive_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// TestPanicsOfOptions end Receive as a handler's panic does, and not the process.
func TestPanicsOfOptions(t *testing.T) {
	fails := func(context.Context, *eventhubs.ReceivedEvent) error { return errors.New("no use") }
	backoff := func(int, error) time.Duration { panic("oh no") }
	for name, c := range map[string]struct {
		options eventhubs.ConsumerOptions
		handler eventhubs.Handler
		want    int64 // sequence number
	}{
		"Backoff":                  {eventhubs.ConsumerOptions{Backoff: backoff}, fails, 0},
		"Backoff with Concurrency": {eventhubs.ConsumerOptions{Backoff: backoff, Concurrency: 2}, fails, 0},
		"Unreadable": {
			eventhubs.ConsumerOptions{Unreadable: func(string, int64, error) error { panic("oh no") }}, nothing, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", 1)
				s.sendDecimals("0", 1)
				r := s.receive("one", c.options, c.handler)
				<-r.ended
				var failed *eventhubs.HandlerError
				require.ErrorAs(s, r.err, &failed)
				require.Equal(s, "oh no", failed.Panic)
				require.Equal(s, c.want, failed.SequenceNumber)
				require.Empty(s, s.owner("0"), "the partition is released")
			})
		})
	}
}
