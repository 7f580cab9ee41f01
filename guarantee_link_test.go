package eventhubs_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// conditions are those that PROTOCOL.md lists: what the service may answer, or detach a link with. With each a link is refused more often than the SDK tries.
var conditions = map[string]int{
	"com.microsoft:server-busy": 10, "com.microsoft:timeout": 10,
	"amqp:link:detach-forced": 10, "amqp:link:transfer-limit-exceeded": 10,
	"amqp:connection:forced": 10, "amqp:internal-error": 10,
	"amqp:not-allowed": 3, "amqp:resource-limit-exceeded": 3, "com.microsoft:entity-disabled": 3, "com.microsoft:argument-out-of-range": 3,
	"amqp:link:message-size-exceeded": 3,
}

func linkDetaches(t *testing.T) {
	list := []guaranteeCase{
		{"connections drop", func(t *testing.T) { interrupted(t, eventhubstest.Fault{DropConnection: true}, 10) }},
		{"connections drop while handlers run", dropWhileHandling},
		{"the service is away", serviceIsAway},
		{"the service is busy at the start", busyAtTheStart},
		{"the network falls silent", networkFallsSilent},
		{"Start is the latest event", latestIsKept},
		{"one event, and room for many", oneIsEnough},
		{"raw SDK: Start is the latest event", rawLatest},
		{"raw SDK: one event, and room for many", rawWaitsForMore},
	}
	for c, times := range conditions {
		list = append(list, guaranteeCase{c, func(t *testing.T) { interrupted(t, eventhubstest.Fault{Condition: c}, times) }})
	}
	// Links that are open are detached with these too; when they are opened anew, these are final.
	for _, c := range []string{"amqp:unauthorized-access", "amqp:not-found"} {
		list = append(list, guaranteeCase{c, func(t *testing.T) {
			interruptedOn(t, eventhubstest.Fault{On: eventhubstest.OnReceive, Condition: c, Skip: 5, Times: 4})
		}})
	}
	cases(t, list)
}

// interrupted has a fault happen to deliveries, and to links that are opened anew more often than the SDK tries.
func interrupted(t *testing.T, f eventhubstest.Fault, times int) {
	deliver, attach := f, f
	deliver.On, deliver.Skip, deliver.Times = eventhubstest.OnReceive, 5, 4
	attach.On, attach.ConsumerGroup, attach.Times = eventhubstest.OnAttach, "$Default", times
	interruptedOn(t, deliver, attach)
}

func interruptedOn(t *testing.T, faults ...eventhubstest.Fault) {
	s := newScene(t, 2)
	s.send("0", 10)
	s.send("1", 10)
	r := s.receive("only", calm(), nothing)
	s.untilAll()
	for _, f := range faults {
		s.srv.Fault(f)
	}
	for range 5 {
		s.send("0", 20)
		s.send("1", 20)
	}
	s.untilAll()
	r.stop()
	if len(faults) > 1 {
		require.NotZero(t, s.log.count("reading was interrupted"), "the SDK has given up, or the test shows nothing")
	}
	require.EqualValues(t, 109, s.checkpoint("0"))
	require.EqualValues(t, 109, s.checkpoint("1"))
	s.require(t, 0, 0, 0)
}

// dropWhileHandling drops all connections again and again, while handlers run and events are read ahead.
func dropWhileHandling(t *testing.T) {
	s := newScene(t, 2)
	s.send("0", 200)
	s.send("1", 200)
	var n atomic.Int32
	r := s.receive("only", calm(), func(context.Context, *eventhubs.ReceivedEvent) error {
		if n.Add(1)%40 == 0 {
			s.srv.DropConnections()
		}
		return nil
	})
	s.untilAll()
	r.stop()
	s.require(t, 0, 0, 0)
}

// serviceIsAway takes no connection for a while, for longer than the SDK tries. After a first success that is sat out.
func serviceIsAway(t *testing.T) {
	s := newScene(t, 2)
	s.send("0", 10)
	s.send("1", 10)
	r := s.receive("only", calm(), nothing)
	s.untilAll()
	back := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnConnect, DropConnection: true})
	s.srv.DropConnections()
	s.until("it is told, at growing intervals", func() bool {
		return s.log.count("reading was interrupted, and is tried again", "partition=0", "failures=4 ") == 1
	})
	require.Zero(t, s.log.count("reading was interrupted, and is tried again", "partition=0", "failures=3 "))
	back()
	s.send("0", 10)
	s.send("1", 10)
	s.untilAll()
	r.stop()
	require.Equal(t, 2, s.holdings(), "the partitions are kept")
	s.require(t, 0, 0, 0)
}

