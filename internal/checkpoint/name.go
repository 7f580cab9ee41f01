// Package checkpoint keeps who owns a partition, and how far it was processed, in Azure Blob Storage.
//
// It is the engine behind eventhubs.BlobCheckpointStore. Blob names and metadata are those that Microsoft's SDKs for Python,
// .NET and JavaScript use, so that a consumer can move between them. Over the Go SDK's own store (azeventhubs/v2,
// checkpoints/blob_store.go) it adds that checkpoints never move backwards, that one damaged blob harms one partition only, and
// that partitions are claimed side by side.
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

// Lower is the group in the spelling that the Python, .NET and JavaScript SDKs give to blobs. The service itself doesn't
// tell the cases apart.
func (g Group) Lower() Group {
	return Group{Namespace: strings.ToLower(g.Namespace), EventHub: strings.ToLower(g.EventHub), Name: strings.ToLower(g.Name)}
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
