package send_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const busy = "com.microsoft:server-busy"

// TestCloseEndsSend has calls be in every place where they may be when the producer is closed.
func TestCloseEndsSend(t *testing.T) {
	for name, tc := range map[string]struct {
		fault eventhubstest.Fault
		event eventhubs.Event
	}{
		"connecting":            {eventhubstest.Fault{On: eventhubstest.OnConnect, Hang: true}, anywhere},
		"opening a link":        {eventhubstest.Fault{On: eventhubstest.OnAttach, Hang: true}, anywhere},
		"opening a partition":   {eventhubstest.Fault{On: eventhubstest.OnAttach, Hang: true}, toZero},
		"signing in":            {eventhubstest.Fault{On: eventhubstest.OnToken, Hang: true}, anywhere},
		"waiting for an answer": {eventhubstest.Fault{On: eventhubstest.OnPublish, Hang: true}, anywhere},
		"waiting for a retry":   {eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: busy}, toZero},
		"waiting to open again": {eventhubstest.Fault{On: eventhubstest.OnToken, Condition: busy}, toZero},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, roomy(1000), func(t *testing.T, s *scene) {
				s.srv.Fault(tc.fault)
				large := tc.event
				large.Body = make([]byte, 900<<10)
				results := []<-chan error{
					s.start(t.Context(), tc.event), s.start(t.Context(), tc.event, tc.event), s.start(t.Context(), large),
					s.start(t.Context(), large, large, large), // waits for room
				}
				time.Sleep(10 * time.Second)
				require.LessOrEqual(t, elapsed(func() { require.NoError(t, s.Close(t.Context())) }), 5*roundTrip)
				for _, r := range results {
					err := <-r
					require.ErrorIs(t, err, eventhubs.ErrClosed)
					require.ErrorContains(t, err, "eventhubs: send hub: the client is closed")
				}
				for _, event := range []eventhubs.Event{tc.event, large, sized(1, "3")} {
					require.ErrorIs(t, s.Send(t.Context(), event), eventhubs.ErrClosed)
				}
				require.NoError(t, s.Close(t.Context()))
			})
		})
	}
}

// TestCloseInGoodOrder detaches the links and closes the connections, side by side.
func TestCloseInGoodOrder(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), anywhere, sized(1, "0"), sized(1, "1"), sized(1, "2"), sized(1, "3")))
		_, err := s.Client().GetEventHubProperties(t.Context(), nil)
		require.NoError(t, err)
		require.LessOrEqual(t, elapsed(func() { require.NoError(t, s.Close(t.Context())) }), 5*roundTrip)
	})
}

// TestCloseOfSilentConnections has a bound.
func TestCloseOfSilentConnections(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), anywhere, sized(1, "0")))
		s.srv.SilenceConnections()
		require.Equal(t, 5*time.Second, elapsed(func() { require.NoError(t, s.Close(t.Context())) }))
	})
}

func TestCloseIsCutOff(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), anywhere, sized(1, "0")))
		_, err := s.Client().GetEventHubProperties(t.Context(), nil)
		require.NoError(t, err)
		s.srv.SilenceConnections()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, time.Second, elapsed(func() {
			err := s.Close(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "eventhubs: close the producer for hub: ")
		}))
		require.Zero(t, elapsed(func() { require.NoError(t, s.Close(t.Context())) }), "the rest was cut off")
	})
}

func TestCloseWithEndedContext(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, s.Close(ended), "nothing is open")
		require.ErrorIs(t, s.Send(t.Context(), anywhere), eventhubs.ErrClosed)
	})
}
