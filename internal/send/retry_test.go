package send_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/send"
)

// outcome is what becomes of a call that meets a fault for as long as it lasts.
type outcome int

const (
	atOnce  outcome = iota // it fails without another try
	minute                 // it fails after it was tried for RetryFor
	seconds                // it fails after Config.Retry's tries
	once                   // it fails after one more try
)

// conditions are those that the service is known to send, and some of the specification. What becomes of each is given
// for a service that has worked before, and for one that has not.
var conditions = map[string]struct{ after, before outcome }{
	"com.microsoft:server-busy":         {minute, minute},
	"com.microsoft:timeout":             {minute, minute},
	"com.microsoft:operation-cancelled": {minute, minute},

	"amqp:link:detach-forced":           {minute, seconds},
	"amqp:link:transfer-limit-exceeded": {minute, seconds},
	"amqp:connection:forced":            {minute, seconds},
	"amqp:connection:framing-error":     {minute, seconds},
	"amqp:internal-error":               {minute, seconds},

	"amqp:unauthorized-access": {minute, once},

	"amqp:not-found":                      {atOnce, atOnce},
	"amqp:not-allowed":                    {atOnce, atOnce},
	"amqp:not-implemented":                {atOnce, atOnce},
	"amqp:invalid-field":                  {atOnce, atOnce},
	"amqp:resource-limit-exceeded":        {atOnce, atOnce},
	"amqp:link:message-size-exceeded":     {atOnce, atOnce},
	"com.microsoft:entity-disabled":       {atOnce, atOnce},
	"com.microsoft:argument-out-of-range": {atOnce, atOnce},
	"com.microsoft:argument-error":        {atOnce, atOnce},
}

// ways are the ways in which a condition is told.
var ways = map[string]eventhubstest.Fault{
	"refused":      {On: eventhubstest.OnPublish},
	"not attached": {On: eventhubstest.OnAttach},
	"detached":     {On: eventhubstest.OnAttached}, // as soon as the link is attached
}

// TestConditions has each condition be told in each way, before and after a first success.
func TestConditions(t *testing.T) {
	for condition, want := range conditions {
		for way, fault := range ways {
			fault.Condition, fault.Description = condition, "because"
			t.Run(condition+" "+way, func(t *testing.T) {
				t.Run("after a success", func(t *testing.T) {
					bubble(t, options{}, func(t *testing.T, s *scene) {
						require.NoError(t, s.Send(t.Context(), keyed))
						if fault.On != eventhubstest.OnPublish {
							s.srv.DropConnections()
						}
						testCondition(t, s, fault, want.after)
					})
				})
				t.Run("at first", func(t *testing.T) {
					bubble(t, options{}, func(t *testing.T, s *scene) {
						before := want.before
						if fault.On != eventhubstest.OnAttach {
							before = want.after // a link was opened
						}
						testCondition(t, s, fault, before)
					})
				})
			})
		}
	}
}

func testCondition(t *testing.T, s *scene, fault eventhubstest.Fault, want outcome) {
	var happened atomic.Int64
	fault.Happened = &happened
	remove := s.srv.Fault(fault)
	var err error
	took := elapsed(func() { err = s.Send(t.Context(), keyed) })
	require.Equal(t, []int{0}, unacknowledged(t, err))
	require.ErrorContains(t, err, fault.Condition, "the reason is told")
	require.ErrorContains(t, err, "because")
	switch want {
	case atOnce:
		require.Less(t, took, time.Second)
	case once:
		require.Less(t, took, time.Second)
		require.EqualValues(t, 2, happened.Load())
	case seconds:
		require.Greater(t, took, 4*time.Second)
		require.Less(t, took, 10*time.Second)
		require.GreaterOrEqual(t, happened.Load(), int64(4))
	case minute:
		require.GreaterOrEqual(t, took, time.Minute)
		require.Less(t, took, 70*time.Second)
		require.Greater(t, happened.Load(), int64(10))
	}
	remove()
	require.NoError(t, s.Send(t.Context(), keyed), "it recovers")
	require.Len(t, s.srv.AllEvents("hub"), len(s.stored(s.partition())))
}

