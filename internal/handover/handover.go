// Package handover says how consumers of this library ask one another for a partition, and what a checkpoint store
// keeps for that.
//
// A consumer that wants a partition which another live consumer holds puts a [Request] beside the ownership
// records. It never writes to the record of another owner, whose next renewal depends on its ETag. The owner finds
// the request in its next listing and promises, in the same record, how long it may take. It finishes, writes its
// checkpoint, and releases the partition as it always does. The asking consumer finds the partition free, claims
// it, and deletes the request.
//
// Requests are advice: whoever acts on one looks at the ownership records first. So a request that is lost,
// repeated or left over does no harm, and consumers that don't know about requests, such as those of other SDKs,
// need not.
package handover

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// Request asks the owner of a partition to hand it over. There is at most one for each partition. Of two consumers
// that ask for the same partition, the one that wrote last is the one that asks; the partition itself goes to
// whoever claims it once it is free.
type Request struct {
	FullyQualifiedNamespace string
	EventHubName            string
	ConsumerGroup           string
	PartitionID             string

	// OwnerID is who wants the partition, FromOwnerID from whom. If the partition is owned by somebody else by now,
	// the request is void.
	OwnerID     string
	FromOwnerID string

	// Promised is what the owner says once it has seen the request: how long, from LastModifiedTime on, it may take
	// to release the partition. 0 means that it hasn't seen the request. It is kept in whole milliseconds.
	Promised time.Duration

	// LastModifiedTime is when the request was written, by this machine's clock. The store sets it.
	LastModifiedTime time.Time

	// ETag is that of the record in the store. The store sets it.
	ETag *azcore.ETag
}

// Store is a checkpoint store that keeps requests. All its methods are safe for concurrent use and end with ctx.
type Store interface {
	azeventhubs.CheckpointStore

	// ListClaims lists what ListOwnership does, and the requests for the group's partitions, at the cost of that
	// one listing.
	ListClaims(ctx context.Context, namespace, eventHub, group string) ([]azeventhubs.Ownership, []Request, error)

	// PutRequest stores a request. Without an ETag it replaces whatever request there is for the partition. With
	// one it replaces that very request; if that was changed or deleted in the meantime nothing is stored, and this
	// is no error.
	PutRequest(ctx context.Context, r Request) error

	// DeleteRequest deletes the request for a partition, whoever made it. With an ETag it deletes that very
	// request, and leaves one that was changed in the meantime. It is no error if there is none.
	DeleteRequest(ctx context.Context, r Request) error
}
