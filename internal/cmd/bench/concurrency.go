package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const (
	// manyHandlers is how many handlers of one partition run at once, and manyKeys how many keys its events have.
	manyHandlers, manyKeys = 64, 1000
	slowHandler            = 10 * time.Millisecond
)

// concurrencyRows compare ConsumerOptions.Concurrency with handling one event at a time. The latter stands in the place
// of the SDK's figure.
func concurrencyRows() []row {
	name := func(what string) string {
		return fmt.Sprintf("Receive, 1 partition, %s, Concurrency %d (beside it: 1)", what, manyHandlers)
	}
	return []row{
		{
			name("a 10 ms handler, 1,000 keys"), 1, target{kind: atLeast, value: 50, unit: perSecond},
			compareConcurrency(slowHandler, 38_400, 300),
		},
		{
			name("a handler that does nothing"), 5, target{kind: atLeast, value: 0.5, unit: perSecond},
			compareConcurrency(0, 76_800, 76_800),
		},
	}
}

// compareConcurrency has one side handle so many events concurrently, and the other handle so many serially. handler is
// how long each handler takes.
func compareConcurrency(
	handler time.Duration, concurrently, serially int,
) func(context.Context) (sides, func(), error) {
	return func(context.Context) (s sides, cleanup func(), err error) {
		srv, err := eventhubstest.New(&eventhubstest.Options{
			Hubs: []eventhubstest.Hub{{Name: hub, Partitions: 1}}, RetentionBytes: math.MaxInt64,
		})
		if err != nil {
			return s, nil, err
		}
		if err := fill(srv.ConnectionString(hub), 1, max(concurrently, serially), 64); err != nil {
			return s, srv.Close, fmt.Errorf("fill the hub: %w", err)
		}
		return sides{
			ours: receiveConcurrently(srv, manyHandlers, concurrently, handler),
			sdk:  receiveConcurrently(srv, 1, serially, handler),
		}, srv.Close, nil
	}
}

// receiveConcurrently returns a function that receives events and returns how many were handled per second.
func receiveConcurrently(
	srv *eventhubstest.Server, concurrency, events int, handler time.Duration,
) func(context.Context) (float64, error) {
	var keys [manyKeys]string
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	return func(ctx context.Context) (float64, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		t := &tally{want: int64(events), done: cancel}
		cfg := srv.Config(hub)
		cfg.Logger = slog.New(slog.DiscardHandler)
		consumer, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), &eventhubs.ConsumerOptions{
			Concurrency: concurrency,
			Key:         func(e *eventhubs.ReceivedEvent) string { return keys[e.SequenceNumber%manyKeys] },
		})
		if err != nil {
			return 0, err
		}
		defer consumer.Close(context.WithoutCancel(ctx))
		err = consumer.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error {
			if handler > 0 {
				time.Sleep(handler)
			}
			t.count()
			return nil
		})
		if got := t.got.Load(); err == nil && got < t.want {
			err = fmt.Errorf("%d of %d events were received", got, t.want)
		}
		return float64(t.want-1) / t.ended.Sub(t.began).Seconds(), err
	}
}
