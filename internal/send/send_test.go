package send_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func TestArrivesAsItWasGiven(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		sent := eventhubs.Event{
			Body: []byte("body"), PartitionID: "2", ContentType: "text/plain", MessageID: "m-1", CorrelationID: "c-1",
			Properties: map[string]any{
				"string": "s", "int": int64(7), "bool": true, "float": 1.5, "time": time.UnixMilli(1700000000000),
			},
		}
		require.NoError(t, s.Send(t.Context(), sent, eventhubs.Event{PartitionID: "2"}))
		stored := s.srv.Events("hub", "2")
		require.Len(t, stored, 2)
		require.Equal(t, sent, stored[0].Event)
		require.Empty(t, stored[1].Body)
		require.NotEmpty(t, stored[1].MessageID, "Send makes one up")
		require.NoError(t, s.Send(t.Context()), "nothing to send")
	})
}

// TestKeepsOrder sends more than fits into one batch, to a key, to a partition and to wherever.
func TestKeepsOrder(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		var events []eventhubs.Event
		for i := range 6000 { // of 1 KB: several batches for each of the three destinations
			e := eventhubs.Event{Body: fmt.Appendf(nil, "%06d %01000d", i, 0)}
			switch i % 3 {
			case 0:
				e.PartitionKey = "key"
			case 1:
				e.PartitionID = "3"
			}
			events = append(events, e)
		}
		require.NoError(t, s.Send(t.Context(), events[:4000]...))
		require.NoError(t, s.Send(t.Context(), events[4000:]...))
		all := s.srv.AllEvents("hub")
		require.Len(t, all, len(events))
		last := map[string]string{}
		for _, e := range all {
			var i int
			_, err := fmt.Sscanf(string(e.Body), "%d", &i)
			require.NoError(t, err)
			to := [...]string{"key", "3", ""}[i%3]
			if to == "" {
				continue
			}
			require.Greater(t, string(e.Body), last[to])
			last[to] = string(e.Body)
		}
	})
}

// TestSharesBatches has many calls send to one partition, whose batches go one by one.
func TestSharesBatches(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), toZero))
		var sending sync.WaitGroup
		errs := make([]error, 200)
		took := elapsed(func() {
			for i := range errs {
				sending.Go(func() { errs[i] = s.Send(t.Context(), toZero) })
			}
			sending.Wait()
		})
		require.NoError(t, errors.Join(errs...))
		require.LessOrEqual(t, took, 3*roundTrip, "a batch for each of them would take 200 round trips")
		require.Len(t, s.stored("0"), 201)
	})
}

// TestNothingIsHeldBack: an event that comes while another one is on its way does not wait for it.
func TestNothingIsHeldBack(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), anywhere))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Hang: true, After: true})
		first := s.start(t.Context(), anywhere)
		for range 3 {
			require.Equal(t, roundTrip, elapsed(func() { require.NoError(t, s.Send(t.Context(), anywhere)) }))
		}
		require.NoError(t, <-first)
	})
}

// TestManyKeys: keys travel side by side.
func TestManyKeys(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), keyed))
		events := make([]eventhubs.Event, 2000)
		for i := range events {
			events[i] = eventhubs.Event{PartitionKey: fmt.Sprint(i)}
		}
		require.LessOrEqual(t, elapsed(func() { require.NoError(t, s.Send(t.Context(), events...)) }), 10*roundTrip)
		require.Len(t, s.srv.AllEvents("hub"), 1+len(events))
	})
}

func TestErrorNamesWhatWasNotAcknowledged(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		s.srv.Fault(eventhubstest.Fault{
			On: eventhubstest.OnPublish, Partition: "1", Condition: "amqp:resource-limit-exceeded",
			Description: "the event hub is full",
		})
		err := s.Send(t.Context(), sized(1, "0"), sized(1, "1"), sized(1, "2"), sized(1, "1"))
		require.Equal(t, []int{1, 3}, unacknowledged(t, err))
		require.ErrorContains(t, err, "eventhubs: send hub: ")
		require.ErrorContains(t, err, "the event hub is full")
		require.Len(t, s.stored("0"), 1)
		require.Len(t, s.stored("2"), 1)
		require.Empty(t, s.stored("1"))
	})
}

// TestFailureHoldsBackWhatComesAfter: an event must not overtake one of the same call and key that has failed. Other
// calls go on, and so does what goes anywhere.
func TestFailureHoldsBackWhatComesAfter(t *testing.T) {
	for name, like := range map[string]eventhubs.Event{"a key": {PartitionKey: "key"}, "a partition": {PartitionID: "0"}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				require.NoError(t, s.Send(t.Context(), like))
				s.srv.Fault(eventhubstest.Fault{
					On: eventhubstest.OnPublish, Times: 1, Condition: "amqp:resource-limit-exceeded", Delay: time.Second,
				})
				events := make([]eventhubs.Event, 3000) // three batches
				for i := range events {
					events[i] = like
					events[i].Body = fmt.Appendf(nil, "%01000d", i)
				}
				failing := s.start(t.Context(), events...)
				other := s.start(t.Context(), like)
				got := unacknowledged(t, <-failing)
				require.Len(t, got, len(events))
				require.True(t, slices.IsSorted(got))
				require.NoError(t, <-other)
				require.Len(t, s.srv.AllEvents("hub"), 2)
			})
		})
	}
}

