//go:build unix

package main

import (
	"context"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// steal reads a partition until ctx ends, as a program does that knows nothing of claims: with a higher epoch, from the
// latest event, and without handling what comes. If it fails, the other faults are the reason, and it doesn't matter.
func steal(ctx context.Context, connection string, partition int) {
	client, err := azeventhubs.NewConsumerClientFromConnectionString(connection, "", group,
		&azeventhubs.ConsumerClientOptions{InstanceID: "stranger", RetryOptions: retryOptions()})
	if err != nil {
		return
	}
	epoch, latest := int64(1), true
	reader, err := client.NewPartitionClient(strconv.Itoa(partition), &azeventhubs.PartitionClientOptions{
		OwnerLevel: &epoch, StartPosition: azeventhubs.StartPosition{Latest: &latest},
	})
	if err == nil {
		for err == nil {
			_, err = reader.ReceiveEvents(ctx, 100, nil)
		}
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = reader.Close(closing)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = client.Close(closing)
}
