package main

import (
	"context"
	"fmt"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func sendBatch(ctx context.Context, s *scene) error {
	if err := s.client.send(ctx, s.at(), batch{Events: numbered(10)}); err != nil {
		return err
	}
	return inOnePartition(s, 10)
}

// inOnePartition wants numbered events, in order, in one partition and nothing in the others.
func inOnePartition(s *scene, n int) error {
	all := s.server.AllEvents(s.hub)
	if len(all) == 0 {
		return fmt.Errorf("nothing has arrived")
	}
	for _, e := range all {
		if e.PartitionID != all[0].PartitionID {
			return fmt.Errorf("events are in partitions %s and %s", all[0].PartitionID, e.PartitionID)
		}
	}
	return inOrder(all, n)
}

func inOrder(events []eventhubstest.Event, n int) error {
	for i, e := range events {
		if string(e.Body) != body(i) {
			return fmt.Errorf("event %d is %s", i, brief(e.Body))
		}
	}
	return mismatch("number of events", len(events), n)
}
