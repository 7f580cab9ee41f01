package storetest

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// skew is how much a storage account's clock may differ from the clock of the machine that runs the tests.
const skew = 5 * time.Minute

func empty(t *testing.T, open func() azeventhubs.CheckpointStore) {
	s := open()
	if got := ownerships(t, s, here); len(got) != 0 {
		t.Errorf("ownerships of empty storage: %v", got)
	}
	if got := checkpoints(t, s, here); len(got) != 0 {
		t.Errorf("checkpoints of empty storage: %v", got)
	}
	got, err := s.ClaimOwnership(t.Context(), nil, nil)
	if err != nil || len(got) != 0 {
		t.Errorf("claim of nothing: %v, %v", got, err)
	}
}

func invalid(t *testing.T, open func() azeventhubs.CheckpointStore) {
	s, ctx := open(), t.Context()
	for _, g := range []group{{"", "hub", "group"}, {"ns", "", "group"}, {"ns", "hub", ""}} {
		if _, err := s.ListOwnership(ctx, g.namespace, g.hub, g.group, nil); err == nil {
			t.Errorf("list ownership of %q: no error", g)
		}
		if _, err := s.ListCheckpoints(ctx, g.namespace, g.hub, g.group, nil); err == nil {
			t.Errorf("list checkpoints of %q: no error", g)
		}
		if _, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{g.ownership("0", "a")}, nil); err == nil {
			t.Errorf("claim in %q: no error", g)
		}
		if err := s.SetCheckpoint(ctx, g.checkpoint("0", 1), nil); err == nil {
			t.Errorf("checkpoint in %q: no error", g)
		}
	}
	if _, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{here.ownership("", "a")}, nil); err == nil {
		t.Error("claim of no partition: no error")
	}
	if err := s.SetCheckpoint(ctx, here.checkpoint("", 1), nil); err == nil {
		t.Error("checkpoint of no partition: no error")
	}
	c := here.checkpoint("0", 1)
	c.Offset, c.SequenceNumber = nil, nil
	if err := s.SetCheckpoint(ctx, c, nil); err == nil {
		t.Error("checkpoint without offset and sequence number: no error")
	}
}

func cancelled(t *testing.T, open func() azeventhubs.CheckpointStore) {
	s := open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.ClaimOwnership(ctx, []azeventhubs.Ownership{here.ownership("0", "a")}, nil)
	wantCancelled(t, "claim", err)
	_, err = s.ListOwnership(ctx, here.namespace, here.hub, here.group, nil)
	wantCancelled(t, "list ownership", err)
	_, err = s.ListCheckpoints(ctx, here.namespace, here.hub, here.group, nil)
	wantCancelled(t, "list checkpoints", err)
	wantCancelled(t, "checkpoint", s.SetCheckpoint(ctx, here.checkpoint("0", 1), nil))

	if got := ownerships(t, s, here); len(got) != 0 {
		t.Errorf("a cancelled claim was stored: %v", got)
	}
	if got := checkpoints(t, s, here); len(got) != 0 {
		t.Errorf("a cancelled checkpoint was stored: %v", got)
	}
}

func claim(t *testing.T, open func() azeventhubs.CheckpointStore) {
	s := open()
	got := mustClaim(t, s, here.ownership("0", "a"))
	if got.ETag == nil || *got.ETag == "" {
		t.Error("the claimed ownership has no ETag")
	}
	if age := time.Since(got.LastModifiedTime).Abs(); age > skew {
		t.Errorf("LastModifiedTime is %v off", age)
	}
	want := here.ownership("0", "a")
	wantSame(t, "claimed", got, want)
	for name, handle := range map[string]azeventhubs.CheckpointStore{"the same handle": s, "another handle": open()} {
		listed := ownerships(t, handle, here)
		if len(listed) != 1 {
			t.Fatalf("%s lists %d ownerships, not one", name, len(listed))
		}
		wantSame(t, name+" lists", listed["0"], want)
		if age := time.Since(listed["0"].LastModifiedTime).Abs(); age > skew {
			t.Errorf("%s: LastModifiedTime is %v off", name, age)
		}
	}
}

func claimWithoutETag(t *testing.T, open func() azeventhubs.CheckpointStore) {
	mustClaim(t, open(), here.ownership("0", "a"))
	other := open()
	mustLose(t, other, here.ownership("0", "b"))
	mustLose(t, other, here.ownership("0", "a")) // so does an owner that has lost its ETag
	wantOwner(t, other, "0", "a")
}

