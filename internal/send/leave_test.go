package send_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestContextEndsOnTheWay: the answer never comes, and the caller leaves.
func TestContextEndsOnTheWay(t *testing.T) {
	for name, events := range map[string][]eventhubs.Event{"one": {anywhere}, "several": {anywhere, anywhere}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), anywhere))
				s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Hang: true, After: true})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var err error
				require.Equal(t, time.Second, elapsed(func() { err = s.Send(ctx, events...) }))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Len(t, unacknowledged(t, err), len(events))
				require.ErrorContains(t, err, "whether what is listed was stored is unknown")
			})
		})
	}
}

// TestContextEndsBefore: an event that waits for another batch is not sent any more, and the text says so. Its memory
// belongs to the caller again.
func TestContextEndsBefore(t *testing.T) {
	for name, n := range map[string]int{"one": 1, "several": 3} {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), toZero))
				s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Delay: time.Second})
				first := s.start(t.Context(), toZero)
				ctx, cancel := context.WithCancel(t.Context())
				events := numbered(0, n, toZero)
				leaving, staying := s.start(ctx, events...), s.start(t.Context(), numbered(7, 8, toZero)...)
				cancel()
				err := <-leaving
				require.Len(t, unacknowledged(t, err), n)
				require.ErrorContains(t, err, "what is listed was not sent")
				for i := range events {
					clear(events[i].Body)
				}
				require.NoError(t, <-first)
				require.NoError(t, <-staying)
				require.Equal(t, []string{"event", "event", "7"}, s.stored("0"))
			})
		})
	}
}

// TestContextEndsWithFailures: events of unknown outcome are listed beside those that failed and those that were not
// sent, and those that were acknowledged are not.
func TestContextEndsWithFailures(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		for _, partition := range []string{"0", "1", "2", "3"} {
			require.NoError(t, s.Send(t.Context(), sized(1, partition)))
		}
		fault := eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1}
		fault.Partition, fault.Condition = "1", "amqp:resource-limit-exceeded"
		s.srv.Fault(fault)
		fault.Partition, fault.Condition, fault.Hang, fault.After = "2", "", true, true
		s.srv.Fault(fault)
		fault.Partition = "3"
		s.srv.Fault(fault)
		blocking := s.start(t.Context(), sized(1, "3"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		events := []eventhubs.Event{sized(1, "0"), sized(1, "1"), sized(1, "2"), sized(1, "3")}
		for range 20 { // these are acknowledged long before
			events = append(events, sized(100, "0"), sized(1, "0"))
		}
		err := s.Send(ctx, events...)
		require.Equal(t, []int{1, 2, 3}, unacknowledged(t, err))
		require.ErrorContains(t, err, "amqp:resource-limit-exceeded", "the first one's reason")
		require.NoError(t, <-blocking)
	})
}

// TestContextEndsDuringOutage: the error says why it took so long.
func TestContextEndsDuringOutage(t *testing.T) {
	for name, event := range map[string]eventhubs.Event{"known": keyed, "a new partition": toZero} {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), anywhere))
				s.srv.DropConnections()
				s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Condition: "amqp:unauthorized-access"})
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err := s.Send(ctx, event)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, eventhubs.ErrNotAuthorized)
				require.ErrorContains(t, err, "eventhubs: send hub: not authorized: check the key")
				if event.PartitionID != "" {
					requireNothingSent(t, err)
				}
			})
		})
	}
}

// TestLeavingWhileOpening: a caller that leaves while its partition's link is opened costs nobody the connection.
func TestLeavingWhileOpening(t *testing.T) {
	for _, on := range []eventhubstest.Operation{
		eventhubstest.OnSASL, eventhubstest.OnOpen, eventhubstest.OnBegin, eventhubstest.OnToken, eventhubstest.OnAttach,
	} {
		t.Run(string(on), func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				s.srv.Fault(eventhubstest.Fault{On: on, Times: 1, Delay: time.Second})
				ctx, cancel := context.WithCancel(t.Context())
				leaving := s.start(ctx, toZero)
				staying := s.start(t.Context(), toZero)
				cancel()
				err := <-leaving
				require.ErrorIs(t, err, context.Canceled)
				requireNothingSent(t, err)
				require.NoError(t, <-staying)
				require.Empty(t, s.log.String())
				require.Len(t, s.stored("0"), 1)
			})
		})
	}
}

// TestContextHasEnded: nothing is sent for a caller whose context has ended.
func TestContextHasEnded(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), toZero))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 {
			require.ErrorIs(t, s.Send(ctx, toZero), context.Canceled)
		}
		synctest.Wait()
		require.Len(t, s.stored("0"), 1)
	})
}
