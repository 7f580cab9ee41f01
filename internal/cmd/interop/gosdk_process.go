package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// How often a processor balances, and how long it owns a partition without renewing that. The drivers use the same
// values.
const (
	balanceEvery = time.Second
	expireAfter  = 10 * time.Second
)

func (g *goSDK) process(_ context.Context, at target, p processing) (string, error) {
	c, err := g.consumer(at)
	if err != nil {
		return "", err
	}
	blobs, err := container.NewClientFromConnectionString(p.Store, p.Container, nil)
	if err != nil {
		return "", err
	}
	store, err := checkpoints.NewBlobStore(blobs, nil)
	if err != nil {
		return "", err
	}
	processor, err := azeventhubs.NewProcessor(c, store, &azeventhubs.ProcessorOptions{
		UpdateInterval: balanceEvery, PartitionExpirationDuration: expireAfter,
		StartPositions: azeventhubs.StartPositions{Default: position(p.Start)},
	})
	if err != nil {
		return "", err
	}
	return g.background(func(ctx context.Context, b *background) error {
		defer c.Close(context.Background())
		var readers sync.WaitGroup
		readers.Go(func() {
			for pc := processor.NextPartitionClient(ctx); pc != nil; pc = processor.NextPartitionClient(ctx) {
				readers.Go(func() { b.readAll(ctx, pc, p.StopAfter) })
			}
		})
		err := processor.Run(ctx)
		b.stop() // if Run has failed, NextPartitionClient waits for ctx
		readers.Wait()
		return err
	}), nil
}

// readAll reads and processes a partition until it is lost.
func (b *background) readAll(ctx context.Context, pc *azeventhubs.ProcessorPartitionClient, stopAfter int) {
	b.own(pc.PartitionID(), true)
	defer b.own(pc.PartitionID(), false)
	defer pc.Close(context.Background())
	for {
		events, err := pc.ReceiveEvents(ctx, 1, nil)
		if err != nil {
			return
		}
		b.eventsMu.Lock()
		if stopAfter == 0 || len(b.events) < stopAfter {
			b.events = append(b.events, processedEvent{pc.PartitionID(), events[0].SequenceNumber})
			err = pc.UpdateCheckpoint(ctx, events[0], nil)
		}
		b.eventsMu.Unlock()
		if err != nil {
			return
		}
	}
}

func (b *background) own(partition string, yes bool) {
	b.eventsMu.Lock()
	defer b.eventsMu.Unlock()
	if yes {
		b.owned[partition] = true
	} else {
		delete(b.owned, partition)
	}
}

func (g *goSDK) processed(_ context.Context, _ target, processor string) (processed, error) {
	b, err := g.find(processor)
	if err != nil {
		return processed{}, err
	}
	b.eventsMu.Lock()
	defer b.eventsMu.Unlock()
	p := processed{Events: slices.Clone(b.events), Error: b.fault()}
	for partition := range b.owned {
		p.Owned = append(p.Owned, partition)
	}
	slices.Sort(p.Owned)
	return p, nil
}

func (g *goSDK) stop(_ context.Context, _ target, processor string) error { return g.end(processor) }
