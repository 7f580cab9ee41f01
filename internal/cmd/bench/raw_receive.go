package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// What Receive is measured against: the SDK's own example of a Processor (azeventhubs,
// example_consuming_with_checkpoints_test.go), without its log lines.

// rawReceiver is the example, with what the example leaves to its reader.
type rawReceiver struct {
	client  *azeventhubs.ConsumerClient
	store   azeventhubs.CheckpointStore
	options *azeventhubs.ProcessorOptions
	// wait is how long a call of ReceiveEvents waits for 100 events. The example has one minute.
	wait time.Duration
	// opened, if not nil, is called for each partition that the Processor hands out.
	opened func(partition string)
	handle func(event *azeventhubs.ReceivedEventData)
}

const exampleWait = time.Minute

// run receives until ctx ends.
func (r *rawReceiver) run(ctx context.Context) error {
	processor, err := azeventhubs.NewProcessor(r.client, r.store, r.options)
	if err != nil {
		return err
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var processing sync.WaitGroup
	processing.Go(func() { // dispatchPartitionClients in the example
		for {
			client := processor.NextPartitionClient(running)
			if client == nil {
				return
			}
			if r.opened != nil {
				r.opened(client.PartitionID())
			}
			processing.Go(func() {
				if err := r.processPartition(running, client); err != nil {
					stop(err) // the example ends the process here
				}
			})
		}
	})
	err = processor.Run(running)
	stop(err)
	processing.Wait()
	if cause := context.Cause(running); err == nil && ctx.Err() == nil {
		err = cause
	}
	return err
}

// processPartition is processEventsForPartition in the example.
func (r *rawReceiver) processPartition(ctx context.Context, partition *azeventhubs.ProcessorPartitionClient) error {
	defer func() { _ = partition.Close(context.WithoutCancel(ctx)) }()
	for {
		receiving, cancel := context.WithTimeout(ctx, r.wait)
		events, err := partition.ReceiveEvents(receiving, 100, nil)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			var sdk *azeventhubs.Error
			if errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeOwnershipLost {
				return nil
			}
			return err
		}
		if len(events) == 0 {
			continue
		}
		for _, e := range events {
			r.handle(e)
		}
		if err := partition.UpdateCheckpoint(ctx, events[len(events)-1], nil); err != nil && ctx.Err() == nil {
			return err
		}
	}
}
