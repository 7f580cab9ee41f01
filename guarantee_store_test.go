package eventhubs_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// outage is how long the store is down. It outlasts the claims, as minutes do with the default options.
const (
	outage          = 2500 * time.Millisecond
	shortExpiration = 2 * time.Second
)

// during does something over and over until a time has passed. The pause between leaves the machine to the tests beside this one.
func during(d time.Duration, do func(i int)) {
	began := time.Now()
	for i := 0; time.Since(began) < d; i++ {
		do(i)
		time.Sleep(20 * time.Millisecond)
	}
}

func storeIsDown(t *testing.T) {
	list := []guaranteeCase{
		{"before Receive", downBefore},
		{"with two consumers", downForTwo},
		{"it answers 503 when Receive is to end", func(t *testing.T) { downAtTheEnd(t, eventhubstest.BlobFault{Status: 503}) }},
		{"it answers nothing when Receive is to end", func(t *testing.T) { downAtTheEnd(t, eventhubstest.BlobFault{Hang: true}) }},
		{"a listing of checkpoints fails", listingFails},
		{"it goes down when a partition is opened", downAtOpening},
		{"one claim fails", claimFails},
		{"one claim hangs", claimHangs},
		{"raw SDK: a listing of checkpoints fails", rawListingFails},
		{"raw SDK: a listing of ownership fails", rawOwnershipFails},
		{"raw SDK: one claim hangs", rawClaimHangs},
	}
	greedy, balanced := azeventhubs.ProcessorStrategyGreedy, azeventhubs.ProcessorStrategyBalanced
	for _, f := range []struct {
		name    string
		balance azeventhubs.ProcessorStrategy
		fault   eventhubstest.BlobFault
	}{
		{"it answers 503", greedy, eventhubstest.BlobFault{Status: 503}},
		{"it answers 503, Balance is balanced", balanced, eventhubstest.BlobFault{Status: 503}},
		{"it answers nothing", greedy, eventhubstest.BlobFault{Hang: true}},
		{"its answers are lost", greedy, eventhubstest.BlobFault{Status: 500, After: true}},
		{"it answers 412 to claims", greedy, eventhubstest.BlobFault{Operation: "SetBlobMetadata", NameContains: "/ownership/", Status: 412}},
		{"claims are done, and it answers 412", greedy, eventhubstest.BlobFault{Operation: "SetBlobMetadata", NameContains: "/ownership/", Status: 412, After: true}},
		{"it answers 412 to checkpoints", greedy, eventhubstest.BlobFault{NameContains: "/checkpoint/", Status: 412}},
		{"it is slow", greedy, eventhubstest.BlobFault{Delay: 30 * time.Millisecond}},
	} {
		list = append(list, guaranteeCase{f.name, func(t *testing.T) { downWhileReceiving(t, f.balance, f.fault) }})
	}
	cases(t, list)
}

// downWhileReceiving has events come while the store is down, and then the store answer again.
func downWhileReceiving(t *testing.T, balance azeventhubs.ProcessorStrategy, fault eventhubstest.BlobFault) {
	s := newScene(t, 2)
	o := quick()
	o.Balance, o.ExpirationInterval, o.CheckpointInterval = balance, shortExpiration, 50*time.Millisecond
	s.send("0", 5)
	s.send("1", 5)
	r := s.receive("only", o, nothing)
	s.untilAll()
	s.untilCheckpoint("0", 4)
	s.untilCheckpoint("1", 4)
	repair := s.srv.BlobFault(fault)
	during(outage, func(int) {
		s.send("0", 1)
		s.send("1", 1)
		s.untilAll() // reading goes on
	})
	repair()
	s.send("0", 5)
	s.send("1", 5)
	s.untilAll()
	end := len(s.srv.Events("hub", "0")) - 1
	s.untilCheckpoint("0", int64(end)) // it recovers by itself
	s.untilCheckpoint("1", int64(end))
	require.Zero(t, s.log.count("a checkpoint could not be written", "failures=3 "), "it is told at growing intervals")
	require.Equal(t, 2, s.holdings(), "no partition was lost meanwhile: holdings began at %v", s.first)
	r.stop()
	require.Empty(t, s.owner("0"))
	s.require(t, 0, 0, 0)
}