// partition is where the events with the key are.
func (s *scene) partition() string { return s.srv.AllEvents("hub")[0].PartitionID }

// TestOutages has conditions come and go again in less than a minute, at first and later: nothing is lost, repeated, or
// out of order.
func TestOutages(t *testing.T) {
	for condition, want := range conditions {
		if want.after != minute {
			continue
		}
		for way, fault := range ways {
			t.Run(condition+" "+way, func(t *testing.T) {
				bubble(t, options{}, func(t *testing.T, s *scene) {
					fault.Condition = condition
					if want.before != minute {
						require.NoError(t, s.Send(t.Context(), numbered(0, 1, toZero)...))
						s.srv.DropConnections()
					}
					remove := s.srv.Fault(fault)
					time.AfterFunc(50*time.Second, remove)
					require.NoError(t, s.Send(t.Context(), numbered(len(s.stored("0")), 100, toZero)...))
					require.Equal(t, numbers(0, 100), s.stored("0"))
				})
			})
		}
	}
}

// TestBusyFromTheStart: the first Send waits for a busy service as long as any other, for a partition too.
func TestBusyFromTheStart(t *testing.T) {
	for name, event := range map[string]eventhubs.Event{"anywhere": anywhere, "to a partition": toZero} {
		for _, on := range []eventhubstest.Operation{eventhubstest.OnAttach, eventhubstest.OnToken} {
			t.Run(fmt.Sprint(name, " ", on), func(t *testing.T) {
				bubble(t, options{}, func(t *testing.T, s *scene) {
					remove := s.srv.Fault(eventhubstest.Fault{On: on, Condition: "com.microsoft:server-busy"})
					time.AfterFunc(55*time.Second, remove)
					require.NoError(t, s.Send(t.Context(), event))
					require.Positive(t, s.log.count("level=WARN", "sending fails: retrying"))
				})
			})
		}
	}
}

func TestRetryFor(t *testing.T) {
	o := options{producer: eventhubs.ProducerOptions{RetryFor: 10 * time.Minute}}
	bubble(t, o, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: "com.microsoft:server-busy"})
		took := elapsed(func() { require.Error(t, s.Send(t.Context(), anywhere)) })
		require.Equal(t, 10*time.Minute, took.Truncate(time.Minute))
		lines := s.log.count("level=WARN", "sending fails: retrying", "again_in=")
		require.Greater(t, lines, 5)
		require.Less(t, lines, 15, "it is logged at growing intervals")
	})
}

// TestConfigRetry: before anything worked, Config.Retry says how often, and how long, anything is tried.
func TestConfigRetry(t *testing.T) {
	config := func(srv *eventhubstest.Server) eventhubs.Config {
		cfg := srv.Config("hub")
		cfg.Retry.MaxRetries, cfg.Retry.RetryDelay, cfg.Retry.MaxRetryDelay = 5, time.Second, 4*time.Second
		return cfg
	}
	bubble(t, options{config: config}, func(t *testing.T, s *scene) {
		var happened atomic.Int64
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, DropConnection: true, Happened: &happened})
		took := elapsed(func() { require.Error(t, s.Send(t.Context(), anywhere)) })
		require.EqualValues(t, 6, happened.Load())
		require.InDelta(t, 1+3+4+4+4, took.Seconds(), 1.5)
		require.Empty(t, s.log.String(), "the caller is told")
	})
}

// TestAuthorizationThatIsTakenAway is retried for a minute, with a warning that names the role.
func TestAuthorizationThatIsTakenAway(t *testing.T) {
	config := func(srv *eventhubstest.Server) eventhubs.Config { return srv.PasswordlessConfig("hub") }
	bubble(t, options{server: eventhubstest.Options{TLS: true}, config: config}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), anywhere))
		s.srv.DropConnections()
		fault := eventhubstest.Fault{On: eventhubstest.OnAttach, Condition: "amqp:unauthorized-access"}
		remove := s.srv.Fault(fault)
		time.AfterFunc(50*time.Second, remove)
		require.NoError(t, s.Send(t.Context(), anywhere))
		require.Positive(t, s.log.count("level=WARN", "no longer authorized", `role="Azure Event Hubs Data Sender"`))
		require.Positive(t, s.log.count("level=INFO", "sending works again"))

		s.srv.DropConnections()
		s.srv.Fault(fault)
		err := s.Send(t.Context(), anywhere)
		require.ErrorIs(t, err, eventhubs.ErrNotAuthorized)
		require.ErrorContains(t, err, `give this identity the role "Azure Event Hubs Data Sender"`)
	})
}

