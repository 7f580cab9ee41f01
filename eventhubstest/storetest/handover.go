package storetest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
)

// asking returns a request of one owner to another for a partition.
func (g group) asking(partition, who, whom string) handover.Request {
	return handover.Request{
		FullyQualifiedNamespace: g.namespace, EventHubName: g.hub, ConsumerGroup: g.group, PartitionID: partition,
		OwnerID: who, FromOwnerID: whom,
	}
}

// keepingRequests makes a subtest that is skipped if the store keeps no hand-over requests, as it may.
func keepingRequests(
	run func(t *testing.T, open func() handover.Store),
) func(t *testing.T, open func() azeventhubs.CheckpointStore) {
	return func(t *testing.T, open func() azeventhubs.CheckpointStore) {
		if _, ok := open().(handover.Store); !ok {
			t.Skip("the store keeps no hand-over requests: partitions are taken from their owners")
		}
		run(t, func() handover.Store { return open().(handover.Store) })
	}
}

// requests returns the requests of a group by partition. It fails the test if a partition is listed twice, or if the
// ownerships that come with them differ from what ListOwnership says.
func requests(t *testing.T, s handover.Store, g group) map[string]handover.Request {
	t.Helper()
	owned, asked, err := s.ListClaims(t.Context(), g.namespace, g.hub, g.group)
	if err != nil {
		t.Fatalf("list claims: %v", err)
	}
	want := ownerships(t, s, g)
	for _, o := range owned {
		wantSame(t, "listed with requests", o, want[o.PartitionID])
		if *o.ETag != *want[o.PartitionID].ETag {
			t.Fatalf("listed with requests with ETag %s, want %s", *o.ETag, *want[o.PartitionID].ETag)
		}
	}
	if len(owned) != len(want) {
		t.Fatalf("%d ownerships are listed with requests, want %d", len(owned), len(want))
	}
	out := map[string]handover.Request{}
	for _, r := range asked {
		if _, twice := out[r.PartitionID]; twice {
			t.Fatalf("the request for partition %q is listed twice", r.PartitionID)
		}
		out[r.PartitionID] = r
	}
	return out
}

func put(t *testing.T, s handover.Store, r handover.Request) {
	t.Helper()
	if err := s.PutRequest(t.Context(), r); err != nil {
		t.Fatalf("put the request for partition %q: %v", r.PartitionID, err)
	}
}

func withdraw(t *testing.T, s handover.Store, r handover.Request) {
	t.Helper()
	if err := s.DeleteRequest(t.Context(), r); err != nil {
		t.Fatalf("delete the request for partition %q: %v", r.PartitionID, err)
	}
}