func downBefore(t *testing.T) {
	s := newScene(t, 2)
	s.send("0", 5)
	s.send("1", 5)
	repair := s.srv.BlobFault(eventhubstest.BlobFault{Status: 503})
	o := quick()
	o.ExpirationInterval = shortExpiration
	r := s.receive("only", o, nothing)
	s.until("it is told", func() bool { return s.log.count("the checkpoint store fails", "level=WARN") > 1 })
	repair()
	s.untilAll()
	r.stop()
	s.require(t, 0, 0, 0)
}

// downForTwo has two consumers whose claims expire while the store is down. None takes anything from the other then.
func downForTwo(t *testing.T) {
	s := newScene(t, 4)
	o := quick()
	o.CheckpointInterval = 50 * time.Millisecond
	ids := []string{"0", "1", "2", "3"}
	sendAll := func(n int) {
		for _, id := range ids {
			s.send(id, n)
		}
	}
	var mu sync.Mutex
	reads := map[string]string{} // who had the last event of a partition
	reading := func(who string) eventhubs.Handler {
		return func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			mu.Lock()
			defer mu.Unlock()
			reads[e.PartitionID] = who
			return nil
		}
	}
	shared := func() bool {
		n := map[string]int{}
		owned := s.ownership(s.store, "$Default")
		mu.Lock()
		defer mu.Unlock()
		for id, who := range reads {
			if owned[id].OwnerID == who {
				n[who]++
			}
		}
		return n["first"] == 2 && n["second"] == 2
	}
	first := s.receive("first", o, reading("first"))
	second := s.receive("second", o, reading("second"))
	s.until("both have their share, and read it", func() bool { sendAll(1); s.untilAll(); return shared() })
	for _, id := range ids {
		s.untilCheckpoint(id, int64(len(s.srv.Events("hub", id))-1))
	}
	before := s.repeated()
	repair := s.srv.BlobFault(eventhubstest.BlobFault{Status: 503})
	during(expiration+time.Second, func(int) {
		sendAll(1)
		s.untilAll()
	})
	repair()
	sendAll(5)
	s.untilAll()
	for _, id := range ids {
		s.untilCheckpoint(id, int64(len(s.srv.Events("hub", id))-1))
	}
	first.stop()
	second.stop()
	s.require(t, 0, before, 0)
}

// downAtTheEnd has Receive be told to end while nothing can be written.
func downAtTheEnd(t *testing.T, fault eventhubstest.BlobFault) {
	s := newScene(t, 1)
	o := quick()
	o.ExpirationInterval = shortExpiration
	s.send("0", 5)
	r := s.receive("first", o, nothing)
	s.untilAll()
	s.untilCheckpoint("0", 4)
	repair := s.srv.BlobFault(fault)
	s.send("0", 5)
	s.untilAll()
	r.stop()
	repair()
	require.Equal(t, 1, s.log.count("level=ERROR", "the last checkpoint could not be written", "partition=0"))
	require.Equal(t, 1, s.log.count("level=WARN", "partitions could not be given back"))

	s.send("0", 5)
	next := s.receive("second", o, nothing)
	s.untilAll()
	next.stop()
	s.require(t, 0, 5, 0) // what no checkpoint could be written for
}

// listingFails keeps the Processor from learning where to begin, until only a new one helps.
func listingFails(t *testing.T) {
	s := newScene(t, 2)
	s.send("0", 5)
	s.send("1", 5)
	repair := s.srv.BlobFault(eventhubstest.BlobFault{Operation: "ListBlobs", NameContains: "/checkpoint/", Status: 503})
	o := quick()
	o.ExpirationInterval = shortExpiration
	r := s.receive("only", o, nothing)
	s.until("a new Processor is made", func() bool { return s.log.count("reading has to begin anew") > 0 })
	repair()
	s.untilAll()
	r.stop()
	s.require(t, 0, 0, 0)
}

