package main

import (
	"context"
	"fmt"
	"slices"
)

func hubRow(ctx context.Context, s *scene) error {
	p, err := s.client.hubProperties(ctx, s.at())
	if err != nil {
		return err
	}
	slices.Sort(p.Partitions)
	return failures(mismatch("name", p.Name, s.hub), mismatch("partitions", fmt.Sprint(p.Partitions), "[0 1 2 3]"))
}

func partitionRow(ctx context.Context, s *scene) error {
	p, err := s.client.partitionProperties(ctx, s.at(), "1")
	if err != nil {
		return err
	}
	if err := failures(mismatch("event hub", p.Hub, s.hub), mismatch("partition", p.Partition, "1"),
		mismatch("empty", p.Empty, true),
		mismatch("last sequence number", p.Last, -1), mismatch("begin", p.Begin, 0)); err != nil {
		return fmt.Errorf("of an empty partition: %w", err)
	}
	if err := s.fillWith(ctx, "1", 3); err != nil {
		return err
	}
	if p, err = s.client.partitionProperties(ctx, s.at(), "1"); err != nil {
		return err
	}
	end := s.events("1")[2]
	return failures(mismatch("empty", p.Empty, false), mismatch("begin", p.Begin, 0),
		mismatch("last sequence number", p.Last, 2),
		mismatch("last offset", p.LastOffset, end.Offset), mismatch("last time", p.LastMS, end.EnqueuedTime.UnixMilli()))
}
