package storetest

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

func checkpoint(t *testing.T, open func() azeventhubs.CheckpointStore) {
	s := open()
	set(t, s, here.checkpoint("0", 41))
	set(t, s, here.checkpoint("1", 0))
	set(t, s, here.checkpoint("0", 42))
	set(t, s, here.checkpoint("0", 1<<40))
	for name, handle := range map[string]azeventhubs.CheckpointStore{"the same handle": s, "another handle": open()} {
		got := checkpoints(t, handle, here)
		if len(got) != 2 {
			t.Errorf("%s lists %d checkpoints, want 2", name, len(got))
		}
		wantCheckpoint(t, name, got["0"], here.checkpoint("0", 1<<40))
		wantCheckpoint(t, name, got["1"], here.checkpoint("1", 0))
	}

	// One of the two positions is enough.
	sequenceOnly, offsetOnly := here.checkpoint("2", 7), here.checkpoint("3", 0)
	sequenceOnly.Offset = nil
	offsetOnly.SequenceNumber = nil
	*offsetOnly.Offset = "region1:0x1f:900" // opaque where a hub is replicated
	set(t, s, sequenceOnly)
	set(t, s, offsetOnly)
	got := checkpoints(t, open(), here)
	wantCheckpoint(t, "sequence number alone", got["2"], sequenceOnly)
	wantCheckpoint(t, "offset alone", got["3"], offsetOnly)
}

func neverBackwards(t *testing.T, open func() azeventhubs.CheckpointStore) {
	old, successor := open(), open()
	set(t, old, here.checkpoint("0", 100))
	set(t, old, here.checkpoint("0", 99))
	wantSequence(t, old, "0", 100)

	// An owner that was paused does not know what its successor did.
	set(t, successor, here.checkpoint("0", 200))
	set(t, old, here.checkpoint("0", 150))
	wantSequence(t, successor, "0", 200)
	wantSequence(t, old, "0", 200)
	set(t, old, here.checkpoint("0", 200))
	set(t, old, here.checkpoint("0", 201))
	wantSequence(t, successor, "0", 201)

	// A handle that has never seen the partition can't move the checkpoint back either, nor can one with an outdated list.
	set(t, open(), here.checkpoint("0", 5))
	wantSequence(t, open(), "0", 201)
	listed := open()
	checkpoints(t, listed, here)
	set(t, successor, here.checkpoint("0", 300))
	set(t, listed, here.checkpoint("0", 250))
	wantSequence(t, open(), "0", 300)
}

