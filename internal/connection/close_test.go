package connection_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/connection"
)

func TestCloseEndsCalls(t *testing.T) {
	for name, fault := range map[string]eventhubstest.Fault{
		"while opening": {On: eventhubstest.OnAttach, Delay: time.Hour},
		"in the client": {On: eventhubstest.OnPublish, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, s *scene) {
				s.srv.Fault(fault)
				errs := s.start(3) // two of them wait for their turn
				time.Sleep(time.Second)
				require.Zero(t, elapsed(func() { require.NoError(t, s.shared.Close(t.Context())) }))
				for range 3 {
					require.ErrorIs(t, <-errs, connection.ErrClosed)
				}
				require.ErrorIs(t, s.do(t.Context()), connection.ErrClosed)
			})
		})
	}
}

func TestCloseWithEndedContext(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, s.shared.Close(ended), "nothing is open")
		require.ErrorIs(t, s.do(t.Context()), connection.ErrClosed)
	})
}

// TestCloseIsNotAnswered has the peer be silent, so that it never says that the link is closed.
func TestCloseIsNotAnswered(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		s.srv.SilenceConnections()
		require.Equal(t, 5*time.Second, elapsed(func() { require.NoError(t, s.shared.Close(t.Context())) }))
	})
}

func TestCloseIsCutOff(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		s.srv.SilenceConnections()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, time.Second, elapsed(func() {
			require.ErrorIs(t, s.shared.Close(ctx), context.DeadlineExceeded)
		}))
		require.Zero(t, elapsed(func() { require.NoError(t, s.shared.Close(t.Context())) }), "the rest is cut off")
	})
}

// TestCloseConsumer has no goroutine be left that would renew a token: the bubble would not end.
func TestCloseConsumer(t *testing.T) {
	for name, spoil := range map[string]func(*eventhubstest.Server){
		"ready":         func(*eventhubstest.Server) {},
		"cut":           func(srv *eventhubstest.Server) { srv.DropConnections() },
		"silent":        func(srv *eventhubstest.Server) { srv.SilenceConnections() },
		"not asked":     nil,
		"ended context": func(*eventhubstest.Server) {},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, s *scene) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				d := s.dialer()
				c, err := azeventhubs.NewConsumerClientFromConnectionString(s.srv.ConnectionString("hub"), "",
					azeventhubs.DefaultConsumerGroup,
					&azeventhubs.ConsumerClientOptions{RetryOptions: noRetries, NewWebSocketConn: d.Dial})
				require.NoError(t, err)
				if spoil != nil {
					_, err = c.GetEventHubProperties(t.Context(), nil)
					require.NoError(t, err)
					spoil(s.srv)
					synctest.Wait()
				}
				if name == "ended context" {
					cancel()
				}
				require.Zero(t, elapsed(func() { require.Equal(t, ctx.Err(), connection.CloseConsumer(ctx, c, d)) }))
			})
		})
	}
}

// TestCancelWhileWriting has a call's context end when its message is about to be written. With a context of its own
// go-amqp would not write it, and wait for good for a link that has ended to take back the credit (sender.go, send).
func TestCancelWhileWriting(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		for i := range 200 {
			require.NoError(t, s.do(t.Context()))
			ctx, cancel := context.WithCancel(t.Context())
			called := make(chan error, 1)
			go func() { called <- s.do(ctx) }()
			for range i % 20 { // to meet each step of writing
				runtime.Gosched()
			}
			cancel()
			select {
			case <-called:
			case <-time.After(time.Minute):
				t.Fatal("the call does not return")
			}
		}
	})
}
