package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// What Send is measured against: programs on the raw SDK, written as its documentation shows (azeventhubs,
// example_producing_events_test.go). They do everything that is necessary and nothing else.

// rawBulkSend sends events from one goroutine. It fills a batch until an event doesn't fit any more, sends it, and
// starts the next batch with that event.
func rawBulkSend(ctx context.Context, client *azeventhubs.ProducerClient, events []*azeventhubs.EventData) error {
	batch, err := client.NewEventDataBatch(ctx, nil)
	if err != nil {
		return err
	}
	for i := 0; i < len(events); {
		err := batch.AddEventData(events[i], nil)
		switch {
		case err == nil:
			i++
			continue
		case !errors.Is(err, azeventhubs.ErrEventDataTooLarge):
			return err
		case batch.NumEvents() == 0:
			return fmt.Errorf("event %d is too large for a batch of its own: %w", i, err)
		}
		if err := client.SendEventDataBatch(ctx, batch, nil); err != nil {
			return err
		}
		if batch, err = client.NewEventDataBatch(ctx, nil); err != nil {
			return err
		}
	}
	if batch.NumEvents() == 0 {
		return nil
	}
	return client.SendEventDataBatch(ctx, batch, nil)
}

// rawSendOne sends an event in a batch of its own. Each of many goroutines calls it that have one event at a time and
// need to know that it was accepted. The client is safe for concurrent use, so all goroutines share it and its link.
func rawSendOne(ctx context.Context, client *azeventhubs.ProducerClient, event *azeventhubs.EventData) error {
	batch, err := client.NewEventDataBatch(ctx, nil)
	if err != nil {
		return err
	}
	if err := batch.AddEventData(event, nil); err != nil {
		return err
	}
	return client.SendEventDataBatch(ctx, batch, nil)
}
