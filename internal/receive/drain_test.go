package receive_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// closeTimeout bounds the closing of a link, and finishTimeout the last checkpoint and the release.
const closeTimeout, finishTimeout = 2 * time.Second, 5 * time.Second

// spoiled is what may be wrong while a consumer stops.
var spoiled = map[string]func(s *scene){
	"nothing":           func(*scene) {},
	"storage is busy":   func(s *scene) { s.srv.BlobFault(eventhubstest.BlobFault{Status: 503}) },
	"storage hangs":     func(s *scene) { s.srv.BlobFault(eventhubstest.BlobFault{Hang: true}) },
	"storage is slow":   func(s *scene) { s.srv.BlobFault(eventhubstest.BlobFault{Delay: 90 * time.Second}) },
	"storage refuses":   func(s *scene) { s.srv.BlobFault(eventhubstest.BlobFault{Code: "AuthorizationFailure"}) },
	"storage is silent": func(s *scene) { s.srv.SilenceBlobConnections() },
	"service is silent": func(s *scene) { s.srv.SilenceConnections() },
	"connections are cut": func(s *scene) {
		s.srv.IgnoreDials()
		s.srv.DropConnections()
	},
	"nothing is answered": func(s *scene) {
		s.srv.SilenceConnections()
		s.srv.BlobFault(eventhubstest.BlobFault{Hang: true})
	},
}

// TestDrainIsBounded has a handler run that ends with its context only.
func TestDrainIsBounded(t *testing.T) {
	type test struct {
		name  string
		drain time.Duration
	}
	var tests []test
	for name := range spoiled {
		// In a second nothing else has failed yet; in 30, listings and renewals have.
		tests = append(tests, test{name, time.Second}, test{name, 8 * time.Second}, test{name, 30 * time.Second})
	}
	for _, c := range tests {
		name, drain, spoil := c.name, c.drain, spoiled[c.name]
		t.Run(name+" "+drain.String(), func(t *testing.T) {
			bubble(t, 4, func(s *scene) {
				for _, id := range []string{"0", "1", "2", "3"} {
					s.send(id, 2)
				}
				var causes []error
				r := s.receive("one", eventhubs.ConsumerOptions{DrainTimeout: drain},
					func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
						if e.PartitionID != "0" || e.SequenceNumber == 0 {
							return nil
						}
						<-ctx.Done()
						causes = append(causes, context.Cause(ctx))
						return ctx.Err()
					})
				s.untilHandled(margin, "0", 1)
				s.untilHandled(margin, "1", 2)
				s.untilHandled(margin, "2", 2)
				s.untilHandled(margin, "3", 2)
				spoil(s)
				took := r.stop()
				require.LessOrEqual(s, took, drain+finishTimeout+100*time.Millisecond)
				require.GreaterOrEqual(s, took, drain)
				require.Equal(s, []error{eventhubs.ErrDraining}, causes)
				if name == "nothing" {
					require.EqualValues(s, 0, s.checkpoint("0"))
					require.EqualValues(s, 1, s.checkpoint("1"))
					require.Empty(s, s.owner("0")+s.owner("1"))
					require.LessOrEqual(s, took, drain+time.Second)
				}
			})
		})
	}
}

// TestDrainLetsHandlersFinish has a handler return before DrainTimeout.
func TestDrainLetsHandlersFinish(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 5)
		running := make(chan struct{})
		r := s.receive("one", eventhubs.ConsumerOptions{}, func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
			close(running)
			time.Sleep(29 * time.Second) // less than DrainTimeout is by default
			return ctx.Err()
		})
		<-running
		took := r.stop()
		require.InDelta(s, 29*time.Second, took, float64(time.Second))
		require.Equal(s, []int64{0}, s.handledOf("0"), "nothing new is begun")
		require.EqualValues(s, 0, s.checkpoint("0"))
		require.Empty(s, s.owner("0"))
	})
}

// TestDrainAtOnce has a negative DrainTimeout.
func TestDrainAtOnce(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 1)
		running := make(chan struct{})
		r := s.receive("one", eventhubs.ConsumerOptions{DrainTimeout: -1},
			func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
				close(running)
				<-ctx.Done()
				return ctx.Err()
			})
		<-running
		require.Less(s, r.stop(), time.Second)
		require.EqualValues(s, none, s.checkpoint("0"))
	})
}

