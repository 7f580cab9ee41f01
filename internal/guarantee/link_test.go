package guarantee_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// conditions are what the service may answer with, or detach a link with. The number is how often a link is refused
// with the condition.
var conditions = map[string]int{
	"com.microsoft:server-busy": 10, "com.microsoft:timeout": 10,
	"amqp:link:detach-forced": 10, "amqp:link:transfer-limit-exceeded": 10,
	"amqp:connection:forced": 10, "amqp:internal-error": 10,
	"amqp:not-allowed": 3, "amqp:resource-limit-exceeded": 3, "com.microsoft:entity-disabled": 3,
	"com.microsoft:argument-out-of-range": 3, "amqp:link:message-size-exceeded": 3,
	"amqp:unauthorized-access": 3, "amqp:not-found": 3,
}

var linkDetaches = append(conditionCases(),
	aCase{"connections drop", in(2, func(s *scene.Scene) {
		interrupted(s, eventhubstest.Fault{DropConnection: true}, 10)
	})},
	aCase{"connections drop while handlers run", in(2, dropWhileHandling)},
	aCase{"the service is away", in(2, serviceIsAway)},
	aCase{"the service is busy at the start: management", busyAtTheStart(eventhubstest.OnManagement)},
	aCase{"the service is busy at the start: token", busyAtTheStart(eventhubstest.OnToken)},
	aCase{"the service is busy at the start: attach", busyAtTheStart(eventhubstest.OnAttach)},
	aCase{"one event, and room for many", in(1, oneIsEnough)},
	aCase{"raw SDK: one event, and room for many", in(1, rawWaitsForMore)},
)

func conditionCases() (list []aCase) {
	for c, times := range conditions {
		list = append(list, aCase{c, in(2, func(s *scene.Scene) {
			interrupted(s, eventhubstest.Fault{Condition: c}, times)
		})})
	}
	return list
}

// interrupted has a fault happen to deliveries, and to links that are opened again.
func interrupted(s *scene.Scene, f eventhubstest.Fault, times int) {
	deliver, attach := f, f
	deliver.On, deliver.Skip, deliver.Times = eventhubstest.OnReceive, 5, 4
	attach.On, attach.ConsumerGroup, attach.Times = eventhubstest.OnAttach, scene.Group, times
	s.Send(10, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.Server.Fault(deliver)
	s.Server.Fault(attach)
	for range 5 {
		s.Send(20, "0", "1")
	}
	began := time.Now()
	s.UntilHandled()
	require.Less(s.T, time.Since(began), time.Minute)
	require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
	r.Stop()
	s.CheckLogged("level=WARN", "reading")
	s.CheckLogged("level=INFO", "reading works again")
	require.EqualValues(s.T, 109, s.Checkpoint("0"))
	require.EqualValues(s.T, 109, s.Checkpoint("1"))
	s.Check(0)
}

// dropWhileHandling drops all connections again and again, while handlers run and events are read ahead.
func dropWhileHandling(s *scene.Scene) {
	s.Send(200, "0", "1")
	var n atomic.Int32
	r := s.Receive("only", eventhubs.ConsumerOptions{}, func(context.Context, *eventhubs.ReceivedEvent) error {
		if n.Add(1)%40 == 0 {
			s.Server.DropConnections()
		}
		return nil
	})
	s.UntilHandled()
	require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
	r.Stop()
	s.Check(0)
}

// serviceIsAway takes no connection for an hour. After a first success, Receive waits for as long as that lasts.
func serviceIsAway(s *scene.Scene) {
	s.Send(10, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	back := s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, DropConnection: true})
	s.Server.DropConnections()
	time.Sleep(time.Hour)
	warnings := s.Log.Count("level=WARN", "reading was interrupted: trying again", "partition=0")
	require.True(s.T, 4 <= warnings && warnings <= 10, "it is logged at growing intervals, but not %d times", warnings)
	failing := r.Consumer.Partitions()[0].Reading
	require.NotNil(s.T, failing)
	require.InDelta(s.T, time.Hour, time.Since(failing.Since), float64(time.Second))
	back()
	s.Send(10, "0", "1")
	began := time.Now()
	s.UntilHandled()
	require.Less(s.T, time.Since(began), 40*time.Second, "the longest pause between two tries")
	require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
	require.Nil(s.T, r.Consumer.Partitions()[0].Reading)
	r.Stop()
	s.Check(0)
}

// busyAtTheStart has the service answer that it is busy, more often than the SDK tries.
func busyAtTheStart(on eventhubstest.Operation) func(*testing.T) {
	return in(1, func(s *scene.Scene) {
		s.Send(10, "0")
		s.Server.Fault(eventhubstest.Fault{On: on, Condition: "com.microsoft:server-busy", Times: 12})
		r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
		s.UntilHandled()
		r.Stop()
		s.CheckLogged("level=WARN", "again_in")
		s.Check(0)
	})
}

// oneIsEnough sends each event when the one before was handled. No event may wait for others.
func oneIsEnough(s *scene.Scene) {
	s.Send(1, "0")
	next := make(chan struct{}, 1)
	h := func(context.Context, *eventhubs.ReceivedEvent) error {
		next <- struct{}{}
		return nil
	}
	r := s.Receive("only", eventhubs.ConsumerOptions{MaxBatch: 1000}, h)
	began := time.Now()
	for range 20 {
		take(s, next)
		s.Send(1, "0")
	}
	take(s, next)
	require.Less(s.T, time.Since(began), time.Second)
	s.UntilHandled()
	r.Stop()
	s.Check(0)
}

