package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const (
	// stored is how many events the partition holds that these rows read.
	stored = 10
	// readTime is how long a client may take to receive events that are stored already.
	readTime = 20 * time.Second
)

// receiveFrom reads from the position that place returns for the stored events, and wants all events from number first
// on.
func receiveFrom(place func([]eventhubstest.Event) start, first int) func(context.Context, *scene) error {
	return receiveWith(reading{}, place, first)
}

func receiveWith(r reading, place func([]eventhubstest.Event) start, first int) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		if err := s.fillWith(ctx, "2", stored); err != nil {
			return err
		}
		r := r
		r.Partition, r.Start, r.Count, r.TimeoutMS = "2", place(s.events("2")), stored-first, int(readTime.Milliseconds())
		got, err := s.client.receive(ctx, s.at(), r)
		if err != nil {
			return err
		}
		return s.sameAsStored("2", first, got.Events)
	}
}

func fromEarliest([]eventhubstest.Event) start { return start{Earliest: true} }

// middle is the number of the event from which the other positions start.
const middle = stored / 2

func fromOffset(inclusive bool) func([]eventhubstest.Event) start {
	return func(all []eventhubstest.Event) start { return start{Offset: all[middle].Offset, Inclusive: inclusive} }
}

func fromSequence(inclusive bool) func([]eventhubstest.Event) start {
	return func(all []eventhubstest.Event) start {
		return start{Sequence: &all[middle].SequenceNumber, Inclusive: inclusive}
	}
}

func fromTime(inclusive bool) func([]eventhubstest.Event) start {
	return func(all []eventhubstest.Event) start {
		ms := all[middle].EnqueuedTime.UnixMilli()
		return start{TimeMS: &ms, Inclusive: inclusive}
	}
}

// sameAsStored compares what was received with the events that a partition holds from number first on.
func (s *scene) sameAsStored(partition string, first int, got []receivedEvent) error {
	all := s.events(partition)[first:]
	if len(got) != len(all) {
		return fmt.Errorf("%d events were received, and %d are there", len(got), len(all))
	}
	for i, e := range all {
		g := got[i]
		if err := failures(mismatch("body", string(g.Body), string(e.Body)),
			mismatch("sequence number", g.Sequence, e.SequenceNumber),
			mismatch("offset", g.Offset, e.Offset), mismatch("time", g.EnqueuedMS, e.EnqueuedTime.UnixMilli()),
			mismatch("partition", g.Partition, partition), mismatch("key", g.Key, e.PartitionKey)); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
	}
	return nil
}

// receiveLatest wants a reader to receive none of the events that were stored before it began.
func receiveLatest(ctx context.Context, s *scene) error {
	if err := s.fillWith(ctx, "2", stored); err != nil {
		return err
	}
	reader, err := s.client.hold(ctx, s.at(), reading{Partition: "2", Start: start{Latest: true}})
	if err != nil {
		return err
	}
	sent := 0
	err = want(ctx, "it receives what is sent now", func() (bool, error) {
		if err := newGoSDK().send(ctx, s.at(), batch{Events: numbered(1), Partition: "2"}); err != nil {
			return false, err
		}
		sent++
		h, err := s.client.held(ctx, s.at(), reader)
		if h.Error != nil {
			return false, h.Error
		}
		return h.Count > 0, err
	})
	if err != nil {
		return err
	}
	h, err := s.client.held(ctx, s.at(), reader)
	if err == nil && h.Count > sent {
		err = fmt.Errorf("%d events were received, and %d were sent since it began", h.Count, sent)
	}
	return failures(err, s.client.release(ctx, s.at(), reader))
}

func tracking(ctx context.Context, s *scene) error {
	if err := s.fillWith(ctx, "2", stored); err != nil {
		return err
	}
	got, err := s.client.receive(ctx, s.at(), reading{
		Partition: "2", Start: start{Earliest: true}, Count: stored, TimeoutMS: int(readTime.Milliseconds()), Track: true,
	})
	if err != nil {
		return err
	}
	end, told := s.events("2")[stored-1], got.Last
	if told == nil {
		return fmt.Errorf("the client did not tell where the partition ends")
	}
	if !near(told.RetrievedMS) {
		return fmt.Errorf("the end of the partition was retrieved at %d ms, want about now", told.RetrievedMS)
	}
	return failures(mismatch("sequence number", told.Sequence, end.SequenceNumber),
		mismatch("offset", told.Offset, end.Offset),
		mismatch("time", told.EnqueuedMS, end.EnqueuedTime.UnixMilli()))
}
