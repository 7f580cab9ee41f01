package guarantee_test

import (
	"context"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// outage is how long the store is down: longer than claims last.
const outage = 3 * time.Minute

var storeIsDown = append(downWhileReceivingCases(),
	aCase{"before Receive", in(2, downBefore)},
	aCase{"with two consumers", in(4, downForTwo)},
	aCase{"it refuses the identity", storageRoleComesBack},
	aCase{"it answers 503 when Receive has to end", in(1, func(s *scene.Scene) {
		downAtTheEnd(s, eventhubstest.BlobFault{Status: 503})
	})},
	aCase{"it answers nothing when Receive has to end", in(1, func(s *scene.Scene) {
		downAtTheEnd(s, eventhubstest.BlobFault{Hang: true})
	})},
	aCase{"checkpoints can't be listed", in(2, listingFails)},
	aCase{"it goes down when a partition is opened", in(2, downAtOpening)},
	aCase{"one claim fails", in(2, claimFails)},
	aCase{"one claim hangs", in(4, claimHangs)},
	aCase{"raw SDK: a listing of checkpoints fails", in(1, rawListingFails)},
	aCase{"raw SDK: a listing of ownership fails", in(1, rawOwnershipFails)},
	aCase{"raw SDK: one claim hangs", in(4, rawClaimHangs)},
)

func downWhileReceivingCases() (list []aCase) {
	const claims, checkpoints = "/ownership/", "/checkpoint/"
	greedy, balanced := azeventhubs.ProcessorStrategyGreedy, azeventhubs.ProcessorStrategyBalanced
	for _, c := range []struct {
		name    string
		balance azeventhubs.ProcessorStrategy
		fault   eventhubstest.BlobFault
	}{
		{"it answers 503", greedy, eventhubstest.BlobFault{Status: 503}},
		{"it answers 503, Balance is balanced", balanced, eventhubstest.BlobFault{Status: 503}},
		{"it answers nothing", greedy, eventhubstest.BlobFault{Hang: true}},
		{"its answers are lost", greedy, eventhubstest.BlobFault{Status: 500, After: true}},
		{"it answers 412 to claims", greedy,
			eventhubstest.BlobFault{Operation: "SetBlobMetadata", NameContains: claims, Status: 412}},
		{"claims are done, and it answers 412", greedy,
			eventhubstest.BlobFault{Operation: "SetBlobMetadata", NameContains: claims, Status: 412, After: true}},
		{"it answers 412 to checkpoints", greedy, eventhubstest.BlobFault{NameContains: checkpoints, Status: 412}},
		{"it is slow", greedy, eventhubstest.BlobFault{Delay: 3 * time.Second}},
	} {
		list = append(list, aCase{c.name, in(2, func(s *scene.Scene) { downWhileReceiving(s, c.balance, c.fault) })})
	}
	return list
}

// downWhileReceiving has events come while the store is down. Then the store works again.
func downWhileReceiving(s *scene.Scene, balance azeventhubs.ProcessorStrategy, fault eventhubstest.BlobFault) {
	s.Send(5, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{Balance: balance}, scene.Nothing)
	s.UntilHandled()
	s.UntilCovered("0", "1")
	repair := s.Server.BlobFault(fault)
	s.During(outage, func(int) {
		s.Send(1, "0", "1")
		s.CheckReading()
	})
	repair()
	s.Send(5, "0", "1")
	began := time.Now()
	s.UntilHandled()
	s.UntilCovered("0", "1") // it recovers by itself
	require.Less(s.T, time.Since(began), 30*time.Second)
	if renewed := fault.After && fault.Status == 412; fault.Delay == 0 && !renewed {
		s.CheckLogged("level=WARN")
	}
	require.Zero(s.T, s.Log.Count("a checkpoint could not be written", "failures=3 "), "at growing intervals")
	require.Len(s.T, s.Tally.Holdings(), 2, "no partition was lost meanwhile")
	r.Stop()
	require.Empty(s.T, s.Owner("0"))
	s.Check(0)
}

func downBefore(s *scene.Scene) {
	s.Send(5, "0", "1")
	r := s.Consumer("only", eventhubs.ConsumerOptions{})
	repair := s.Server.BlobFault(eventhubstest.BlobFault{Status: 503})
	r.Receive(scene.Nothing)
	time.Sleep(outage)
	s.CheckLogged("level=WARN", "store", "503")
	require.Equal(s.T, eventhubs.StateStoreUnreachable, r.Consumer.Status().State)
	repair()
	began := time.Now()
	s.UntilHandled()
	require.Less(s.T, time.Since(began), 30*time.Second)
	r.Stop()
	s.Check(0)
}

// downForTwo has the claims of two consumers expire while the store is down. Neither takes anything from the other
// then.
func downForTwo(s *scene.Scene) {
	ids := []string{"0", "1", "2", "3"}
	first := s.Receive("first", eventhubs.ConsumerOptions{}, scene.Nothing)
	second := s.Receive("second", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.Until("both have their share", func() bool { return s.Owned("first") == 2 && s.Owned("second") == 2 })
	s.Send(5, ids...)
	s.UntilHandled()
	s.UntilCovered(ids...)
	before := len(s.Tally.Holdings())
	repair := s.Server.BlobFault(eventhubstest.BlobFault{Status: 503})
	s.During(outage, func(int) {
		s.Send(1, ids...)
		s.CheckReading()
	})
	repair()
	s.Send(5, ids...)
	s.UntilHandled()
	s.UntilCovered(ids...)
	time.Sleep(2 * time.Minute)
	require.Len(s.T, s.Tally.Holdings(), before, "nobody has taken anything")
	first.Stop()
	second.Stop()
	s.Check(0)
}

// downAtTheEnd ends Receive while nothing can be written.
func downAtTheEnd(s *scene.Scene, fault eventhubstest.BlobFault) {
	s.Send(5, "0")
	r := s.Receive("first", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.UntilCheckpoint("0", 4)
	repair := s.Server.BlobFault(fault)
	s.Send(5, "0")
	s.UntilHandled()
	began := time.Now()
	r.Stop()
	require.LessOrEqual(s.T, time.Since(began), 5*time.Second, "no handler was running")
	repair()
	s.CheckLogged("level=ERROR", "the last checkpoint could not be written", "partition=0")
	s.CheckLogged("level=WARN", "the partition could not be released")

	s.Send(5, "0")
	next := s.Receive("second", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	next.Stop()
	s.Check(5) // what no checkpoint could be written for
}

// listing is a fault that makes listings fail.
func listing(of string, status, times int) eventhubstest.BlobFault {
	return eventhubstest.BlobFault{Operation: "ListBlobs", NameContains: of, Status: status, Times: times}
}

// listingFails keeps readers from learning where to begin.
func listingFails(s *scene.Scene) {
	s.Send(5, "0", "1")
	r := s.Consumer("only", eventhubs.ConsumerOptions{})
	repair := s.Server.BlobFault(listing("/checkpoint/", 503, 0))
	r.Receive(scene.Nothing)
	time.Sleep(outage)
	s.CheckLogged("level=WARN", "checkpoints can't be listed")
	require.Equal(s.T, "only", s.Owner("0"), "claims are renewed meanwhile")
	repair()
	s.UntilHandled()
	r.Stop()
	require.Len(s.T, s.Tally.Holdings(), 2)
	s.Check(0)
}

// downAtOpening takes the store down after it has accepted the claim of a second partition, and before it lists that
// partition's checkpoint. The first partition is still read.
func downAtOpening(s *scene.Scene) {
	s.Send(5, "0", "1")
	o := eventhubs.ConsumerOptions{Balance: azeventhubs.ProcessorStrategyBalanced} // one partition an interval
	r := s.Receive("only", o, scene.Nothing)
	s.Until("a partition is read", func() bool { return len(s.Tally.Holdings()) == 1 })
	open := s.Tally.Holdings()[0].Partition
	down := s.Server.BlobFault(listing("/checkpoint/", 503, 0))
	s.Until("the second one is claimed", func() bool { return s.Owned("only") == 2 })
	all := s.Server.BlobFault(eventhubstest.BlobFault{Status: 503})
	s.During(outage, func(i int) {
		s.Send(1, open)
		synctest.Wait()
		require.EqualValues(s.T, 5+i, s.Tally.Furthest(open), "reading goes on")
	})
	down()
	all()
	s.UntilHandled()
	r.Stop()
	require.Len(s.T, s.Tally.Holdings(), 2)
	s.Check(0)
}

// claimFails makes calls for one claim's blob fail for longer than claims last. The other claims must be renewed all
// the same.
func claimFails(s *scene.Scene) {
	s.Send(5, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.UntilCovered("0", "1")
	repair := s.Server.BlobFault(eventhubstest.BlobFault{
		Operation: "SetBlobMetadata", NameContains: "/ownership/0", Status: 503,
	})
	s.During(outage, func(int) {
		s.Send(1, "1")
		s.CheckReading()
	})
	s.UntilCovered("1")
	repair()
	s.Send(5, "0")
	s.UntilHandled()
	r.Stop()
	require.Equal(s.T, []int64{0}, s.Tally.Begins("1"))
	s.Check(5) // the events of partition 0 may not be covered
}

// rawListingFails records what the SDK does: a partition whose checkpoint could not be listed once is owned for ever,
// and never handed out.
func rawListingFails(s *scene.Scene) {
	s.Send(1, "0")
	store := s.RawStore()
	s.Server.BlobFault(listing("/checkpoint/", 400, 1)) // which azblob doesn't retry
	r := s.Raw("owner", scene.Group, store, earliest)
	r.Rounds(scene.Group, "0", 5)
	select {
	case <-r.Clients:
		s.Mended("after a failed listing a partition is never handed out", "lister in internal/receive")
	default:
	}
}

// rawOwnershipFails records what the SDK does: one failed call of the store ends Run.
func rawOwnershipFails(s *scene.Scene) {
	r := s.Raw("owner", scene.Group, s.RawStore(), earliest)
	r.Partition()
	s.Server.BlobFault(listing("/ownership/", 400, 1))
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	select {
	case <-r.Ended:
		require.Error(s.T, r.Err)
	case <-late.C:
		s.Mended("a failed listing of ownership ends Run", "the loop in internal/balance")
	}
}

// hangingClaims claims four partitions. The first call hangs. It returns how many claims the store has after a while.
func hangingClaims(s *scene.Scene, store eventhubs.CheckpointStore) int {
	s.Server.BlobFault(eventhubstest.BlobFault{Operation: "PutBlob", NameContains: "/ownership/0", Hang: true})
	var want []azeventhubs.Ownership
	for i := range 4 {
		want = append(want, azeventhubs.Ownership{
			FullyQualifiedNamespace: s.Namespace(), EventHubName: scene.Hub, ConsumerGroup: scene.Group,
			PartitionID: fmt.Sprint(i), OwnerID: "owner",
		})
	}
	ctx, cancel := context.WithTimeout(s.T.Context(), 10*time.Second)
	defer cancel()
	var claiming sync.WaitGroup
	claiming.Go(func() { _, _ = store.ClaimOwnership(ctx, want, nil) }) // it fails when it is cancelled
	claiming.Wait()
	return len(s.Ownership(store, scene.Group))
}

// claimHangs leaves one claim unanswered. The others don't wait for it.
func claimHangs(s *scene.Scene) { require.Equal(s.T, 3, hangingClaims(s, s.Store)) }

// rawClaimHangs records what the SDK does: it claims partitions one after another.
func rawClaimHangs(s *scene.Scene) {
	if hangingClaims(s, s.RawStore()) > 0 {
		s.Mended("partitions are claimed one after the other", "ClaimOwnership in internal/checkpoint")
	}
}
