//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
)

// A consumer process is this program, started with these environment variables.
const (
	roleVariable     = "SOAK_CONSUMER"
	instanceVariable = "SOAK_INSTANCE_ID"
	batchVariable    = "SOAK_BATCH"
)

// All times are about a twentieth of the library's and the SDK's defaults, so that a minute here holds what happens in
// twenty.
const (
	updateInterval     = 500 * time.Millisecond
	expiration         = 3 * time.Second
	checkpointInterval = 500 * time.Millisecond
	drainTimeout       = 5 * time.Second
	storeTry           = time.Second
)

func retryOptions() azeventhubs.RetryOptions {
	return azeventhubs.RetryOptions{RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 6 * time.Second}
}

func isConsumer() bool { return os.Getenv(roleVariable) != "" }

// consume runs the consumer process until SIGTERM.
func consume() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go endWithParent()
	go watchStarvation(context.Background(), func(begin, end time.Time) { write(appendSpan(nil, begin, end)) })
	write([]byte(lineReady + "\n"))
	if err := receive(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "gave up: %v\n", err)
		os.Exit(1)
	}
}

// endWithParent ends the process when the other end of its standard input is gone: nothing is left behind, however
// the parent ends.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// write passes lines on to the parent. A process that can't report must not handle any more events, so it ends.
func write(lines []byte) {
	if _, err := os.Stdout.Write(lines); err != nil {
		os.Exit(1)
	}
}

func receive(ctx context.Context) error {
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		return err
	}
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	cfg.Retry = retryOptions()
	store, err := openStore(ctx, cfg.Logger)
	if ctx.Err() != nil {
		return nil // told to stop before there was anything to do
	}
	if err != nil {
		return err
	}
	consumer, err := eventhubs.NewConsumer(cfg, store, &eventhubs.ConsumerOptions{
		InstanceID: os.Getenv(instanceVariable), UpdateInterval: updateInterval, ExpirationInterval: expiration,
		CheckpointInterval: checkpointInterval, DrainTimeout: drainTimeout,
	})
	if err != nil {
		return err
	}
	defer consumer.Close(context.Background())
	h := &handler{holdings: map[context.Context]int64{}, running: map[string]*sync.Mutex{}}
	if os.Getenv(batchVariable) != "" {
		return consumer.ReceiveBatch(ctx, h.handle)
	}
	return consumer.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		return h.handle(ctx, []*eventhubs.ReceivedEvent{e})
	})
}

// openStore tries until the storage account answers. A process that gave up during an outage would be started again and
// again.
func openStore(ctx context.Context, logger *slog.Logger) (eventhubs.CheckpointStore, error) {
	blobs, err := eventhubs.BlobConfigFromEnv()
	if err != nil {
		return nil, err
	}
	blobs.Logger = logger
	blobs.ClientOptions.Retry.TryTimeout = storeTry
	blobs.ClientOptions.Retry.RetryDelay = retryOptions().RetryDelay
	for {
		store, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
		if err == nil {
			return store, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		logger.Warn("soak: the store can't be opened yet", "error", err)
	}
}

// handler reports the events that it is given. Now and then it is slow, or fails.
type handler struct {
	runningMu sync.Mutex
	holdings  map[context.Context]int64 // the handlers of one holding of a partition share their context
	running   map[string]*sync.Mutex    // locked while an event of the partition is handled
}

var errHandler = errors.New("the handler fails now and then")

// One in so many calls of the handler is slow, or fails.
const (
	slowOneIn = 300
	failOneIn = 2000
	slowest   = 40 * time.Millisecond
)

func (h *handler) handle(ctx context.Context, events []*eventhubs.ReceivedEvent) error {
	holding, running := h.of(ctx, events[0].PartitionID)
	if !running.TryLock() {
		write([]byte(lineOverlap + "\n"))
		running.Lock()
	}
	defer running.Unlock()
	if rand.N(slowOneIn) == 0 {
		time.Sleep(rand.N(slowest))
	}
	if events[0].Attempt == 1 && rand.N(failOneIn) == 0 {
		return errHandler
	}
	var lines []byte
	for _, e := range events {
		r, err := newReport(e, holding)
		if err != nil {
			return eventhubs.Stop(err)
		}
		lines = r.append(lines)
	}
	write(lines)
	return nil
}

func (h *handler) of(ctx context.Context, partition string) (holding int64, running *sync.Mutex) {
	h.runningMu.Lock()
	defer h.runningMu.Unlock()
	if _, ok := h.holdings[ctx]; !ok {
		h.holdings[ctx] = int64(len(h.holdings))
	}
	if h.running[partition] == nil {
		h.running[partition] = &sync.Mutex{}
	}
	return h.holdings[ctx], h.running[partition]
}

func newReport(e *eventhubs.ReceivedEvent, holding int64) (report, error) {
	partition, err := strconv.Atoi(e.PartitionID)
	if err != nil {
		return report{}, err
	}
	stream, number, err := parseBody(e.Body)
	if err != nil {
		return report{}, fmt.Errorf("body %q: %w", e.Body, err)
	}
	return report{
		partition: partition, holding: holding, sequence: e.SequenceNumber, attempt: int64(e.Attempt),
		enqueued: *e.EnqueuedTime, at: time.Now(), stream: stream, number: number,
	}, nil
}