// wantRequest compares all but ETag and time.
func wantRequest(t *testing.T, what string, got, want handover.Request) {
	t.Helper()
	got.ETag, got.LastModifiedTime = want.ETag, want.LastModifiedTime
	if got != want {
		t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

func requestIsListed(t *testing.T, open func() handover.Store) {
	s := open()
	if got := requests(t, s, here); len(got) != 0 {
		t.Errorf("requests in empty storage: %v", got)
	}
	mustClaim(t, s, here.ownership("0", "owner"))
	mustClaim(t, s, here.ownership("1", "owner"))
	want := here.asking("0", "joiner", "owner")
	put(t, s, want)
	put(t, s, here.asking("7", "joiner", "nobody")) // for a partition without a claim
	for name, handle := range map[string]handover.Store{"the same handle": s, "another handle": open()} {
		got := requests(t, handle, here)
		if len(got) != 2 {
			t.Fatalf("%s lists %d requests, want 2", name, len(got))
		}
		wantRequest(t, name, got["0"], want)
		wantRequest(t, name, got["7"], here.asking("7", "joiner", "nobody"))
		if got["0"].ETag == nil || *got["0"].ETag == "" {
			t.Errorf("%s: the request has no ETag", name)
		}
		if age := time.Since(got["0"].LastModifiedTime).Abs(); age > skew {
			t.Errorf("%s: LastModifiedTime is %v off", name, age)
		}
	}
	*requests(t, s, here)["0"].ETag = "changed"
	if *requests(t, s, here)["0"].ETag == "changed" {
		t.Error("the caller changed the store's ETag")
	}
}

func requestIsReplaced(t *testing.T, open func() handover.Store) {
	a, b := open(), open()
	put(t, a, here.asking("0", "a", "owner"))
	first := requests(t, a, here)["0"]
	put(t, b, here.asking("0", "b", "owner"))
	second := requests(t, a, here)["0"]
	wantRequest(t, "the last one asks", second, here.asking("0", "b", "owner"))

	// A promise counts only for the request that the owner has seen.
	promised := first
	promised.Promised = 90 * time.Second
	put(t, a, promised)
	wantRequest(t, "after a promise for another request", requests(t, b, here)["0"], here.asking("0", "b", "owner"))
	promised = second
	promised.Promised = 1500 * time.Millisecond
	put(t, a, promised)
	want := here.asking("0", "b", "owner")
	want.Promised = 1500 * time.Millisecond
	wantRequest(t, "after the promise", requests(t, b, here)["0"], want)
	put(t, a, here.asking("0", "a", "owner"))
	wantRequest(t, "without an ETag whatever is there is replaced", requests(t, b, here)["0"],
		here.asking("0", "a", "owner"))
}

func requestIsDeleted(t *testing.T, open func() handover.Store) {
	a, b := open(), open()
	withdraw(t, a, here.asking("0", "a", "owner")) // there is none
	put(t, a, here.asking("0", "a", "owner"))
	put(t, a, here.asking("1", "a", "owner"))
	first := requests(t, a, here)["0"]
	put(t, b, here.asking("0", "b", "owner"))
	withdraw(t, a, first)
	wantRequest(t, "another one's is left", requests(t, b, here)["0"], here.asking("0", "b", "owner"))
	last := requests(t, a, here)["0"]
	withdraw(t, a, last)
	withdraw(t, a, last)
	withdraw(t, b, here.asking("0", "b", "owner"))
	if got := requests(t, b, here); len(got) != 1 {
		t.Fatalf("%d requests are listed, want the one for partition 1", len(got))
	}
	last.Promised = time.Minute
	put(t, b, last)
	if got := requests(t, b, here); len(got) != 1 {
		t.Fatal("a promise brought back a request that was deleted")
	}
	put(t, b, here.asking("0", "b", "owner"))
	withdraw(t, a, here.asking("0", "a", "owner")) // whoever made it
	if got := requests(t, b, here); len(got) != 1 {
		t.Fatalf("%d requests are listed, want the one for partition 1", len(got))
	}
}

func requestsAreApart(t *testing.T, open func() handover.Store) {
	upper := group{"NS.Example.Net", "Hub", "$Default"}
	lower := group{"ns.example.net", "hub", "$default"}
	groups := []group{
		upper, {"ns.example.net", "hub", "$default2"}, {"ns.example.net", "hub2", "$default"},
		{"ns.example.ne", "hub", "$default"}, {"ns.example.net", "hub", "ownership"},
		{"ns.example.net", "hub", "ownership-request"},
	}
	s := open()
	for i, g := range groups {
		mustClaim(t, s, g.ownership("0", "owner"))
		set(t, s, g.checkpoint("0", 1))
		put(t, s, g.asking("0", "joiner"+strconv.Itoa(i), "owner"))
		put(t, s, g.asking("1", "joiner", "owner"))
	}
	for i, g := range groups {
		got := requests(t, open(), g)
		if len(got) != 2 || len(ownerships(t, s, g)) != 1 || len(checkpoints(t, s, g)) != 1 {
			t.Fatalf("%q lists %d requests, %v, %v", g, len(got), ownerships(t, s, g), checkpoints(t, s, g))
		}
		wantRequest(t, "listed", got["0"], g.asking("0", "joiner"+strconv.Itoa(i), "owner"))
	}
	wantRequest(t, "in the other case", requests(t, s, lower)["0"], lower.asking("0", "joiner0", "owner"))
	withdraw(t, s, lower.asking("0", "joiner0", "owner"))
	if got := requests(t, s, upper); len(got) != 1 {
		t.Errorf("%d requests after the one for partition 0 was deleted, want 1", len(got))
	}
}

func requestsEndWithContext(t *testing.T, open func() handover.Store) {
	s := open()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	put(t, s, here.asking("0", "a", "owner"))
	_, _, err := s.ListClaims(ended, here.namespace, here.hub, here.group)
	wantCancelled(t, "list claims", err)
	wantCancelled(t, "put request", s.PutRequest(ended, here.asking("1", "a", "owner")))
	wantCancelled(t, "delete request", s.DeleteRequest(ended, here.asking("0", "a", "owner")))
	if got := requests(t, s, here); len(got) != 1 {
		t.Errorf("%d requests after cancelled calls, want 1", len(got))
	}
	for _, r := range []handover.Request{
		{}, here.asking("", "a", "b"), here.asking("0", "", "b"), here.asking("0", "a", ""),
		group{"", "hub", "group"}.asking("0", "a", "b"),
	} {
		if err := s.PutRequest(t.Context(), r); err == nil {
			t.Errorf("put %+v: no error", r)
		}
	}
	if err := s.DeleteRequest(t.Context(), here.asking("", "a", "b")); err == nil {
		t.Error("delete the request for no partition: no error")
	}
	if _, _, err := s.ListClaims(t.Context(), here.namespace, here.hub, ""); err == nil {
		t.Error("list claims of no group: no error")
	}
}

// handOver is a complete hand-over, as consumers do it.
func handOver(t *testing.T, open func() handover.Store) {
	owner, joiner := open(), open()
	held := mustClaim(t, owner, here.ownership("0", "owner"))
	put(t, joiner, here.asking("0", "joiner", "owner"))
	held = mustClaim(t, owner, held) // a request doesn't touch the claim
	seen := requests(t, owner, here)["0"]
	seen.Promised = 30 * time.Second
	put(t, owner, seen)
	if got := requests(t, joiner, here)["0"]; got.Promised != 30*time.Second {
		t.Fatalf("the joiner sees a promise of %v", got.Promised)
	}
	set(t, owner, here.checkpoint("0", 42))
	held.OwnerID = ""
	mustClaim(t, owner, held)

	free := ownerships(t, joiner, here)["0"]
	if free.OwnerID != "" {
		t.Fatalf("the partition is owned by %q", free.OwnerID)
	}
	free.OwnerID = "joiner"
	mustClaim(t, joiner, free)
	withdraw(t, joiner, here.asking("0", "joiner", "owner"))
	wantSequence(t, joiner, "0", 42)
	wantOwner(t, owner, "0", "joiner")
	if got := requests(t, owner, here); len(got) != 0 {
		t.Errorf("requests are left: %v", got)
	}
}