// rawWaitsForMore records what the SDK does: ReceiveEvents waits for as many events as it is asked for, or for the end
// of its context.
func rawWaitsForMore(s *scene.Scene) {
	s.Send(2, "0")
	r := s.Raw("reader", scene.Group, s.RawStore(), earliest)
	c := r.Partition()
	r.Next(c) // the other one is on its way, or there
	ctx, cancel := context.WithTimeout(s.T.Context(), time.Minute)
	defer cancel()
	events, err := c.ReceiveEvents(ctx, 100, nil)
	require.NoError(s.T, err)
	require.Len(s.T, events, 1)
	if ctx.Err() == nil {
		s.Mended("ReceiveEvents waits for a full batch", "the two calls in link.next of internal/receive")
	}
}

var startIsLatest = []aCase{
	{"the connection breaks before the first event", in(1, latestIsKept)},
	{"the first event fails, and Receive ends", in(1, latestFirstFails)},
	{"the partition is taken over before the first event", in(2, latestMoves)},
	{"raw SDK", in(1, rawLatest)},
}

func latest() eventhubs.ConsumerOptions {
	o := eventhubs.ConsumerOptions{}
	o.Start.Default.Latest = ptr(true)
	return o
}

// startLatest starts a consumer at the latest of five events.
func startLatest(s *scene.Scene, h eventhubs.Handler) *scene.Receiver {
	s.T.Helper()
	s.Send(5, "0")
	for i := range int64(5) {
		s.Tally.Skip("0", i)
	}
	r := s.Receive("first", latest(), h)
	s.UntilCheckpoint("0", 4) // the position is stored
	return r
}

// latestIsKept breaks the link before a first event has come. What is sent meanwhile is not skipped.
func latestIsKept(s *scene.Scene) {
	r := startLatest(s, scene.Nothing)
	whileNobodyReads(s, func() { s.Send(5, "0") })
	s.Send(1, "0")
	s.UntilHandled()
	r.Stop()
	require.Equal(s.T, []int64{5}, s.Tally.Begins("0"))
	s.Check(0)
}

// latestFirstFails has the handler fail with the first event until Receive has to end. The event comes again after a
// restart.
func latestFirstFails(s *scene.Scene) {
	r := startLatest(s, func(context.Context, *eventhubs.ReceivedEvent) error { return errNoUse })
	s.Send(1, "0")
	s.Until("the handler has failed", func() bool { came, _ := s.Tally.Times("0", 5); return came > 3 })
	r.Stop()
	s.Send(1, "0")
	again := s.Receive("second", latest(), scene.Nothing)
	s.UntilHandled()
	again.Stop()
	require.Equal(s.T, []int64{5, 5}, s.Tally.Begins("0"))
	s.Check(0)
}

// latestMoves kills the owner before a first event has come. Events come before anyone has taken over.
func latestMoves(s *scene.Scene) {
	killed := s.ConsumerOn(s.Host(), "killed", latest())
	s.Send(3, "0", "1")
	for i := range int64(3) {
		s.Tally.Skip("0", i)
		s.Tally.Skip("1", i)
	}
	killed.Receive(scene.Nothing)
	s.UntilCovered("0", "1")
	killed.Kill()
	s.Send(3, "0", "1")
	next := s.Receive("next", latest(), scene.Nothing)
	s.UntilHandled()
	next.Stop()
	require.Equal(s.T, []int64{3}, s.Tally.Begins("0"))
	require.Equal(s.T, []int64{3}, s.Tally.Begins("1"))
	s.Check(0)
}

// whileNobodyReads breaks the links of readers, and keeps them from being opened again for a while.
func whileNobodyReads(s *scene.Scene, do func()) {
	s.T.Helper()
	allow := refuse(s, "com.microsoft:server-busy")
	do()
	time.Sleep(time.Minute)
	allow()
}

// rawLatest records what the SDK does: a link that is opened again before a first event begins at the latest event
// again.
func rawLatest(s *scene.Scene) {
	c := s.Raw("reader", scene.Group, s.RawStore(), azeventhubs.StartPosition{Latest: ptr(true)}).Partition()
	got := make(chan *azeventhubs.ReceivedEventData, 1)
	ctx, cancel := context.WithTimeout(s.T.Context(), 10*time.Minute)
	defer cancel()
	go func() {
		defer close(got)
		for ctx.Err() == nil {
			if events, err := c.ReceiveEvents(ctx, 1, nil); err == nil {
				got <- events[0]
				return
			}
		}
	}()
	time.Sleep(time.Second)
	whileNobodyReads(s, func() { s.Send(5, "0") })
	for {
		s.Send(1, "0")
		select {
		case e := <-got:
			require.NotNil(s.T, e, "nothing has come")
			if e.SequenceNumber == 0 {
				s.Mended("a reader at the latest event skips what comes while it has no link",
					"resolveLatest in internal/receive")
			}
			return
		default:
			time.Sleep(time.Second) // until a link is open
		}
	}
}
