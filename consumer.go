package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/dial"
)

// Handler processes one event. When it returns nil, the event is processed and will not be read again. When it returns an error, the
// same event comes again after a pause, and the later events of its partition wait; [Stop] ends Receive instead. A panic is not retried:
// it ends Receive.
//
// Handlers of one partition never run at the same time; those of different partitions do. The context ends, with the cause
// [ErrOwnershipLost], when another consumer has taken the partition over: what the handler does from then on may be done twice. It ends
// with the cause [ErrDraining] when Receive is told to stop and the handler takes longer than ConsumerOptions.DrainTimeout. It carries the
// values of Receive's own context.
type Handler func(ctx context.Context, e *ReceivedEvent) error

// BatchHandler processes consecutive events of one partition: at least one, and no more than ConsumerOptions.MaxBatch. Nil means that all are
// processed; after an error the same events come again. Otherwise it is like [Handler]. The slice is the handler's only until it returns.
type BatchHandler func(ctx context.Context, events []*ReceivedEvent) error

// ReceivedEvent is an event as the SDK hands it over, and where it is from.
type ReceivedEvent struct {
	// ReceivedEventData holds body, properties, sequence number and all else. Body is nil unless the message has exactly one data section;
	// RawAMQPMessage has the rest (azeventhubs, event_data.go).
	*azeventhubs.ReceivedEventData
	// PartitionID is the partition that it was read from.
	PartitionID string
	// Attempt counts the calls of the handler with this event, in this process and since the partition was taken: 1 is the first.
	Attempt int
}

// ConsumerOptions tune a Consumer. The zero value of each field, and nil options, are right for production.
type ConsumerOptions struct {
	// Group is the consumer group. "" means "$Default".
	Group string
	// Start says where reading begins in partitions without a checkpoint. The zero value means the earliest event, so that none is missed;
	// that also goes for each position in it that is zero.
	Start azeventhubs.StartPositions
	// MaxBatch is how many events are taken from the SDK at once, and the most that a BatchHandler gets. 0 means 100.
	MaxBatch int
	// Prefetch is how many events of each partition the SDK reads ahead. 0 means 300; negative means none; 5,000 is the most.
	Prefetch int32
	// CheckpointInterval is the longest time between the moment when an event is processed and the writing of a checkpoint that covers it.
	// 0 means 5 seconds. A partition that has fallen idle is covered within about a second.
	CheckpointInterval time.Duration
	// CheckpointCount has a checkpoint written as soon as that many events of a partition are processed and not covered. 0 means no limit.
	CheckpointCount int
	// DrainTimeout is how long running handlers get when Receive has to end. Then their contexts are cancelled. 0 means 30 seconds; negative means
	// at once. Handlers that don't look at their context are waited for all the same.
	DrainTimeout time.Duration
	// Backoff says how long to wait before a handler gets an event again that it has failed with; attempt is how often it has failed.
	// A negative duration gives up: the error then counts as Stop(err). Nil means 100 ms, doubling up to 30 s, give or take a quarter, without end.
	Backoff func(attempt int, err error) time.Duration
	// Balance is how partitions are shared between the consumers of a group. "" means greedy: each takes its share at once.
	Balance azeventhubs.ProcessorStrategy
	// UpdateInterval is the time between two looks at who owns which partition. 0 means 10 seconds.
	UpdateInterval time.Duration
	// ExpirationInterval is how long after its last sign of life the partitions of a consumer are free for others to take. 0 means 60 seconds.
	ExpirationInterval time.Duration
	// InstanceID names this consumer in ownership records and in the service's errors. It has to be unique among running consumers. "" means a new UUID.
	InstanceID string
}

// What zero means in ConsumerOptions.
const (
	defaultMaxBatch           = 100
	defaultCheckpointInterval = 5 * time.Second
	defaultDrainTimeout       = 30 * time.Second
	defaultUpdateInterval     = 10 * time.Second
	defaultExpiration         = time.Minute
	maxPrefetch               = 5000
)

