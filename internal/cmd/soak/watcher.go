//go:build unix

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
)

// watcher looks at what the partitions hold, as any client can, and at whether they are read.
type watcher struct {
	client *eventhubs.Producer // its Client can ask what a partition holds
	judge  *judge
	fail   func(error)
	stop   context.CancelFunc
	done   sync.WaitGroup
}

const (
	watchEvery = time.Second
	// stuckAfter is how long a partition with unread events may stay unread. All faults are over within seconds.
	stuckAfter = 90 * time.Second
)

func startWatcher(cfg eventhubs.Config, j *judge, fail func(error)) (*watcher, error) {
	client, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{client: client, judge: j, fail: fail, stop: stop}
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

func (w *watcher) close() {
	w.stop()
	w.done.Wait()
	_ = w.client.Close(context.Background())
}

func (w *watcher) run(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		sleep(ctx, watchEvery)
		for i := range partitions {
			if err := w.look(ctx, i, began); err != nil {
				w.fail(err)
				return
			}
		}
	}
}

// look finds out whether the hub has dropped unread events, which would make the count of lost events worthless, and
// whether a partition is stuck.
func (w *watcher) look(ctx context.Context, partition int, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	// This comes before the hub is asked, so that a partition doesn't look stuck because of events that arrive meanwhile.
	_, progress := w.judge.handledTo(partition)
	p, err := w.properties(ctx, partition)
	if err != nil {
		return nil //nolint:nilerr // a fault; the next look comes soon
	}
	if progress.IsZero() {
		progress = began
	}
	handled, _ := w.judge.handledTo(partition)
	if p.BeginningSequenceNumber > handled {
		return fmt.Errorf("retention has dropped unread events of partition %d: it begins at %d, and is handled to %d",
			partition, p.BeginningSequenceNumber, handled)
	}
	if unread := time.Since(progress); handled <= p.LastEnqueuedSequenceNumber && unread > stuckAfter {
		return fmt.Errorf("partition %d is stuck: it holds events to %d, is handled to %d, and was last read %v ago",
			partition, p.LastEnqueuedSequenceNumber, handled, unread)
	}
	return nil
}

// wait waits until all that is stored is handled. It returns how many events each partition has taken, even if they are
// not all handled.
func (w *watcher) wait(ctx context.Context, d time.Duration) ([]int64, error) {
	stored, err := w.stored(ctx, d)
	if err != nil {
		return nil, err
	}
	err = until(ctx, d, func() bool {
		for i, n := range stored {
			if next, _ := w.judge.handledTo(i); next < n {
				return false
			}
		}
		return true
	})
	if err != nil {
		return stored, fmt.Errorf("wait for all events to be handled: %w\n%s", err, w.judge.state())
	}
	return stored, nil
}

// stored returns how many events each partition has taken.
func (w *watcher) stored(ctx context.Context, d time.Duration) ([]int64, error) {
	out := make([]int64, partitions)
	for i := range out {
		var last error
		err := until(ctx, d, func() bool {
			p, err := w.properties(ctx, i)
			last, out[i] = err, p.LastEnqueuedSequenceNumber+1
			return err == nil
		})
		if err != nil {
			return nil, fmt.Errorf("ask what partition %d holds: %w: %w", i, err, last)
		}
	}
	return out, nil
}

// properties asks what a partition holds. After a failure it asks for the event hub as well: only that makes the SDK
// replace a link that was lost. When the SDK asks for a partition, it hides from itself what is wrong with the link
// (azeventhubs, mgmt.go, getPartitionPropertiesInternal).
func (w *watcher) properties(ctx context.Context, partition int) (azeventhubs.PartitionProperties, error) {
	p, err := w.client.Client().GetPartitionProperties(ctx, strconv.Itoa(partition), nil)
	if err != nil {
		_, _ = w.client.Client().GetEventHubProperties(ctx, nil)
	}
	return p, err
}