// busyAtTheStart answers that it is busy more often than the SDK tries.
func busyAtTheStart(t *testing.T) {
	for _, on := range []eventhubstest.Operation{eventhubstest.OnManagement, eventhubstest.OnToken, eventhubstest.OnAttach} {
		s := newScene(t, 1)
		s.send("0", 10)
		s.srv.Fault(eventhubstest.Fault{On: on, Condition: "com.microsoft:server-busy", Times: 12})
		r := s.receive("only", calm(), nothing)
		s.untilAll()
		r.stop()
		s.require(t, 0, 0, 0)
	}
}

// latestIsKept breaks the link before a first event has come. What is sent meanwhile is not skipped.
func latestIsKept(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 5)
	o := calm()
	o.Start.Default.Latest = ptr(true)
	s.sent = func() (sent []place) {
		for _, e := range s.srv.Events("hub", "0")[5:] {
			sent = append(sent, place{"0", e.SequenceNumber})
		}
		return sent
	}
	r := s.receive("only", o, nothing)
	s.until("the partition is read", func() bool { return s.log.count("partition taken") == 1 })
	whileNobodyReads(s, func() { s.send("0", 5) })
	s.send("0", 1)
	s.untilAll()
	r.stop()
	require.Equal(t, []int64{5}, s.begins("0"))
	s.require(t, 0, 0, 0)
}

// whileNobodyReads breaks the links of readers, and keeps them from being opened anew for a while.
func whileNobodyReads(s *scene, do func()) {
	allow := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnAttach, ConsumerGroup: "$Default", Condition: "com.microsoft:server-busy"})
	s.srv.DropConnections()
	do()
	allow()
}

// rawLatest records SDK-FACTS 8: a link that is opened anew before a first event begins at the latest event again.
func rawLatest(t *testing.T) {
	s := newScene(t, 1)
	c := s.raw("reader", "$Default", azeventhubs.StartPosition{Latest: ptr(true)}).partition(t)
	got := make(chan *azeventhubs.ReceivedEventData, 1)
	failed := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		for {
			events, err := c.ReceiveEvents(ctx, 1, nil)
			if err == nil {
				got <- events[0]
				return
			}
			if ctx.Err() != nil {
				failed <- err
				return
			}
		}
	}()
	whileNobodyReads(s, func() { s.send("0", 5) })
	for n := int64(5); ; n++ { // until a link is open
		s.send("0", 1)
		select {
		case e := <-got:
			if e.SequenceNumber == 0 {
				mended(t, "a reader at the latest event skips what comes while it has no link", "latest in position.go")
			}
			return
		case err := <-failed:
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// oneIsEnough sends each event when the one before was handled: none waits for more to come.
func oneIsEnough(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 1)
	o := calm()
	o.MaxBatch = 1000
	var n atomic.Int32
	r := s.receive("only", o, func(context.Context, *eventhubs.ReceivedEvent) error {
		if n.Add(1) < 20 {
			s.send("0", 1)
		}
		return nil
	})
	s.until("all 20 were handled", func() bool { return n.Load() == 20 })
	r.stop()
	s.require(t, 0, 0, 0)
}

// rawWaitsForMore records SDK-FACTS 1: ReceiveEvents waits for as many events as it is asked for, or for the end of its context.
func rawWaitsForMore(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 2)
	c := s.raw("reader", "$Default", earliest).partition(t)
	rawEvent(t, c) // the other one is on its way, or there
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	events, err := c.ReceiveEvents(ctx, 100, nil)
	require.NoError(t, err)
	require.Len(t, events, 1)
	if ctx.Err() == nil {
		mended(t, "ReceiveEvents waits for a full batch", "the two calls in worker.next")
	}
}

// networkFallsSilent loses what both sides say, without closing anything. Receive can be ended all the same, and so can the Consumer.
func networkFallsSilent(t *testing.T) {
	s := newScene(t, 2)
	server := s.namespace()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	var silent atomic.Bool
	go forward(l, server, &silent)
	s.cfg.ConnectionString = strings.Replace(s.cfg.ConnectionString, server, l.Addr().String(), 1)
	s.send("0", 5)
	s.send("1", 5)
	r := s.receive("only", calm(), nothing)
	s.untilAll()
	silent.Store(true)
	r.stop()
	for id := range s.ownership(s.store, "$Default") {
		require.Empty(t, s.owner(id))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = r.consumer.Close(ctx) // it can't say goodbye
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("Close does not return")
	}
	s.require(t, 0, 0, 0)
}

// forward passes on what clients and a server say, and takes it without passing it on while it is to be silent.
func forward(l net.Listener, server string, silent *atomic.Bool) {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		there, err := net.Dial("tcp", server)
		if err != nil {
			client.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{client, there}, {there, client}} {
			open.Go(func() {
				defer way[0].Close()
				defer way[1].Close()
				for b := make([]byte, 1<<16); ; {
					n, err := way[0].Read(b)
					if err != nil {
						return
					}
					if !silent.Load() {
						if _, err = way[1].Write(b[:n]); err != nil {
							return
						}
					}
				}
			})
		}
	}
}