func concurrentCheckpoints(t *testing.T, open func() azeventhubs.CheckpointStore) {
	const handles, each = 4, 12
	var wg sync.WaitGroup
	for h := range handles {
		s := open()
		wg.Go(func() {
			for i := range each {
				if err := s.SetCheckpoint(t.Context(), here.checkpoint("0", int64(i*handles+h+1)), nil); err != nil {
					t.Errorf("checkpoint: %v", err)
				}
			}
		})
	}
	// While they write, no reader may see the checkpoint move back.
	stop, watcher := make(chan struct{}), open()
	var watch sync.WaitGroup
	watch.Go(func() {
		var last int64
		for {
			got, err := watcher.ListCheckpoints(t.Context(), here.namespace, here.hub, here.group, nil)
			if err != nil {
				t.Errorf("list checkpoints: %v", err)
				return
			}
			for _, c := range got {
				if *c.SequenceNumber < last {
					t.Errorf("the checkpoint went from %d back to %d", last, *c.SequenceNumber)
				}
				last = *c.SequenceNumber
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	wg.Wait()
	close(stop)
	watch.Wait()
	wantSequence(t, open(), "0", handles*each)
}

func apart(t *testing.T, open func() azeventhubs.CheckpointStore) {
	// Each group is a trap for a store that compares prefixes, patterns or joined names.
	groups := []group{
		{"ns.example.net", "hub", "group"},
		{"ns.example.net", "hub", "group2"},
		{"ns.example.net", "hub2", "group"},
		{"ns.example.ne", "hub", "group"},
		{"ns.example.net2", "hub", "group"},
		{"ns.example.net", "hub_1", "group"},
		{"ns.example.net", "hubx1", "group"},
		{"ns.example.net", "group", "hub"},
		{"ns.example.net", "hubg", "roup"},
		{"ns.example.net", "hub", "$default"},
		{"ns.example.net", "hub", "checkpoint"},
		{"ns.example.net", "hub", "ownership"},
		{"ns.example.net", "hub", "a.b"},
		{"ns.example.net", "hub", "a-b"},
	}
	s := open()
	for i, g := range groups {
		mustClaim(t, s, g.ownership("0", "owner"+strconv.Itoa(i)))
		set(t, s, g.checkpoint("0", int64(i+1)))
	}
	for i, g := range groups {
		o, c := ownerships(t, s, g), checkpoints(t, s, g)
		if len(o) != 1 || len(c) != 1 {
			t.Fatalf("%q lists %d ownerships and %d checkpoints, want one of each", g, len(o), len(c))
		}
		wantSame(t, "listed", o["0"], g.ownership("0", "owner"+strconv.Itoa(i)))
		wantCheckpoint(t, "listed", c["0"], g.checkpoint("0", int64(i+1)))
	}
}

func anyCase(t *testing.T, open func() azeventhubs.CheckpointStore) {
	upper := group{"NS.Example.Net", "Hub", "$Default"}
	lower := group{"ns.example.net", "hub", "$default"}
	s := open()
	held := mustClaim(t, s, upper.ownership("0", "Owner"))
	wantSame(t, "claimed", held, upper.ownership("0", "Owner"))
	set(t, s, upper.checkpoint("0", 10))
	for _, g := range []group{upper, lower} {
		mustLose(t, open(), g.ownership("0", "b"))
		set(t, open(), g.checkpoint("0", 9))
		o, c := ownerships(t, open(), g), checkpoints(t, open(), g)
		if len(o) != 1 || len(c) != 1 {
			t.Fatalf("%q lists %d ownerships and %d checkpoints, want one of each", g, len(o), len(c))
		}
		// The answer spells names as the question did: the SDK compares them.
		wantSame(t, "listed", o["0"], g.ownership("0", "Owner"))
		wantCheckpoint(t, "listed", c["0"], g.checkpoint("0", 10))
	}
	again := lower.ownership("0", "Owner")
	again.ETag = held.ETag
	mustClaim(t, s, again)
	set(t, s, lower.checkpoint("0", 11))
	wantCheckpoint(t, "listed", checkpoints(t, open(), upper)["0"], upper.checkpoint("0", 11))
}

func kindsApart(t *testing.T, open func() azeventhubs.CheckpointStore) {
	s := open()
	held := mustClaim(t, s, here.ownership("0", "a"))
	set(t, s, here.checkpoint("0", 1))
	set(t, s, here.checkpoint("1", 1))
	mustClaim(t, s, held) // a checkpoint doesn't touch the ownership's ETag
	if got := ownerships(t, s, here); len(got) != 1 {
		t.Errorf("%d ownerships, want 1", len(got))
	}
	if got := checkpoints(t, s, here); len(got) != 2 {
		t.Errorf("%d checkpoints, want 2", len(got))
	}
}

func copied(t *testing.T, open func() azeventhubs.CheckpointStore) {
	s := open()
	c := here.checkpoint("0", 10)
	set(t, s, c)
	*c.Offset, *c.SequenceNumber = "1", 1
	got := checkpoints(t, s, here)["0"]
	wantCheckpoint(t, "after the caller changed what it passed", got, here.checkpoint("0", 10))
	*got.Offset, *got.SequenceNumber = "2", 2
	set(t, s, here.checkpoint("0", 5)) // a store that believes in the 2 would take this for progress
	wantCheckpoint(t, "after the caller changed what it got", checkpoints(t, s, here)["0"], here.checkpoint("0", 10))

	claimed := mustClaim(t, s, here.ownership("0", "a"))
	good := *claimed.ETag
	*claimed.ETag = "changed"
	listed := ownerships(t, s, here)["0"]
	*listed.ETag = "changed"
	o := here.ownership("0", "a")
	sent := good
	o.ETag = &sent
	renewed := mustClaim(t, s, o)
	if sent != good {
		t.Errorf("the store changed the caller's ETag")
	}
	sent = "changed"
	mustClaim(t, s, renewed)
}

func manyPartitions(t *testing.T, open func() azeventhubs.CheckpointStore) {
	const partitions = 256
	s := open()
	var wanted []azeventhubs.Ownership
	for i := range partitions {
		wanted = append(wanted, here.ownership(strconv.Itoa(i), "a"))
	}
	claimed, err := s.ClaimOwnership(t.Context(), wanted, nil)
	if err != nil || len(claimed) != partitions {
		t.Fatalf("claimed %d of %d, %v", len(claimed), partitions, err)
	}
	for i, o := range claimed {
		if o.PartitionID != strconv.Itoa(i) {
			t.Fatalf("claim %d is partition %s", i, o.PartitionID)
		}
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range next {
				if err := s.SetCheckpoint(t.Context(), here.checkpoint(strconv.Itoa(i), int64(i)), nil); err != nil {
					t.Errorf("checkpoint: %v", err)
				}
			}
		})
	}
	for i := range partitions {
		next <- i
	}
	close(next)
	wg.Wait()
	listed := ownerships(t, open(), here)
	if len(listed) != partitions {
		t.Errorf("%d ownerships listed", len(listed))
	}
	renewed, err := s.ClaimOwnership(t.Context(), slices.Collect(maps.Values(listed)), nil)
	if err != nil || len(renewed) != partitions {
		t.Errorf("renewed %d, %v", len(renewed), err)
	}
	got := checkpoints(t, open(), here)
	if len(got) != partitions {
		t.Errorf("%d checkpoints listed", len(got))
	}
	for i := range partitions {
		p := strconv.Itoa(i)
		wantCheckpoint(t, "listed", got[p], here.checkpoint(p, int64(i)))
	}
}

// group identifies a consumer group, whose ownerships and checkpoints are listed together.
type group struct{ namespace, hub, group string }

var here = group{"ns.example.net", "hub", "group"}

func (g group) ownership(partition, owner string) azeventhubs.Ownership {
	return azeventhubs.Ownership{
		FullyQualifiedNamespace: g.namespace, EventHubName: g.hub, ConsumerGroup: g.group,
		PartitionID: partition, OwnerID: owner,
	}
}

// checkpoint returns a checkpoint whose offset belongs to the sequence number.
func (g group) checkpoint(partition string, sequence int64) azeventhubs.Checkpoint {
	offset := strconv.FormatInt(sequence*64, 10)
	return azeventhubs.Checkpoint{
		FullyQualifiedNamespace: g.namespace, EventHubName: g.hub, ConsumerGroup: g.group,
		PartitionID: partition, SequenceNumber: &sequence, Offset: &offset,
	}
}

// show returns what p points to, for messages.
func show[T int64 | string | azcore.ETag](p *T) any {
	if p == nil {
		return "nothing"
	}
	return *p
}