// downAtOpening has the store be up for the claim of a second partition, and down when its checkpoint is listed. The first one is read on.
func downAtOpening(t *testing.T) {
	s := newScene(t, 2)
	o := quick()
	o.Balance, o.ExpirationInterval, o.UpdateInterval = azeventhubs.ProcessorStrategyBalanced, shortExpiration, 200*time.Millisecond // one partition an interval
	s.send("0", 5)
	s.send("1", 5)
	r := s.receive("only", o, nothing)
	s.until("a partition is read", func() bool { return s.holdings() == 1 })
	down := s.srv.BlobFault(eventhubstest.BlobFault{Operation: "ListBlobs", NameContains: "/checkpoint/", Status: 503})
	s.until("the listing has failed", func() bool { return s.log.count("list the checkpoints", "level=WARN") > 0 })
	all := s.srv.BlobFault(eventhubstest.BlobFault{Status: 503})
	open := "0"
	if len(s.begins("0")) == 0 {
		open = "1"
	}
	during(outage, func(i int) {
		s.send(open, 1)
		s.until("reading goes on", func() bool { _, handled := s.times(open, int64(5+i)); return handled > 0 })
	})
	down()
	all()
	s.untilAll()
	r.stop()
	s.require(t, 0, 0, 0)
}

// rawListingFails records SDK-FACTS 2: a partition whose checkpoint could not be listed once is owned for ever, and never handed out.
func rawListingFails(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 1)
	s.srv.BlobFault(eventhubstest.BlobFault{Operation: "ListBlobs", NameContains: "/checkpoint/", Status: 503, Times: 1})
	r := s.raw("owner", "$Default", earliest)
	s.rounds(r, "$Default", "0", 5)
	select {
	case <-r.clients:
		mended(t, "after a failed listing a partition is never handed out", "Broken and Patience in internal/lease")
	default:
	}
}

// rawOwnershipFails records SDK-FACTS 3: one call of the store that fails ends Run.
func rawOwnershipFails(t *testing.T) {
	s := newScene(t, 1)
	r := s.raw("owner", "$Default", earliest)
	r.partition(t)
	s.srv.BlobFault(eventhubstest.BlobFault{Operation: "ListBlobs", NameContains: "/ownership/", Status: 503, Times: 1})
	select {
	case <-r.ended:
		require.Error(t, r.err)
	case <-time.After(time.Second): // ten rounds
		mended(t, "a failed listing of ownership ends Run", "retry in internal/lease")
	}
}

// hangingClaims claims four partitions, the first of which hangs, and returns those that the store then knows.
func hangingClaims(t *testing.T, s *scene, store eventhubs.CheckpointStore, enough int, wait time.Duration) int {
	s.srv.BlobFault(eventhubstest.BlobFault{Operation: "PutBlob", NameContains: "/ownership/0", Hang: true})
	var want []azeventhubs.Ownership
	for i := range 4 {
		want = append(want, azeventhubs.Ownership{
			FullyQualifiedNamespace: s.namespace(), EventHubName: "hub", ConsumerGroup: "$Default", PartitionID: fmt.Sprint(i), OwnerID: "owner",
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = store.ClaimOwnership(ctx, want, nil) // it fails when it is cancelled
	}()
	owned := func() int { return len(s.ownership(store, "$Default")) }
	for deadline := time.Now().Add(wait); owned() < enough && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	cancel()
	<-ended
	return owned()
}

// claimFails has one blob be out of order for longer than claims last: it must not keep the others from being renewed.
func claimFails(t *testing.T) {
	s := newScene(t, 2)
	o := quick()
	o.ExpirationInterval, o.CheckpointInterval = shortExpiration, 50*time.Millisecond
	s.send("0", 5)
	s.send("1", 5)
	r := s.receive("only", o, nothing)
	s.untilAll()
	s.untilCheckpoint("1", 4)
	repair := s.srv.BlobFault(eventhubstest.BlobFault{Operation: "SetBlobMetadata", NameContains: "/ownership/0", Status: 503})
	during(outage+shortExpiration, func(i int) {
		s.send("1", 1)
		s.untilAll()
		s.untilCheckpoint("1", int64(5+i))
	})
	repair()
	s.send("0", 5)
	s.untilAll()
	r.stop()
	s.require(t, 0, 5, 0) // those of partition 0 may not be covered
}

// claimHangs has a claim get no answer: the others don't wait for it.
func claimHangs(t *testing.T) {
	s := newScene(t, 4)
	require.Equal(t, 3, hangingClaims(t, s, s.store, 3, patience))
}

// rawClaimHangs records SDK-FACTS 28: partitions are claimed one after the other.
func rawClaimHangs(t *testing.T) {
	s := newScene(t, 4)
	if hangingClaims(t, s, s.rawStore(), 1, time.Second) > 0 {
		mended(t, "partitions are claimed one after the other", "ClaimOwnership in internal/checkpoint")
	}
}
