package connection_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
)

type producers = connection.Options[*azeventhubs.ProducerClient]

func TestManyCallersShareOneConnection(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		require.NoError(t, all(s.start(50), 50))
		require.EqualValues(t, 1, s.dials.Load())
		require.Len(t, s.srv.AllEvents("hub"), 50)
		require.Equal(t, roundTrip, elapsed(func() { require.NoError(t, all(s.start(50), 50)) }), "they run side by side")
	})
}

func TestCallsTakeTurns(t *testing.T) {
	bubble(t, func(o *producers) { o.AtOnce = 0 }, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		require.Equal(t, 5*roundTrip, elapsed(func() { require.NoError(t, all(s.start(5), 5)) }))
	})
}

func TestSomeCallsAtOnce(t *testing.T) {
	bubble(t, func(o *producers) { o.AtOnce = 3 }, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		require.Equal(t, 4*roundTrip, elapsed(func() { require.NoError(t, all(s.start(10), 10)) }))
	})
}

// TestCallerThatLeavesWhileOpening has the caller for whom the client is made leave.
func TestCallerThatLeavesWhileOpening(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Times: 1, Delay: time.Second})
		ctx, cancel := context.WithCancelCause(t.Context())
		first := make(chan error, 1)
		go func() { first <- s.do(ctx) }()
		synctest.Wait()
		others := s.start(3)
		reason := errors.New("left")
		cancel(reason)
		require.Zero(t, elapsed(func() { require.ErrorIs(t, <-first, reason) }))
		require.NoError(t, all(others, 3))
		require.EqualValues(t, 1, s.dials.Load())
	})
}

func TestOpeningIsNeverAnswered(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Times: 1, Delay: time.Hour})
		errs := s.start(3)
		require.Equal(t, 30*time.Second, elapsed(func() {
			for range 3 {
				require.ErrorIs(t, <-errs, connection.ErrNoAnswer)
			}
		}))
		require.NoError(t, s.do(t.Context()))
		require.EqualValues(t, 2, s.dials.Load())
	})
}

// TestSilentPeer: package dial bounds the wait for the first bytes.
func TestSilentPeer(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, Hang: true})
		require.Equal(t, 10*time.Second, elapsed(func() { require.ErrorContains(t, s.do(t.Context()), "i/o timeout") }))
	})
}

// TestOpenIgnoresItsContext: the SDK asks a credential for a token without one.
func TestOpenIgnoresItsContext(t *testing.T) {
	answer := make(chan struct{})
	bubble(t, func(o *producers) {
		answer = make(chan struct{})
		o.Open = func(context.Context, *azeventhubs.ProducerClient) error { <-answer; return nil }
	}, func(t *testing.T, s *scene) {
		require.Equal(t, 30*time.Second, elapsed(func() { require.ErrorIs(t, s.do(t.Context()), connection.ErrNoAnswer) }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.shared.Close(ctx), context.DeadlineExceeded, "the client can't be closed yet")
		close(answer)
	})
}

func TestReasonOfFailedOpeningIsShared(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{
			On: eventhubstest.OnAttach, Times: 1, Condition: "amqp:not-allowed", Description: "not now",
		})
		errs := s.start(3)
		for range 3 {
			require.ErrorContains(t, <-errs, "not now")
		}
		require.NoError(t, s.do(t.Context()))
	})
}

func TestClientThatCannotBeMade(t *testing.T) {
	reason := errors.New("bad configuration")
	bubble(t, func(o *producers) {
		o.New = func() (*azeventhubs.ProducerClient, *dial.Dialer, error) { return nil, nil, reason }
	}, func(t *testing.T, s *scene) {
		require.Equal(t, reason, s.do(t.Context()))
	})
}

// TestLinkIsLost has the service detach the link while several calls wait for their answers. If the SDK recovered, one
// call would open the link anew, which is never answered here, and hold up the others.
func TestLinkIsLost(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Skip: 2, Times: 1, Condition: "amqp:link:detach-forced"})
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 2, After: true})
		remove := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Delay: time.Hour})
		errs := s.start(3)
		require.LessOrEqual(t, elapsed(func() {
			for range 3 {
				requireLost(t, <-errs)
			}
		}), roundTrip)
		remove()
		require.NoError(t, s.do(t.Context()))
		require.EqualValues(t, 2, s.dials.Load())
	})
}

// TestConnectionIsLost is the same with the connection. New ones are never answered.
func TestConnectionIsLost(t *testing.T) {
	for name, lose := range map[string]func(*eventhubstest.Server){
		"cut": func(srv *eventhubstest.Server) { srv.DropConnections() },
		"closed": func(srv *eventhubstest.Server) {
			srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Condition: "amqp:connection:forced"})
			_ = srv.Send(context.Background(), "hub")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, s *scene) {
				require.NoError(t, s.do(t.Context()))
				remove := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 3, After: true})
				errs := s.start(3)
				remove()
				lose(s.srv)
				s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, Times: 1, Delay: time.Hour})
				last := s.start(1)
				require.LessOrEqual(t, elapsed(func() {
					for range 3 {
						requireLost(t, <-errs)
					}
				}), roundTrip)
				<-last
			})
		})
	}
}

