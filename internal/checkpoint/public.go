package checkpoint

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/handover"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// Public is a store as users see it: without hand-over requests, and with errors that begin with the library's name.
type Public struct{ Store handover.Store }

// ClaimOwnership implements azeventhubs.CheckpointStore, as all methods do.
func (p Public) ClaimOwnership(
	ctx context.Context, ownerships []azeventhubs.Ownership, o *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	claimed, err := p.Store.ClaimOwnership(ctx, ownerships, o)
	return claimed, sdkerr.Public(err)
}

func (p Public) ListOwnership(
	ctx context.Context, namespace, eventHub, group string, o *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	list, err := p.Store.ListOwnership(ctx, namespace, eventHub, group, o)
	return list, sdkerr.Public(err)
}

func (p Public) ListCheckpoints(
	ctx context.Context, namespace, eventHub, group string, o *azeventhubs.ListCheckpointsOptions,
) ([]azeventhubs.Checkpoint, error) {
	list, err := p.Store.ListCheckpoints(ctx, namespace, eventHub, group, o)
	return list, sdkerr.Public(err)
}

func (p Public) SetCheckpoint(
	ctx context.Context, c azeventhubs.Checkpoint, o *azeventhubs.SetCheckpointOptions,
) error {
	return sdkerr.Public(p.Store.SetCheckpoint(ctx, c, o))
}