func claimWithStaleETag(t *testing.T, open func() azeventhubs.CheckpointStore) {
	a, b := open(), open()
	first := mustClaim(t, a, here.ownership("0", "a"))
	stolen := first
	stolen.OwnerID = "b"
	mustClaim(t, b, stolen)
	mustLose(t, a, first)
	wantOwner(t, a, "0", "b")

	unheard := azcore.ETag(`"0x1"`)
	never := here.ownership("1", "a")
	never.ETag = &unheard
	mustLose(t, a, never) // and it isn't created either
	if got := ownerships(t, a, here); len(got) != 1 {
		t.Errorf("an ETag for nothing made an ownership: %v", got)
	}
}

func claimSeveral(t *testing.T, open func() azeventhubs.CheckpointStore) {
	mustClaim(t, open(), here.ownership("5", "other"))
	s := open()
	var wanted []azeventhubs.Ownership
	for _, p := range []string{"9", "5", "3", "7", "1"} {
		wanted = append(wanted, here.ownership(p, "a"))
	}
	got, err := s.ClaimOwnership(t.Context(), wanted, nil)
	if err != nil {
		t.Fatal(err)
	}
	var order string
	for _, o := range got {
		order += o.PartitionID
	}
	if order != "9371" {
		t.Errorf("claimed %q, want 9371: all but 5, in the order asked for", order)
	}
}

func renewal(t *testing.T, open func() azeventhubs.CheckpointStore) {
	s := open()
	first := mustClaim(t, s, here.ownership("0", "a"))
	last := mustClaim(t, s, first)
	if *last.ETag == *first.ETag {
		t.Errorf("the ETag stays %s", *last.ETag)
	}
	mustLose(t, s, first)

	// Blob storage keeps times in whole seconds.
	deadline := time.Now().Add(5 * time.Second)
	for !last.LastModifiedTime.After(first.LastModifiedTime) {
		time.Sleep(50 * time.Millisecond)
		began := time.Now()
		if last = mustClaim(t, s, last); began.After(deadline) && !last.LastModifiedTime.After(first.LastModifiedTime) {
			t.Fatalf("LastModifiedTime stays %v", last.LastModifiedTime)
		}
	}
	listed := ownerships(t, open(), here)["0"]
	if !listed.LastModifiedTime.After(first.LastModifiedTime) {
		t.Errorf("listed with LastModifiedTime %v, first claimed at %v, renewed at %v", listed.LastModifiedTime,
			first.LastModifiedTime, last.LastModifiedTime)
	}
	mustClaim(t, s, listed) // the ETag of a listing is as good as that of a claim
}

func concurrentClaims(t *testing.T, open func() azeventhubs.CheckpointStore) {
	winner := race(t, open, func(i int) azeventhubs.Ownership { return here.ownership("0", "owner"+strconv.Itoa(i)) })
	wantOwner(t, open(), "0", winner)
}

func concurrentSteals(t *testing.T, open func() azeventhubs.CheckpointStore) {
	held := mustClaim(t, open(), here.ownership("0", "victim"))
	winner := race(t, open, func(i int) azeventhubs.Ownership {
		o := held
		o.OwnerID = "thief" + strconv.Itoa(i)
		return o
	})
	wantOwner(t, open(), "0", winner)
}

// race lets several handles claim at once and returns the owner that won.
func race(t *testing.T, open func() azeventhubs.CheckpointStore, what func(int) azeventhubs.Ownership) string {
	t.Helper()
	const racers = 16
	var start, done sync.WaitGroup
	start.Add(1)
	won := make([][]azeventhubs.Ownership, racers)
	errs := make([]error, racers)
	for i := range racers {
		s := open()
		done.Go(func() {
			start.Wait()
			won[i], errs[i] = s.ClaimOwnership(t.Context(), []azeventhubs.Ownership{what(i)}, nil)
		})
	}
	start.Done()
	done.Wait()
	var winners []string
	for i := range racers {
		if errs[i] != nil {
			t.Errorf("claim: losing is not an error: %v", errs[i])
		}
		for _, o := range won[i] {
			winners = append(winners, o.OwnerID)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("winners: %q, want exactly one", winners)
	}
	return winners[0]
}

func relinquish(t *testing.T, open func() azeventhubs.CheckpointStore) {
	a, b := open(), open()
	held := mustClaim(t, a, here.ownership("0", "a"))
	held.OwnerID = ""
	released := mustClaim(t, a, held)
	if released.OwnerID != "" {
		t.Errorf("released, but owned by %q", released.OwnerID)
	}
	listed, ok := ownerships(t, b, here)["0"]
	if !ok || listed.OwnerID != "" {
		t.Fatalf("listed: %v, owned by %q; want it listed without an owner", ok, listed.OwnerID)
	}
	mustLose(t, b, here.ownership("0", "b")) // it exists, so it can't be claimed without its ETag
	listed.OwnerID = "b"
	mustClaim(t, b, listed)
	wantOwner(t, a, "0", "b")
	mustLose(t, a, released)
}