// TestFailureStopsTheCall: when an event has failed, those that are not on their way yet are not sent.
func TestFailureStopsTheCall(t *testing.T) {
	o := options{producer: eventhubs.ProducerOptions{MaxInFlight: 4 << 20}}
	bubble(t, o, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), keyed))
		var published atomic.Int64
		s.srv.Fault(eventhubstest.Fault{
			On: eventhubstest.OnPublish, Condition: "amqp:resource-limit-exceeded", Happened: &published,
		})
		events := make([]eventhubs.Event, 100)
		for i := range events {
			events[i] = eventhubs.Event{Body: make([]byte, 500<<10)}
		}
		require.Len(t, unacknowledged(t, s.Send(t.Context(), events...)), len(events))
		require.Less(t, published.Load(), int64(20))
	})
}

// TestOthersOfTheCallAreSent: of events that go anywhere, the others of the call are still sent.
func TestOthersOfTheCallAreSent(t *testing.T) {
	bubble(t, options{server: eventhubstest.Options{RetentionBytes: 1 << 30}}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), keyed))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Condition: "amqp:resource-limit-exceeded"})
		events := make([]eventhubs.Event, 90) // a dozen batches
		for i := range events {
			events[i].Body = make([]byte, 100<<10)
		}
		failed := unacknowledged(t, s.Send(t.Context(), events...))
		require.Less(t, len(failed), 20)
		require.Len(t, s.srv.AllEvents("hub"), 1+len(events)-len(failed))
	})
}

// TestBatchesTravelTogether: what goes anywhere does not wait for one answer after the other. Full batches all travel
// at once. Four others do; what comes while they travel shares the next one.
func TestBatchesTravelTogether(t *testing.T) {
	bubble(t, options{server: eventhubstest.Options{RetentionBytes: 1 << 30}}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), keyed))
		events := make([]eventhubs.Event, 11) // a batch for each
		for i := range events {
			events[i].Body = make([]byte, 1000<<10)
		}
		require.Equal(t, roundTrip, elapsed(func() { require.NoError(t, s.Send(t.Context(), events...)) }))

		var published atomic.Int64
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Delay: time.Nanosecond, Happened: &published})
		var sent []<-chan error
		for range 100 {
			sent = append(sent, s.start(t.Context(), anywhere))
		}
		for _, err := range sent {
			require.NoError(t, <-err)
		}
		require.EqualValues(t, 4+1, published.Load())
	})
}

// TestFewBatchesOnASlowLink: if answers take their time, more of them at once may take too long.
func TestFewBatchesOnASlowLink(t *testing.T) {
	bubble(t, options{server: eventhubstest.Options{RetentionBytes: 1 << 30}}, func(t *testing.T, s *scene) {
		const slow = 2 * time.Second
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Delay: slow})
		require.NoError(t, s.Send(t.Context(), keyed))
		events := make([]eventhubs.Event, 11) // a batch for each
		for i := range events {
			events[i].Body = make([]byte, 1000<<10)
		}
		require.Equal(t, 3*(slow+roundTrip), elapsed(func() { require.NoError(t, s.Send(t.Context(), events...)) }))
	})
}

// TestOneFailureDoesNotTouchOthers: a batch that is refused fails the calls that share it, and no others.
func TestOneFailureDoesNotTouchOthers(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), toZero))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Delay: time.Second})
		first := s.start(t.Context(), toZero)
		second, third := s.start(t.Context(), toZero), s.start(t.Context(), toZero) // share the next batch
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Condition: "amqp:not-allowed"})
		require.NoError(t, <-first)
		require.Equal(t, []int{0}, unacknowledged(t, <-second))
		require.Equal(t, []int{0}, unacknowledged(t, <-third))
		require.NoError(t, s.Send(t.Context(), toZero))
	})
}

// TestConnections: there is one for what goes to no partition in particular, and one for each partition.
func TestConnections(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		var connected atomic.Int64
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, Delay: time.Nanosecond, Happened: &connected})
		opening := elapsed(func() { require.NoError(t, s.Send(t.Context(), anywhere, keyed)) })
		require.EqualValues(t, 1, connected.Load())
		require.LessOrEqual(t, elapsed(func() {
			require.NoError(t, s.Send(t.Context(), sized(1, "0"), sized(1, "1"), sized(1, "2"), sized(1, "3")))
		}), opening, "they are opened side by side")
		require.EqualValues(t, 5, connected.Load())
		require.NoError(t, s.Send(t.Context(), anywhere, keyed, sized(1, "0")))
		require.EqualValues(t, 5, connected.Load())
	})
}

// TestClientOfItsOwn: the SDK's client for the user has a connection of its own.
func TestClientOfItsOwn(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), anywhere))
		hub, err := s.Client().GetEventHubProperties(t.Context(), nil)
		require.NoError(t, err)
		require.Len(t, hub.PartitionIDs, 4)
		require.NoError(t, s.Client().Close(t.Context()))
		require.NoError(t, s.Send(t.Context(), anywhere))
	})
}

// TestIdle: after hours, with connections that the service has dropped, Send works at once.
func TestIdle(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), anywhere, toZero))
		time.Sleep(5 * time.Minute)
		s.srv.DropConnections()
		time.Sleep(5 * time.Hour)
		require.Less(t, elapsed(func() { require.NoError(t, s.Send(t.Context(), anywhere, toZero)) }), time.Second)
		require.Empty(t, s.log.String())
	})
}

// TestSendConcurrently has many calls run at the same time, with one event or several, and leaves some at random. It
// counts in the hub what became of them.
func TestSendConcurrently(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, options{}, func(t *testing.T, s *scene) {
				var connected atomic.Int64
				s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, Delay: time.Nanosecond, Happened: &connected})
				newCrowd(seed).run(t, s)
				require.LessOrEqual(t, connected.Load(), int64(2), "who leaves costs the others no connection")
			})
		})
	}
}
