package guarantee_test

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// cellContainer is the container in which a cell's calls fail. The scene uses another one.
const cellContainer = "cell"

// storageFailures are the ways in which a call of the storage account fails.
func storageFailures() []failure {
	all := []failure{
		{name: "hang", kind: unanswered, blob: eventhubstest.BlobFault{Hang: true}},
		{name: "lost", kind: unanswered, blob: eventhubstest.BlobFault{Hang: true, After: true}},
		{name: "late", kind: unanswered, blob: eventhubstest.BlobFault{Delay: late}},
		{name: "cut-before", kind: broken, blob: eventhubstest.BlobFault{DropConnection: true}},
		{name: "cut-after", kind: broken, blob: eventhubstest.BlobFault{DropConnection: true, After: true}},
	}
	for _, status := range []int{401, 403, 404, 409, 412, 429, 500, 503} {
		all = append(all, failure{
			name: strconv.Itoa(status), kind: refused, blob: eventhubstest.BlobFault{Status: status},
		})
	}
	return all
}

// storageExchanges are the calls of a checkpoint store. Calls for one partition are for partition 0.
func storageExchanges() []exchange {
	set := func(name, blob, owner string) exchange {
		return exchange{name: name, blob: eventhubstest.BlobFault{
			Operation: "SetBlobMetadata", NameContains: blob, Metadata: map[string]string{"ownerid": owner},
		}}
	}
	list := func(name, blobs string) exchange {
		return exchange{name: name, blob: eventhubstest.BlobFault{Operation: "ListBlobs", NameContains: blobs}}
	}
	all := []exchange{
		{name: "create-container", blob: eventhubstest.BlobFault{Operation: "CreateContainer"}, provoke: deleteContainer},
		list("list-ownership", "/ownership"),
		list("list-checkpoints", "/checkpoint/"),
		set("claim", "/ownership/0", "only"),
		set("renew", "/ownership/0", "only"),
		set("release", "/ownership/0", ""),
		{name: "write-checkpoint", blob: eventhubstest.BlobFault{NameContains: "/checkpoint/0"}},
	}
	for i := range all {
		x := &all[i]
		x.of, x.step, x.run, x.failures = storage, working, runReceiving, storageFailures
		x.blob.Container = cellContainer
		if x.name == "claim" || x.name == "list-checkpoints" {
			x.provoke = stealPartition
		}
	}
	return all
}

// armStorage makes the call fail from now on.
func (r *receiving) armStorage() {
	f, aim := r.cell.failure.blob, r.cell.exchange.blob
	f.Operation, f.Container, f.NameContains, f.Metadata = aim.Operation, aim.Container, aim.NameContains, aim.Metadata
	f.Happened = &r.happened
	switch r.cell.moment {
	case first:
		f.Times = 1
		if r.cell.exchange.name == "claim" { // of a partition that nobody has held
			f.Operation, f.Metadata = "PutBlob", nil
		}
	case later:
		f.Times = 1
	}
	r.remove = r.s.Server.BlobFault(f)
}

// openStore opens the store of one consumer.
func (r *receiving) openStore() eventhubs.CheckpointStore {
	if r.cell.exchange.of != storage {
		return r.store
	}
	return r.s.OpenStore(cellContainer)
}

// openFirst opens the store for the first time, while the container can't be created. That may fail, within a minute.
func (r *receiving) openFirst() {
	r.arm()
	began := time.Now()
	_, err := eventhubs.NewBlobCheckpointStore(context.Background(), r.s.Server.BlobConfig(cellContainer))
	if took := time.Since(began); took > time.Minute {
		r.t.Errorf("opening the store took %v", took)
	}
	final := r.cell.failure.name == "401" || r.cell.failure.name == "403"
	if final != (err != nil) && r.cell.failure.name != "404" && r.cell.failure.name != "412" {
		r.t.Errorf("opening the store has failed with %v", err)
	}
}

// deleteContainer deletes all records. They are made again.
func deleteContainer(r *receiving) {
	_, err := r.s.OpenStore(cellContainer).Client().Delete(context.Background(), nil)
	require.NoError(r.t, err)
}

// stealPartition has another consumer take partition 0 and give it back. Then it is claimed again, and its checkpoint
// is listed.
func stealPartition(r *receiving) {
	r.remove() // until it is lost
	claim := func(owner string) {
		o := r.s.Ownership(r.store, scene.Group)["0"]
		o.OwnerID = owner
		got, err := r.store.ClaimOwnership(context.Background(), []azeventhubs.Ownership{o}, nil)
		require.NoError(r.t, err)
		require.Len(r.t, got, 1)
	}
	claim("thief")
	r.s.Until("the loss is noticed", func() bool { return len(r.only.Consumer.Partitions()) == 1 })
	r.repeated += int(r.s.Tally.Furthest("0") - r.s.CheckpointIn(r.store, "0"))
	claim("")
	r.arm()
	r.taken++
	r.waitsMu.Lock()
	defer r.waitsMu.Unlock()
	r.healed = time.Now()
}

// expectedOfStoring is the expectation for a failure in a call of the storage account. Partitions that are held are
// read all the time.
func (c cell) expectedOfStoring() expectation {
	e := expectation{worst: promptly, other: promptly}
	name, failed := c.exchange.name, c.failure.name
	if c.moment == first && name == "list-ownership" && (failed == "401" || failed == "403") {
		e.ends, e.within = "eventhubs: ", sdkPauses
		return e
	}
	switch waits := c.untilStored(); {
	case c.moment == first && (name == "list-ownership" || name == "list-checkpoints" || name == "claim"):
		e.worst, e.other = waits, waits // the first claims are made in one call
	case name == "claim" || name == "list-checkpoints":
		e.worst = waits + 10*time.Second // and the next round
	}
	if c.moment == lasting && (name == "claim" || name == "list-checkpoints") {
		e.worst += longestPause
	}
	return e
}

// untilStored is how long the failure of one call delays what waits for it.
func (c cell) untilStored() time.Duration {
	if c.failure.kind == unanswered {
		return 22 * time.Second
	}
	return 12 * time.Second // azcore's pauses
}

// storageDiffer are failures that are handled differently, one of each kind.
var storageDiffer = []string{"hang", "lost", "cut-before", "403", "404", "409", "503"}

// leftOutStoring is leftOut of calls of the storage account.
func (c cell) leftOutStoring() string {
	name, m, failed := c.exchange.name, c.moment, c.failure.name
	ofAll := name == "list-ownership" || name == "renew" || name == "write-checkpoint"
	switch {
	case m == reconnect:
		return "a call of the storage account needs no connection that was there before"
	case m == first && (name == "renew" || name == "release"):
		return "a claim is renewed, and released, after it has worked"
	case name == "release" && m != stopping:
		return "a claim is released when Receive has to end"
	case m == lasting && name == "create-container":
		return "without a container, every call fails: see the others"
	case m == first && name != "claim" && !slices.Contains(storageDiffer, failed):
		return "of answers that are dealt with alike, one is tried at first: see claim for all of them"
	case m == later && name != "write-checkpoint" && !slices.Contains(storageDiffer, failed):
		return "of answers that are dealt with alike, one is tried later: see write-checkpoint for all of them"
	case m == lasting && failed != "hang" && failed != "503" && (!ofAll || failed != "404"):
		return "for minutes, of failures that are dealt with alike, one is tried"
	case m == stopping && !slices.Contains([]string{"hang", "lost", "503"}, failed):
		return "for who has to stop, of failures that are dealt with alike, one is tried"
	}
	return ""
}
