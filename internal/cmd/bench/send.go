package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const (
	hub = "bench"
	// sendFor is how long each side sends the same events over and over in one round.
	sendFor = 500 * time.Millisecond
	// bulkBytes is about how many bytes one call of Send gets, and overhead is what each event adds to a batch besides its
	// body.
	bulkBytes = 24 << 20
	overhead  = 64
	// goroutines is how many goroutines send single events.
	goroutines = 256
)

var (
	sizes      = []int{1 << 10, 64} // of bodies
	roundTrips = []time.Duration{0, 2 * time.Millisecond}
)

func sizeName(bytes int) string {
	if bytes >= 1<<10 {
		return fmt.Sprintf("%d KB", bytes>>10)
	}
	return fmt.Sprintf("%d B", bytes)
}

// setting names what a row was measured with.
func setting(size int, roundTrip time.Duration) string {
	return fmt.Sprintf("%s, rtt %d ms", sizeName(size), roundTrip/time.Millisecond)
}

func sendRows() (rows []row) {
	for _, size := range sizes {
		for _, rtt := range roundTrips {
			least := 1.5
			if rtt > 0 {
				least = 2
			}
			rows = append(rows, row{
				name: "bulk Send, " + setting(size, rtt), rounds: 7, target: target{kind: atLeast, value: least, unit: perSecond},
				setup: func(ctx context.Context) (sides, func(), error) { return setupSend(ctx, rtt, size, bulk) },
			})
		}
	}
	for _, size := range sizes {
		least := 5.0
		if size < 1<<10 {
			least = 8
		}
		for _, rtt := range roundTrips {
			if rtt > 0 {
				least = 1 // both sides have 256 batches in flight, and wait for the same answers
			}
			rows = append(rows, row{
				name:   fmt.Sprintf("single Send, %d goroutines, %s", goroutines, setting(size, rtt)),
				rounds: 7, target: target{kind: atLeast, value: least, unit: perSecond},
				setup: func(ctx context.Context) (sides, func(), error) { return setupSend(ctx, rtt, size, single) },
			})
		}
	}
	return rows
}

// senders are both sides' clients, and the same events for both.
type senders struct {
	producer  *eventhubs.Producer
	client    *azeventhubs.ProducerClient
	events    []eventhubs.Event
	rawEvents []*azeventhubs.EventData
}

// bulk sends from one goroutine, all events in one call.
func bulk(s *senders) sides {
	n := len(s.events)
	return sides{
		ours: rate(1, n, func(ctx context.Context, _ int) error { return s.producer.Send(ctx, s.events...) }),
		sdk:  rate(1, n, func(ctx context.Context, _ int) error { return rawBulkSend(ctx, s.client, s.rawEvents) }),
	}
}

// single sends from many goroutines, one event in each call.
func single(s *senders) sides {
	return sides{
		ours: rate(goroutines, 1, func(ctx context.Context, i int) error { return s.producer.Send(ctx, s.events[i]) }),
		sdk: rate(goroutines, 1, func(ctx context.Context, i int) error {
			return rawSendOne(ctx, s.client, s.rawEvents[i])
		}),
	}
}

// rate runs work in so many goroutines, over and over for sendFor, and returns the events per second. Each call of work
// handles n events, and is told its goroutine.
func rate(
	goroutines, n int, work func(ctx context.Context, goroutine int) error,
) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		var (
			done    atomic.Int64
			errs    = make([]error, goroutines)
			began   = time.Now()
			sending sync.WaitGroup
		)
		for g := range goroutines {
			sending.Go(func() {
				for time.Since(began) < sendFor && errs[g] == nil {
					errs[g] = work(ctx, g)
					done.Add(int64(n))
				}
			})
		}
		sending.Wait()
		return float64(done.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
	}
}

// setupSend has both sides send the same bodies to the same hub, each over a connection of its own that is open before
// the clock starts.
func setupSend(
	ctx context.Context, rtt time.Duration, size int, work func(*senders) sides,
) (_ sides, cleanup func(), err error) {
	srv, err := newServer(rtt, 4)
	if err != nil {
		return sides{}, nil, err
	}
	s := &senders{}
	cleanup = func() {
		_ = s.producer.Close(ctx)
		_ = s.client.Close(ctx)
		srv.Close()
	}
	if s.producer, err = eventhubs.NewProducer(srv.Config(hub), nil); err == nil {
		s.client, err = newRawProducer(srv)
	}
	if err != nil {
		return sides{}, srv.Close, err
	}
	for range bulkBytes / (size + overhead) {
		body := make([]byte, size)
		s.events = append(s.events, eventhubs.Event{Body: body})
		s.rawEvents = append(s.rawEvents, &azeventhubs.EventData{Body: body})
	}
	err = errors.Join(s.producer.Send(ctx, s.events[0]), rawSendOne(ctx, s.client, s.rawEvents[0]))
	return work(s), cleanup, err
}

// newServer starts a server with one hub, each of whose partitions retains 8 MiB.
func newServer(rtt time.Duration, partitions int) (*eventhubstest.Server, error) {
	return eventhubstest.New(&eventhubstest.Options{
		Hubs: []eventhubstest.Hub{{Name: hub, Partitions: partitions}}, RoundTrip: rtt, RetentionBytes: 8 << 20,
	})
}

func newRawProducer(srv *eventhubstest.Server) (*azeventhubs.ProducerClient, error) {
	return azeventhubs.NewProducerClientFromConnectionString(srv.ConnectionString(hub), "", nil)
}