func TestTokenThatIsRefusedAtFirst(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		var happened atomic.Int64
		s.srv.Fault(eventhubstest.Fault{
			On: eventhubstest.OnToken, Condition: "amqp:unauthorized-access", Happened: &happened,
		})
		require.ErrorIs(t, s.Send(t.Context(), anywhere), eventhubs.ErrNotAuthorized)
		require.EqualValues(t, 1, happened.Load(), "a key that is wrong stays wrong")
	})
}

func TestNotFound(t *testing.T) {
	config := func(srv *eventhubstest.Server) eventhubs.Config { return srv.Config("nowhere") }
	bubble(t, options{config: config}, func(t *testing.T, s *scene) {
		err := s.Send(t.Context(), anywhere)
		require.ErrorIs(t, err, eventhubs.ErrNotFound)
		require.ErrorContains(t, err, "eventhubs: send nowhere: there is no such event hub")
	})
}

// TestAnswerIsLost: the batch is sent again over another connection, and the connection that is at fault is not used
// again.
func TestAnswerIsLost(t *testing.T) {
	for name, event := range map[string]eventhubs.Event{"anywhere": keyed, "to a partition": toZero} {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), event))
				var connected atomic.Int64
				s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, Delay: time.Nanosecond, Happened: &connected})
				s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Hang: true, After: true})
				took := elapsed(func() { require.NoError(t, s.Send(t.Context(), event)) })
				require.Equal(t, 30*time.Second, took.Truncate(time.Second))
				require.EqualValues(t, 1, connected.Load())
				require.Len(t, s.srv.AllEvents("hub"), 3, "it was stored twice")
			})
		})
	}
}

// TestSilence has the connection go silent, as when a NAT drops its state.
func TestSilence(t *testing.T) {
	o := options{producer: eventhubs.ProducerOptions{AnswerTimeout: 5 * time.Second}}
	bubble(t, o, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), keyed))
		s.srv.SilenceConnections()
		took := elapsed(func() { require.NoError(t, s.Send(t.Context(), keyed)) })
		require.Equal(t, 5*time.Second, took.Truncate(time.Second))
		require.Len(t, s.srv.AllEvents("hub"), 2)
	})
}

// TestNoAnswerAtAll: a call ends within RetryFor, and a last try.
func TestNoAnswerAtAll(t *testing.T) {
	for _, on := range []eventhubstest.Operation{
		eventhubstest.OnConnect, eventhubstest.OnSASL, eventhubstest.OnOpen, eventhubstest.OnBegin, eventhubstest.OnToken,
		eventhubstest.OnAttach, eventhubstest.OnPublish,
	} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, at first: %v", on, before), func(t *testing.T) {
				bubble(t, options{}, func(t *testing.T, s *scene) {
					if !before {
						require.NoError(t, s.Send(t.Context(), anywhere))
						s.srv.DropConnections()
					}
					remove := s.srv.Fault(eventhubstest.Fault{On: on, Hang: true})
					took := elapsed(func() { require.Error(t, s.Send(t.Context(), anywhere)) })
					if require.LessOrEqual(t, took, 2*time.Minute); on == eventhubstest.OnConnect && before {
						require.Less(t, took, time.Minute, "four dials, of 10 seconds each")
					}
					remove()
					require.NoError(t, s.Send(t.Context(), anywhere))
				})
			})
		}
	}
}

// TestNoAnswerToMany is TestNoAnswerAtAll for a call whose events go into batches of their own, over one link.
func TestNoAnswerToMany(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), anywhere))
		remove := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Hang: true})
		var events []eventhubs.Event
		for key := range 20 {
			events = append(events, eventhubs.Event{PartitionKey: fmt.Sprint("key ", key)})
		}
		took := elapsed(func() { require.Error(t, s.Send(t.Context(), events...)) })
		require.LessOrEqual(t, took, 2*time.Minute)
		remove()
		require.NoError(t, s.Send(t.Context(), events...))
	})
}

