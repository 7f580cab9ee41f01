package receive

import (
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// search finds the first event that reading from a time begins with, and that can't be decoded: its time isn't known,
// but those of events before and after it are. It reads about as many single events as the partition's number of events
// has binary digits, each over a link of its own.
//
// Other events that can't be decoded may lie where it looks. They count as events after the time, so the one that is
// found may be one of them, from before the time. Then some of the events before the time are read too.
func (r *reader) search(p azeventhubs.PartitionProperties) (int64, error) {
	first, last := p.BeginningSequenceNumber, p.LastEnqueuedSequenceNumber
	for first < last {
		middle := first + (last-first)/2
		before, err := r.isBeforeStart(middle)
		switch {
		case err != nil:
			return 0, fmt.Errorf("look for the event that reading begins with: %w", err)
		case before:
			first = middle + 1
		default:
			last = middle
		}
	}
	return first, nil
}

// isBeforeStart reports whether an event is from before the time at which reading begins.
func (r *reader) isBeforeStart(sequence int64) (bool, error) {
	l, err := openLink(r.engine, r.id, azeventhubs.StartPosition{SequenceNumber: &sequence, Inclusive: true})
	if err != nil {
		return false, err
	}
	defer func() { l.close(r.engine.finish) }()
	events, err := l.next(r.fetch)
	switch {
	case err != nil && sdkerr.IsUndecodable(err):
		return false, nil
	case err != nil:
		return false, err
	case len(events) == 0 || events[0].EnqueuedTime == nil:
		return false, fmt.Errorf("no event came from sequence number %d on", sequence)
	}
	// The service compares milliseconds: that is what the SDK writes (azeventhubs, partition_client.go,
	// getStartExpression).
	at, start := events[0].EnqueuedTime.UnixMilli(), r.at.start.EnqueuedTime.UnixMilli()
	return at < start || at == start && !r.at.start.Inclusive, nil
}
