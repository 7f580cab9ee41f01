package simulate

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// HourEvents is how many events Hour sends.
const HourEvents = 3600

// Hour simulates an hour in which nothing goes wrong: two consumers with default options read four partitions, and an
// event is sent each second. It returns how many events were handled. It must be called in a bubble of
// testing/synctest; how long it takes says how fast virtual time is.
func Hour(t *testing.T) (handled int64) {
	t.Helper()
	srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true})
	cfg := srv.Config("hub")
	cfg.Logger = slog.New(slog.DiscardHandler)
	store, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range cap(ended) {
		c, err := eventhubs.NewConsumer(cfg, store, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			err := c.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error { count.Add(1); return nil })
			_ = c.Close(context.WithoutCancel(ctx))
			ended <- err
		}()
	}
	p, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range HourEvents {
		if err := p.Send(ctx, eventhubs.Event{Body: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	time.Sleep(time.Second)
	cancel()
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if err := p.Close(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
	return count.Load()
}