func (o *ConsumerOptions) withDefaults() (ConsumerOptions, error) {
	out := ConsumerOptions{}
	if o != nil {
		out = *o
	}
	setDefault(&out.Group, azeventhubs.DefaultConsumerGroup)
	setDefault(&out.MaxBatch, defaultMaxBatch)
	setDefault(&out.CheckpointInterval, defaultCheckpointInterval)
	setDefault(&out.DrainTimeout, defaultDrainTimeout)
	setDefault(&out.UpdateInterval, defaultUpdateInterval)
	setDefault(&out.ExpirationInterval, defaultExpiration)
	setDefault(&out.Balance, azeventhubs.ProcessorStrategyGreedy)
	if out.Backoff == nil {
		out.Backoff = defaultBackoff
	}
	switch {
	case out.MaxBatch < 0:
		return out, fmt.Errorf("eventhubs: options: MaxBatch is %d: it has to be positive", out.MaxBatch)
	case out.Prefetch > maxPrefetch:
		return out, fmt.Errorf("eventhubs: options: Prefetch is %d: the most is %d", out.Prefetch, maxPrefetch)
	case out.CheckpointInterval < 0 || out.CheckpointCount < 0:
		return out, errors.New("eventhubs: options: CheckpointInterval and CheckpointCount must not be negative")
	case out.UpdateInterval < 0 || out.ExpirationInterval <= out.UpdateInterval:
		return out, fmt.Errorf("eventhubs: options: ExpirationInterval (%v) has to be longer than UpdateInterval (%v), or consumers lose partitions that they are reading",
			out.ExpirationInterval, out.UpdateInterval)
	case out.Balance != azeventhubs.ProcessorStrategyGreedy && out.Balance != azeventhubs.ProcessorStrategyBalanced:
		return out, fmt.Errorf("eventhubs: options: Balance is %q: use azeventhubs.ProcessorStrategyGreedy or ProcessorStrategyBalanced", out.Balance)
	}
	var err error
	out.Start, err = earliestByDefault(out.Start)
	return out, err
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// earliestByDefault replaces positions that say nothing, which the SDK takes for the latest event (partition_client.go, getStartExpression).
func earliestByDefault(p azeventhubs.StartPositions) (azeventhubs.StartPositions, error) {
	out := azeventhubs.StartPositions{PerPartition: map[string]azeventhubs.StartPosition{}}
	var ok bool
	if out.Default, ok = earliestIfZero(p.Default); !ok {
		return out, errors.New("eventhubs: options: Start: set one of Earliest, Latest, Offset, SequenceNumber and EnqueuedTime")
	}
	for id, s := range p.PerPartition {
		if out.PerPartition[id], ok = earliestIfZero(s); !ok {
			return out, fmt.Errorf("eventhubs: options: Start of partition %q: set one of Earliest, Latest, Offset, SequenceNumber and EnqueuedTime", id)
		}
	}
	return out, nil
}

// earliestIfZero reports with ok whether the position says no more than one thing.
func earliestIfZero(s azeventhubs.StartPosition) (_ azeventhubs.StartPosition, ok bool) {
	said := 0
	for _, set := range []bool{s.Earliest != nil && *s.Earliest, s.Latest != nil && *s.Latest, s.Offset != nil, s.SequenceNumber != nil, s.EnqueuedTime != nil} {
		if set {
			said++
		}
	}
	if said == 0 {
		earliest := true
		s.Earliest = &earliest
	}
	return s, said <= 1
}

// ErrOwnershipLost is the cause of the end of a handler's context when another consumer has taken its partition over.
var ErrOwnershipLost = errors.New("eventhubs: another consumer has taken the partition over")

// ErrDraining is the cause of the end of a handler's context when Receive has to end and DrainTimeout has passed.
var ErrDraining = errors.New("eventhubs: the consumer is stopping")

// Stop marks a handler's error as permanent: Receive finishes what is running, writes checkpoints up to the event before, and returns a
// [HandlerError] with it. Stop(nil) is a Stop without a reason.
func Stop(err error) error { return &stopError{err} }

type stopError struct{ err error }

func (e *stopError) Error() string {
	if e.err == nil {
		return "stopped by the handler"
	}
	return e.err.Error()
}
func (e *stopError) Unwrap() error { return e.err }

// HandlerError is what Receive returns when a handler has ended it: with Stop, by giving up in Backoff, or with a panic.
type HandlerError struct {
	PartitionID    string
	SequenceNumber int64  // of the event, or the first event of the batch
	Err            error  // what the handler has returned; nil after a panic
	Panic          any    // what it has panicked with; nil otherwise
	Stack          []byte // where it has panicked
}

func (e *HandlerError) Error() string {
	at := fmt.Sprintf("eventhubs: receive: handler of partition %s at sequence number %d", e.PartitionID, e.SequenceNumber)
	if e.Err == nil {
		return fmt.Sprintf("%s panicked: %v\n%s", at, e.Panic, e.Stack)
	}
	return fmt.Sprintf("%s: %v", at, e.Err)
}

func (e *HandlerError) Unwrap() error { return e.Err }

// Consumer receives events of one event hub for one consumer group. It is safe for concurrent use. Close it when it is no longer wanted.
type Consumer struct {
	target target
	cfg    Config // the target's
	opts   ConsumerOptions
	store  CheckpointStore
	client *azeventhubs.ConsumerClient
	dialer *dial.Dialer // of its connection

	mu      sync.Mutex
	closed  bool
	current *receiving // the call of Receive or ReceiveBatch that is running

	watch watch // what Partitions shows, and a stalled handler is told by
}

// NewConsumer checks the Config and the options and returns a Consumer. It does not connect: Receive does.
func NewConsumer(cfg Config, store CheckpointStore, opts *ConsumerOptions) (*Consumer, error) {
	t, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	if b, ok := store.(*BlobCheckpointStore); store == nil || ok && b == nil {
		return nil, errors.New("eventhubs: consumer: the checkpoint store is nil: make one with NewBlobCheckpointStore, or NewMemoryCheckpointStore for a test")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Consumer{target: t, cfg: t.cfg, opts: o, store: engineStore(store)}
	if c.client, c.dialer, err = t.newConsumerClient(o.Group, o.InstanceID, t.cfg.Retry); err != nil {
		return nil, fmt.Errorf("eventhubs: make a consumer for %s: %w", c.entity(), withoutPrefix(err))
	}
	return c, nil
}

// Client is the SDK's client underneath, for all that this package doesn't do. Closing it breaks the Consumer.
func (c *Consumer) Client() *azeventhubs.ConsumerClient { return c.client }

// Format describes the Consumer without its Config's secrets, whatever the verb.
func (c *Consumer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.Consumer(%s, consumer group %s)", c.cfg, c.opts.Group)
}

// entity names what is read in errors.
func (c *Consumer) entity() string { return c.cfg.EventHub + "/" + c.opts.Group }

// logger names in logs what is read, and who reads.
func (c *Consumer) logger() *slog.Logger {
	return c.cfg.Logger.With("event_hub", c.cfg.EventHub, "group", c.opts.Group, "owner", c.client.InstanceID())
}

// Receive calls the handler for each event, until ctx ends. It shares the partitions with all other consumers of the group, and blocks.
//
// When ctx ends it stops fetching, waits for running handlers (see ConsumerOptions.DrainTimeout), writes the last checkpoints, gives its
// partitions back for others to take at once, and returns nil. It returns an error when a handler ends it (a [HandlerError]), or when
// it can't work: not authorized, no such event hub or consumer group. What passes by itself (lost connections, a busy service, storage that is down) it sits out.
//
// Only one call of Receive or ReceiveBatch can run at a time. It may be called again after it has returned.
func (c *Consumer) Receive(ctx context.Context, h Handler) error {
	if h == nil {
		return errors.New("eventhubs: receive: the handler is nil")
	}
	return c.receive(ctx, 1, func(ctx context.Context, events []*ReceivedEvent) error { return h(ctx, events[0]) })
}

// ReceiveBatch is Receive for handlers that process several events of one partition at once. It doesn't wait for more events: a batch is what is there.
func (c *Consumer) ReceiveBatch(ctx context.Context, h BatchHandler) error {
	if h == nil {
		return errors.New("eventhubs: receive: the handler is nil")
	}
	return c.receive(ctx, c.opts.MaxBatch, h)
}

// Close stops a running Receive as the end of its context does, waits for it, and closes the connection. If ctx ends first, the connection is
// closed at once. It may be called at any time, and more than once, but not by a handler, which it would wait for.
func (c *Consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	running := c.current
	c.mu.Unlock()
	if running != nil {
		running.stop(errDone)
		select {
		case <-running.returned:
		case <-ctx.Done():
		}
	}
	if err := c.client.Close(ctx); err != nil {
		return fmt.Errorf("eventhubs: close the consumer of %s: %w", c.entity(), err)
	}
	c.watch.close(ctx)
	return ctx.Err()
}
