package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// backlog is a hub whose partitions hold events to be read. The SDK's example waits for 100 events at a time, so where
// it runs, each is a multiple of 100.
type backlog struct {
	partitions, each, size int
	rtt                    time.Duration
	blob                   bool // keep checkpoints in blobs instead of memory
}

func (b backlog) events() int { return b.partitions * b.each }

func receiveRows() (rows []row) {
	for _, partitions := range []int{1, 32, 1024} {
		for _, size := range sizes {
			for _, rtt := range roundTrips {
				if partitions == 1024 && rtt > 0 {
					continue // opening so many links one by one takes longer than reading, for both sides
				}
				each := map[int]int{1: 76_800, 32: 4800, 1024: 300}[partitions]
				b := backlog{partitions: partitions, each: each, size: size, rtt: rtt}
				name := fmt.Sprintf("Receive, %s, %s", plural(partitions, "partition"), setting(size, rtt))
				rounds := 5
				if partitions == 1024 {
					rounds = 3
				}
				rows = append(rows, row{name, rounds, target{kind: atLeast, value: 1.2, unit: perSecond}, b.setup(throughput)})
			}
		}
	}
	blob := backlog{partitions: 32, each: 4800, size: 1 << 10, blob: true}
	allocs := backlog{partitions: 32, each: 4800, size: 1 << 10}
	return append(rows,
		row{
			"Receive, 32 partitions, 1 KB, rtt 0 ms, checkpoints in blobs", 3,
			target{kind: atLeast, value: 1.2, unit: perSecond}, blob.setup(throughput),
		},
		row{"Receive, allocations an event", 3, target{kind: above, value: 1, unit: count}, allocs.setup(allocations)},
	)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// tally counts the events of one round. The clock runs from the first to the last.
type tally struct {
	want  int64
	got   atomic.Int64
	began time.Time // set by the first
	ended time.Time // set by the last
	done  context.CancelFunc
}

func (t *tally) count() {
	switch t.got.Add(1) {
	case 1:
		t.began = time.Now()
	case t.want:
		t.ended = time.Now()
		t.done()
	}
}

// receiver reads until ctx ends, and calls count for each event.
type receiver func(ctx context.Context, b backlog, srv *eventhubstest.Server, count func()) error

func receiveOurs(ctx context.Context, b backlog, srv *eventhubstest.Server, count func()) (err error) {
	store := eventhubs.NewMemoryCheckpointStore()
	if b.blob {
		if store, err = eventhubs.NewBlobCheckpointStore(ctx, srv.BlobConfig(newContainer())); err != nil {
			return err
		}
	}
	cfg := srv.Config(hub)
	cfg.Logger = slog.New(slog.DiscardHandler) // its lines would appear between the figures
	consumer, err := eventhubs.NewConsumer(cfg, store, nil)
	if err != nil {
		return err
	}
	defer consumer.Close(context.WithoutCancel(ctx))
	return consumer.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error {
		count()
		return nil
	})
}

func receiveRaw(ctx context.Context, b backlog, srv *eventhubstest.Server, count func()) (err error) {
	store := eventhubs.NewMemoryCheckpointStore()
	if b.blob {
		if store, err = rawBlobStore(ctx, srv); err != nil {
			return err
		}
	}
	client, err := newRawConsumer(srv)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }()
	r := rawReceiver{
		client: client, store: store, options: fairOptions(), wait: exampleWait,
		handle: func(*azeventhubs.ReceivedEventData) { count() },
	}
	return r.run(ctx)
}

func newRawConsumer(srv *eventhubstest.Server) (*azeventhubs.ConsumerClient, error) {
	return azeventhubs.NewConsumerClientFromConnectionString(
		srv.ConnectionString(hub), "", azeventhubs.DefaultConsumerGroup, nil,
	)
}

// fairOptions make the example start where Receive starts, and take all partitions at once. Otherwise its waiting would
// be measured.
func fairOptions() *azeventhubs.ProcessorOptions {
	earliest := true
	return &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: azeventhubs.ProcessorStrategyGreedy,
		StartPositions:        azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: &earliest}},
	}
}

var containers atomic.Int64

func newContainer() string { return fmt.Sprint("checkpoints", containers.Add(1)) }

// rawBlobStore returns the SDK's own checkpoint store, in a new container.
func rawBlobStore(ctx context.Context, srv *eventhubstest.Server) (azeventhubs.CheckpointStore, error) {
	cfg := srv.BlobConfig(newContainer())
	client, err := azblob.NewClientFromConnectionString(cfg.ConnectionString, nil)
	if err != nil {
		return nil, err
	}
	if _, err := client.CreateContainer(ctx, cfg.Container, nil); err != nil {
		return nil, err
	}
	return checkpoints.NewBlobStore(client.ServiceClient().NewContainerClient(cfg.Container), nil)
}

// setup fills a hub. Each round of each side reads all of it, with a checkpoint store of its own.
func (b backlog) setup(
	measure func(backlog, *eventhubstest.Server, receiver) func(context.Context) (float64, error),
) func(context.Context) (sides, func(), error) {
	return func(context.Context) (s sides, cleanup func(), err error) {
		srv, err := b.serve()
		if err != nil {
			return s, nil, err
		}
		return sides{ours: measure(b, srv, receiveOurs), sdk: measure(b, srv, receiveRaw)}, srv.Close, nil
	}
}

// serve starts a server with a hub that holds the backlog.
func (b backlog) serve() (*eventhubstest.Server, error) {
	srv, err := eventhubstest.New(&eventhubstest.Options{
		Hubs: []eventhubstest.Hub{{Name: hub, Partitions: b.partitions}}, RoundTrip: b.rtt, RetentionBytes: math.MaxInt64,
	})
	if err != nil {
		return nil, err
	}
	if err := fill(srv.ConnectionString(hub), b.partitions, b.each, b.size); err != nil {
		srv.Close()
		return nil, fmt.Errorf("fill the hub: %w", err)
	}
	return srv, nil
}

// receiveAll reads the whole backlog once.
func receiveAll(ctx context.Context, b backlog, srv *eventhubstest.Server, receive receiver) (*tally, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	t := &tally{want: int64(b.events()), done: cancel}
	if err := receive(ctx, b, srv, t.count); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	if got := t.got.Load(); got != t.want {
		return nil, fmt.Errorf("%d of %d events were received", got, t.want)
	}
	return t, nil
}

func throughput(b backlog, srv *eventhubstest.Server, receive receiver) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		t, err := receiveAll(ctx, b, srv, receive)
		if err != nil {
			return 0, err
		}
		return float64(t.want-1) / t.ended.Sub(t.began).Seconds(), nil
	}
}

// allocations measures allocations per event. It counts those of the whole process: the server's are the same for both
// sides.
func allocations(b backlog, srv *eventhubstest.Server, receive receiver) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		t, err := receiveAll(ctx, b, srv, receive)
		if err != nil {
			return 0, err
		}
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs-before.Mallocs) / float64(t.want), nil
	}
}