// TestDrainBeginsNothingTooLate calls no handler when handlers have run out of time, though later events are completed.
func TestDrainBeginsNothingTooLate(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 6)
		o := keyed(2, 2)
		o.DrainTimeout = 5 * time.Second
		var late atomic.Int64
		r := s.receive("one", o, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			if ctx.Err() != nil {
				late.Add(1)
			}
			if e.SequenceNumber == 0 {
				<-ctx.Done()
			}
			return nil
		})
		s.untilHandled(margin, "0", 3) // 1, 3 and 5
		require.InDelta(s, 5*time.Second, r.stop(), float64(time.Second))
		require.Zero(s, late.Load())
		require.EqualValues(s, 1, s.checkpoint("0"))
	})
}

// TestDrainEndsABackoff has a handler's failure be waited out when Receive has to end.
func TestDrainEndsABackoff(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 1)
		o := eventhubs.ConsumerOptions{Backoff: func(int, error) time.Duration { return time.Hour }}
		r := s.receive("one", o, func(context.Context, *eventhubs.ReceivedEvent) error { return context.DeadlineExceeded })
		s.until(margin, "it has failed", func() bool { return s.log.count("the handler failed") == 1 })
		require.Less(s, r.stop(), time.Second)
	})
}

// TestCloseCutsReceiveShort closes with a context that ends before everything is done.
func TestCloseCutsReceiveShort(t *testing.T) {
	const patience = 2 * time.Second
	for name, spoil := range spoiled {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				s.send("0", 1)
				s.send("1", 1)
				r := s.receive("one", eventhubs.ConsumerOptions{}, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
					if e.PartitionID == "0" {
						<-ctx.Done()
					}
					return ctx.Err()
				})
				s.until(margin, "a handler runs", func() bool {
					return len(r.Partitions()) == 2 && r.partition("0").Attempt != nil && len(s.calls("1")) == 1
				})
				spoil(s)
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				began := time.Now()
				err := r.Close(ctx)
				require.ErrorIs(s, err, context.DeadlineExceeded)
				require.ErrorContains(s, err, "eventhubs: close the consumer of hub/$Default: ")
				require.Less(s, time.Since(began), patience+100*time.Millisecond)
				<-r.ended
				require.NoError(s, r.err)
				require.Less(s, time.Since(began), patience+100*time.Millisecond)
			})
		})
	}
}

// TestCloseWhileAHandlerIgnoresItsContext returns all the same. Receive waits for the handler.
func TestCloseWhileAHandlerIgnoresItsContext(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 1)
		running, release := make(chan struct{}), make(chan struct{})
		r := s.receive("one", eventhubs.ConsumerOptions{}, func(context.Context, *eventhubs.ReceivedEvent) error {
			close(running)
			<-release
			return nil
		})
		<-running
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.ErrorIs(s, r.Close(ctx), context.DeadlineExceeded)
		synctest.Wait()
		select {
		case <-r.ended:
			s.Fatal("Receive has returned before the handler")
		default:
		}
		close(release)
		<-r.ended
		require.NoError(s, r.err)
	})
}

// TestCloseOfAnIdleConsumer needs no time, so an ended context doesn't matter.
func TestCloseOfAnIdleConsumer(t *testing.T) {
	for name, use := range map[string]func(s *scene, c *eventhubs.Consumer){
		"never used": func(*scene, *eventhubs.Consumer) {},
		"client used": func(s *scene, c *eventhubs.Consumer) {
			_, err := c.Client().GetEventHubProperties(s.Context(), nil)
			require.NoError(s, err)
		},
		"Receive has returned": func(s *scene, c *eventhubs.Consumer) {
			ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
			defer cancel()
			require.NoError(s, c.Receive(ctx, nothing))
		},
		"closed before": func(s *scene, c *eventhubs.Consumer) { require.NoError(s, c.Close(s.Context())) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				c, err := eventhubs.NewConsumer(s.cfg, s.store, nil)
				require.NoError(s, err)
				use(s, c)
				ctx, cancel := context.WithCancel(s.Context())
				cancel()
				began := time.Now()
				require.NoError(s, c.Close(ctx))
				require.Zero(s, time.Since(began))
				require.ErrorContains(s, c.Receive(s.Context(), nothing), "eventhubs: receive hub/$Default: the consumer is closed")
			})
		})
	}
}
