package main

import (
	"context"
	"fmt"
)

// stored is how many events a partition holds that is read from.
const stored = 10

// receiveFromStart reads from a place, and wants the events from the one with the number first on. from is given the times of the events.
func receiveFromStart(from func(*scene, []int64) start, first int) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		if err := s.fillWith(ctx, "2", stored); err != nil {
			return err
		}
		var times []int64
		for _, e := range s.events("2") {
			times = append(times, e.EnqueuedTime.UnixMilli())
		}
		got, err := s.client.receive(ctx, s.at(), reading{Partition: "2", Start: from(s, times), Count: stored - first, TimeoutMS: 10_000, Prefetch: 100})
		if err != nil {
			return err
		}
		return s.sameAsStored("2", first, got.Events)
	}
}

// sameAsStored compares what was received with what a partition holds from the event with a number on.
func (s *scene) sameAsStored(partition string, first int, got []receivedEvent) error {
	all := s.events(partition)[first:]
	if len(got) != len(all) {
		return fmt.Errorf("%d events were received, and %d are there", len(got), len(all))
	}
	for i, e := range all {
		g := got[i]
		if err := failures(mismatch("body", string(g.Body), string(e.Body)), mismatch("sequence number", g.Sequence, e.SequenceNumber),
			mismatch("offset", g.Offset, e.Offset), mismatch("time", g.EnqueuedMS, e.EnqueuedTime.UnixMilli()),
			mismatch("partition", g.Partition, partition), mismatch("key", g.Key, e.PartitionKey)); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
	}
	return nil
}
