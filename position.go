package eventhubs

import (
	"context"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

func (c *Consumer) checkpoint(partition string, sequence int64, offset string) azeventhubs.Checkpoint {
	return azeventhubs.Checkpoint{
		FullyQualifiedNamespace: c.cfg.Namespace, EventHubName: c.cfg.EventHub, ConsumerGroup: c.opts.Group,
		PartitionID: partition, SequenceNumber: &sequence, Offset: &offset,
	}
}

// completeCheckpoints says where to begin in the partitions that are held: behind what this call has processed, even if no checkpoint could be written for it; and, where
// reading is to begin at the latest event, at the one that is the latest now. The SDK asks the service for "@latest" each time that it connects, and skips what
// came in between until a first event was read (partition_client.go, getStartExpression).
func (r *receiving) completeCheckpoints(ctx context.Context, listed []azeventhubs.Checkpoint, held []string) ([]azeventhubs.Checkpoint, error) {
	begin := map[string]azeventhubs.Checkpoint{}
	for _, c := range listed {
		begin[c.PartitionID] = c
	}
	var atLatest []string
	for _, id := range held {
		stored, ok := begin[id]
		if sequence, offset, processed := r.progress.position(id); processed && (stored.SequenceNumber == nil || *stored.SequenceNumber < sequence) {
			begin[id], ok = r.checkpoint(id, sequence, offset), true
		}
		if r.beginsAnew(id) {
			c := r.checkpoint(id, 0, beforeFirst)
			c.SequenceNumber = nil
			begin[id], ok = c, true
		}
		if start := r.startOf(id); !ok && start.Latest != nil && *start.Latest {
			atLatest = append(atLatest, id)
		}
	}
	latest, err := r.latest(ctx, atLatest)
	if err != nil {
		return nil, err
	}
	out := latest
	for _, c := range begin {
		out = append(out, c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begins = map[string]azeventhubs.Checkpoint{}
	for _, c := range out {
		r.begins[c.PartitionID] = c
	}
	return out, nil
}

// beginning is where the Processor begins to read a partition: at the checkpoint that it was given last, by its offset if it has one (processor.go, getStartPosition).
func (r *receiving) beginning(partition string) azeventhubs.StartPosition {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch c, ok := r.begins[partition]; {
	case ok && c.Offset != nil:
		return azeventhubs.StartPosition{Offset: c.Offset}
	case ok:
		return azeventhubs.StartPosition{SequenceNumber: c.SequenceNumber}
	}
	return r.startOf(partition)
}

// beforeFirst is the offset behind which every event is (partition_client.go, getStartExpression).
const beforeFirst = "-1"

// beginAnew has a partition be read from its earliest event, since the service refuses its checkpoint.
func (r *receiving) beginAnew(partition string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.anew == nil {
		r.anew = map[string]bool{}
	}
	r.anew[partition] = true
}

// beginsAnew reports, once, whether a partition is to be read from its earliest event.
func (r *receiving) beginsAnew(partition string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	anew := r.anew[partition]
	delete(r.anew, partition)
	return anew
}

func (c *Consumer) startOf(partition string) azeventhubs.StartPosition {
	if p, ok := c.opts.Start.PerPartition[partition]; ok {
		return p
	}
	return c.opts.Start.Default
}

// propertiesAtOnce bounds the partitions that are asked for their last event at one time.
const propertiesAtOnce = 16

// properties asks for the properties of a partition.
func (c *Consumer) properties(ctx context.Context, partition string) (azeventhubs.PartitionProperties, error) {
	p, err := c.client.GetPartitionProperties(ctx, partition, nil)
	if err != nil { // only this call has the SDK replace a link that was lost: the other hides its errors from the SDK's own recovery (mgmt.go)
		_, _ = c.client.GetEventHubProperties(ctx, nil)
	}
	return p, err
}

// latest returns checkpoints at the last events of partitions.
func (c *Consumer) latest(ctx context.Context, partitions []string) ([]azeventhubs.Checkpoint, error) {
	var (
		out    = make([]azeventhubs.Checkpoint, len(partitions))
		errs   = make([]error, len(partitions))
		slots  = make(chan struct{}, propertiesAtOnce)
		asking sync.WaitGroup
	)
	for i, id := range partitions {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			p, err := c.properties(ctx, id)
			out[i], errs[i] = c.checkpoint(id, p.LastEnqueuedSequenceNumber, ""), err
			out[i].Offset = nil // a sequence number says it in every namespace; an offset doesn't where there is geo-replication
		})
	}
	asking.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
