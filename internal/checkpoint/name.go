// Package checkpoint keeps who owns a partition, and how far it was processed, in Azure Blob Storage or in memory.
//
// Its stores are those of eventhubs.NewBlobCheckpointStore and NewMemoryCheckpointStore. Blob names and metadata
// are those that Microsoft's SDKs for Python, .NET, Java and JavaScript use, so that a consumer can move between
// them. Over the Go SDK's own store (azeventhubs/v2, checkpoints/blob_store.go) it adds that checkpoints never move
// backwards, that a damaged blob harms its own partition only, that partitions are claimed concurrently, that a
// container that was deleted is created again, that the clocks of machines may differ, and hand-over requests
// (package handover).
//
// Calls to the storage account, for each operation that goes well:
//
//	claim, renew, release        1 for each partition, 32 at a time; 2 for one that is lost
//	list ownership or claims     1 for each 5,000 records
//	list checkpoints             1 for each 5,000 partitions, twice if a name has letters in upper case
//	write a checkpoint           1; none if it is stored already; 2 if this store has neither listed nor written it
//	put or delete a request      1
package checkpoint

import (
	"errors"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// Group is a consumer group of an event hub: what a listing is made for.
type Group struct {
	Namespace string // fully qualified
	EventHub  string
	Name      string
}

// CheckpointGroup is the group that a checkpoint belongs to.
func CheckpointGroup(c azeventhubs.Checkpoint) Group {
	return Group{Namespace: c.FullyQualifiedNamespace, EventHub: c.EventHubName, Name: c.ConsumerGroup}
}

// OwnershipGroup is the group that an ownership belongs to.
func OwnershipGroup(o azeventhubs.Ownership) Group {
	return Group{Namespace: o.FullyQualifiedNamespace, EventHub: o.EventHubName, Name: o.ConsumerGroup}
}

// Lower is the group in the spelling that the Python, .NET and JavaScript SDKs give to blobs. The service itself
// doesn't tell the cases apart.
func (g Group) Lower() Group {
	return Group{strings.ToLower(g.Namespace), strings.ToLower(g.EventHub), strings.ToLower(g.Name)}
}

// Check refuses a group without all its parts: its prefix would also match what belongs to others.
func (g Group) Check() error {
	switch {
	case g.Namespace == "":
		return errors.New("the namespace is empty")
	case g.EventHub == "":
		return errors.New("the event hub is empty")
	case g.Name == "":
		return errors.New("the consumer group is empty")
	}
	return nil
}

// CheckPartition is Check, for a group of which one partition is meant.
func (g Group) CheckPartition(partition string) error {
	if partition == "" {
		return errors.New("the partition is empty")
	}
	return g.Check()
}

func (g Group) String() string { return g.Namespace + "/" + g.EventHub + "/" + g.Name }

// CheckpointPrefix comes before the partition in the name of a checkpoint's blob.
func (g Group) CheckpointPrefix() string { return g.String() + "/checkpoint/" }

// OwnershipPrefix comes before the partition in the name of an ownership's blob.
func (g Group) OwnershipPrefix() string { return g.String() + "/ownership/" }

// RequestPrefix comes before the partition in the name of a hand-over request's blob. Microsoft's SDKs list what is
// below the other two prefixes, with the slash, so they don't see it (Go 2.0.2, Python 1.2.0, JavaScript 2.0.0,
// Java, .NET); KEDA and Azure Functions look up single blobs below checkpoint/ or directly below the group.
func (g Group) RequestPrefix() string { return g.String() + "/ownership-request/" }

// claimsPrefix is what the names of ownerships and requests begin with, so that one listing has both.
func (g Group) claimsPrefix() string { return g.String() + "/ownership" }