// TestReasonIsToldToWhoIsAlone: the reason why a link is detached is lost when several calls are thrown out; the first
// call in a client learns it.
func TestReasonIsToldToWhoIsAlone(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{
			On: eventhubstest.OnPublish, Times: 2, Condition: "amqp:link:detach-forced", Description: "moved",
		})
		require.ErrorContains(t, s.do(t.Context()), "moved")
		require.NoError(t, s.do(t.Context()))
	})
}

// TestFirstCallIsAlone: while nothing has succeeded in a client, one call at a time is in it.
func TestFirstCallIsAlone(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Delay: time.Second})
		errs := s.start(3)
		time.Sleep(time.Second)
		require.Len(t, s.srv.AllEvents("hub"), 1)
		require.NoError(t, all(errs, 3))
	})
}

// TestIdleClientThatIsLost is not used again.
func TestIdleClientThatIsLost(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		s.srv.DropConnections()
		synctest.Wait()
		remove := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, Condition: "amqp:not-allowed"})
		require.ErrorContains(t, s.do(t.Context()), "amqp:not-allowed")
		remove()
		require.NoError(t, s.do(t.Context()))
	})
}

func TestCallThatIsNotAnswered(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 2, After: true})
		other := s.start(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.Equal(t, time.Minute, elapsed(func() { require.ErrorIs(t, s.do(ctx), context.DeadlineExceeded) }))
		requireLost(t, <-other)
		require.NoError(t, s.do(t.Context()))
		require.EqualValues(t, 2, s.dials.Load())
	})
}

// TestCallIgnoresItsContext: some calls of the SDK don't look at it. The end of the connection ends them.
func TestCallIgnoresItsContext(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Times: 1, After: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.Equal(t, time.Minute, elapsed(func() {
			require.Error(t, s.shared.Do(ctx, func(_ context.Context, c *azeventhubs.ProducerClient) error {
				_, err := c.GetPartitionProperties(context.Background(), "0", nil)
				return err
			}))
		}))
	})
}

// TestCallThatHangs does not hold up those who wait for their turn after it.
func TestCallThatHangs(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		end, hung := make(chan struct{}), make(chan error)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			hung <- s.shared.Do(ctx, func(context.Context, *azeventhubs.ProducerClient) error { <-end; return nil })
		}()
		synctest.Wait()
		require.NoError(t, all(s.start(3), 3))
		close(end)
		require.NoError(t, <-hung)
	})
}

func TestCallTimeout(t *testing.T) {
	bubble(t, func(o *producers) { o.CallTimeout = time.Minute }, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, After: true})
		require.Equal(t, time.Minute, elapsed(func() { require.ErrorIs(t, s.do(t.Context()), connection.ErrNoAnswer) }))
		require.NoError(t, s.do(t.Context()))
		require.EqualValues(t, 2, s.dials.Load())
	})
}

// TestTokenThatIsNotRenewed: the SDK would ask for a new one again and again, without a pause.
func TestTokenThatIsNotRenewed(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		require.NoError(t, s.do(t.Context()))
		remove := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnToken, Condition: "com.microsoft:server-busy"})
		time.Sleep(time.Hour)
		require.ErrorContains(t, s.do(t.Context()), "status code 503")
		remove()
		require.NoError(t, s.do(t.Context()))
	})
}

// TestTokenThatIsRenewed keeps its connection, which is used more often than every half an hour, or the service would
// detach its link.
func TestTokenThatIsRenewed(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		for range 24 * 3 {
			require.NoError(t, s.do(t.Context()))
			time.Sleep(20 * time.Minute)
		}
		require.EqualValues(t, 1, s.dials.Load())
	})
}

func TestOpen(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		require.NoError(t, s.shared.Open(t.Context()))
		require.Equal(t, roundTrip, elapsed(func() { require.NoError(t, s.do(t.Context())) }))
		require.NoError(t, s.shared.Close(t.Context()))
		require.ErrorIs(t, s.shared.Open(t.Context()), connection.ErrClosed)
	})
}

// TestErrorThatDoesNotBreak leaves the client as it is.
func TestErrorThatDoesNotBreak(t *testing.T) {
	bubble(t, func(o *producers) { o.Broken = nil }, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Condition: "com.microsoft:server-busy"})
		require.ErrorContains(t, s.do(t.Context()), "com.microsoft:server-busy")
		require.NoError(t, s.do(t.Context()))
		require.EqualValues(t, 1, s.dials.Load())
	})
}

func TestErrorThatBreaks(t *testing.T) {
	bubble(t, nil, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Condition: "com.microsoft:server-busy"})
		require.ErrorContains(t, s.do(t.Context()), "com.microsoft:server-busy")
		require.NoError(t, s.do(t.Context()))
		require.EqualValues(t, 2, s.dials.Load())
	})
}