// TestOthersGoOn has a partition's link never be opened, or never be answered: others are not held up.
func TestOthersGoOn(t *testing.T) {
	for _, on := range []eventhubstest.Operation{eventhubstest.OnAttach, eventhubstest.OnPublish} {
		t.Run(string(on), func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), sized(1, "1"), anywhere))
				s.srv.Fault(eventhubstest.Fault{On: on, Partition: "0", Hang: true})
				ctx, cancel := context.WithCancel(t.Context())
				stuck := s.start(ctx, sized(1, "0"))
				require.LessOrEqual(t, elapsed(func() {
					require.NoError(t, s.Send(t.Context(), sized(1, "1"), keyed, anywhere))
				}), 2*roundTrip)
				cancel()
				require.ErrorIs(t, <-stuck, context.Canceled)
			})
		})
	}
}

// TestNoRetryForNobody: what nobody waits for is not tried again, and the next batch has its turn.
func TestNoRetryForNobody(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), toZero))
		var happened atomic.Int64
		s.srv.Fault(eventhubstest.Fault{
			On: eventhubstest.OnPublish, Condition: "com.microsoft:server-busy", Happened: &happened,
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Send(ctx, toZero), context.DeadlineExceeded)
		tries := happened.Load()
		require.Greater(t, tries, int64(2))
		time.Sleep(time.Hour)
		require.Equal(t, tries, happened.Load())
	})
}

// TestNoPauseForNobody: a batch that fails when nobody waits for it any more does not hold up the next one.
func TestNoPauseForNobody(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), toZero))
		s.srv.Fault(eventhubstest.Fault{
			On: eventhubstest.OnPublish, Times: 1, Delay: time.Second, Condition: "com.microsoft:server-busy",
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		leaving := s.start(ctx, toZero)
		require.LessOrEqual(t, elapsed(func() { require.NoError(t, s.Send(t.Context(), toZero)) }), time.Second+3*roundTrip)
		require.ErrorIs(t, <-leaving, context.DeadlineExceeded)
	})
}

// TestConnectionIsLostUnderSeveral: all batches that were on their way are sent again.
func TestConnectionIsLostUnderSeveral(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), keyed))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 20, Hang: true})
		var results []<-chan error
		for i := range 20 {
			results = append(results, s.start(t.Context(), eventhubs.Event{PartitionKey: fmt.Sprint(i)}))
		}
		s.srv.DropConnections()
		require.Less(t, elapsed(func() {
			for _, r := range results {
				require.NoError(t, <-r)
			}
		}), time.Second)
		require.Len(t, s.srv.AllEvents("hub"), 21)
		require.Equal(t, 1, s.log.count("sending fails: retrying"), "it is said once")
	})
}

// TestFailingSince: an outage is one of the link, unless only some of what goes over it fails.
func TestFailingSince(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	for name, tc := range map[string]struct{ link, first, began, want int }{
		"the link failed before it began":       {link: 10, began: 20, first: 25, want: 20},
		"it began before the link failed":       {link: 10, began: 5, first: 10, want: 10},
		"the link has had successes meanwhile":  {link: 50, began: 5, first: 10, want: 10},
		"it waited while other batches failed":  {link: 10, began: 12, first: 60, want: 12},
		"it began, and failed, as the link did": {link: 10, began: 10, first: 10, want: 10},
	} {
		require.Equal(t, at(tc.want), send.FailingSince(at(tc.link), at(tc.first), at(tc.began)), name)
	}
}

// TestLateEventsHaveTheirTime: an event that comes while its partition has been failing for long is tried as long as
// the first one.
func TestLateEventsHaveTheirTime(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), toZero))
		remove := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Condition: "com.microsoft:server-busy"})
		var results []<-chan error
		for range 10 {
			results = append(results, s.start(t.Context(), toZero))
			time.Sleep(10 * time.Second)
		}
		remove()
		for i, r := range results {
			if err := <-r; i < 4 {
				require.Error(t, err, "call %d", i)
			} else {
				require.NoError(t, err, "call %d", i)
			}
		}
	})
}
