package eventhubs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/receive"
	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
	"github.com/go-eventhubs/eventhubs/internal/signin"
	"github.com/go-eventhubs/eventhubs/internal/target"
)

// ConsumerOptions tune a Consumer. The zero value of each field, and nil options, are right for production.
type ConsumerOptions struct {
	// ConsumerGroup is the consumer group. "" means "$Default".
	ConsumerGroup string
	// Start is where to begin reading a partition without a checkpoint: [Earliest], [Latest], [Since], or a position for
	// each partition. The zero value, also of a position in it, means the earliest event, so that none is missed.
	Start azeventhubs.StartPositions
	// MaxBatch is how many events are taken from the SDK at once, and the most that a BatchHandler gets. 0 means 100.
	MaxBatch int
	// Prefetch is how many events of each partition the SDK reads ahead. 0 means 300; negative means none; the most is
	// 5,000. They are kept in memory, whatever their size: 120 events of 1 MB in each of two partitions took 233 MB.
	Prefetch int32
	// CheckpointInterval is the least time between two checkpoints of a partition, and the most that a processed event
	// waits for one. If none was written for that long, as after the partition was taken, the first event is covered
	// within about a second. 0 means 10 seconds. Each checkpoint is a write to storage, which costs money.
	CheckpointInterval time.Duration
	// CheckpointCount writes a checkpoint as soon as that many processed events of a partition are not covered, regardless
	// of CheckpointInterval. 0 means no limit.
	CheckpointCount int
	// Concurrency is how many handlers of one partition may run at once in Receive. Above 1, events with the same key are
	// still handled one at a time and in order, retries included: a failing event holds up only those of its key. Other
	// events are handled in any order. A checkpoint covers an event only when all events before it are processed. 0 means
	// 1.
	Concurrency int
	// Key returns the key of an event, if Concurrency is above 1. Each partition calls it from one goroutine, once for
	// each event, in order. An event with the key "" waits for no other. Nil means the PartitionKey.
	Key func(*ReceivedEvent) string
	// MaxAhead limits how many events of a partition are held, starting with the oldest unprocessed one, if Concurrency is
	// above 1. They are in memory, and may be repeated after a crash. At the limit the partition waits for the oldest; a
	// WARN in the log names it after 30 seconds, and then at growing intervals. 0 means 1,000; the most is 1,000,000.
	MaxAhead int
	// BatchWait is how long ReceiveBatch waits after the first event of a batch for it to fill up to MaxBatch. When
	// Receive has to end, the handler gets the batch at once. 0 means no wait.
	BatchWait time.Duration
	// PartitionOpened is called when a partition is taken, before its first event, so that handlers can keep state for
	// each partition. After an error it is called again, after a pause; [Stop] and panics end Receive. ctx is that of
	// handlers.
	PartitionOpened func(ctx context.Context, partitionID string) error
	// PartitionClosed is called once for each PartitionOpened that succeeded: after the last handler of the partition has
	// returned, and before the last checkpoint is written and others can take the partition. reason is nil, what Receive
	// will return, [ErrDraining] if a handler ran out of time, or [ErrOwnershipLost]; in the last two cases ctx has ended.
	// ctx is that of handlers, and DrainTimeout limits it.
	PartitionClosed func(ctx context.Context, partitionID string, reason error)
	// DrainTimeout is how long running handlers may take when Receive has to end, or when another consumer asks for the
	// partition. After that their contexts are cancelled; a handler that ignores its context is still waited for. The last
	// checkpoints and the release of the partitions take at most 5 seconds more, so give a process that is told to stop a
	// little more than DrainTimeout plus 5 seconds. With Concurrency, events before the last processed one are still
	// handled in that time, and retried, so that nothing is repeated. 0 means 30 seconds; negative means no time.
	DrainTimeout time.Duration
	// Unreadable decides about an event that cannot be decoded, such as one with a value of a type that go-amqp does not
	// know (a decimal of .NET). If it returns nil, that one event is skipped. If it returns an error, or is nil, the
	// partition waits, and reading is retried with a pause of up to 30 seconds; an ERROR in the log names the event. err
	// says what is wrong. The goroutine of the partition calls it, once per try.
	Unreadable func(partitionID string, sequenceNumber int64, err error) error
	// LagInterval is how often the service is asked where each partition ends, for [PartitionStatus].Lag: one request per
	// partition and interval. 0 means never; Lag is then nil.
	LagInterval time.Duration
	// Backoff says how long to wait before a handler gets an event again after it has failed; attempt is how often it has
	// failed. A negative duration gives up, as Stop(err) does. Nil means 100 ms, doubling up to 30 s, give or take a
	// quarter, without end.
	Backoff func(attempt int, err error) time.Duration
	// Balance is how the consumers of a group share partitions. "" means greedy: each takes its share at once.
	Balance azeventhubs.ProcessorStrategy
	// UpdateInterval is how often the Consumer looks at who owns which partition. 0 means 10 seconds.
	UpdateInterval time.Duration
	// ExpirationInterval is how long after its last sign of life others may take a consumer's partitions. 0 means 60
	// seconds.
	ExpirationInterval time.Duration
	// InstanceID names this consumer in ownership records and in errors of the service. It must be unique among running
	// consumers. "" means a new UUID.
	InstanceID string
}

// Defaults and limits of ConsumerOptions.
const (
	defaultMaxBatch           = 100
	defaultMaxAhead           = 1000
	defaultCheckpointInterval = 10 * time.Second
	defaultDrainTimeout       = 30 * time.Second
	defaultUpdateInterval     = 10 * time.Second
	defaultExpiration         = time.Minute
	maxPrefetch               = 5000
	maxMaxAhead               = 1_000_000
)

func (o *ConsumerOptions) withDefaults() (ConsumerOptions, error) {
	out := ConsumerOptions{}
	if o != nil {
		out = *o
	}
	out.ConsumerGroup, out.InstanceID = signin.Pasted(out.ConsumerGroup), signin.Pasted(out.InstanceID)
	if err := signin.CheckGroup(out.ConsumerGroup); err != nil {
		return out, fmt.Errorf("eventhubs: options: %w", err)
	}
	out.ConsumerGroup = cmp.Or(out.ConsumerGroup, azeventhubs.DefaultConsumerGroup)
	out.MaxBatch = cmp.Or(out.MaxBatch, defaultMaxBatch)
	out.CheckpointInterval = cmp.Or(out.CheckpointInterval, defaultCheckpointInterval)
	out.DrainTimeout = cmp.Or(out.DrainTimeout, defaultDrainTimeout)
	out.UpdateInterval = cmp.Or(out.UpdateInterval, defaultUpdateInterval)
	out.ExpirationInterval = cmp.Or(out.ExpirationInterval, defaultExpiration)
	out.Balance = cmp.Or(out.Balance, azeventhubs.ProcessorStrategyGreedy)
	if out.Backoff == nil {
		out.Backoff = func(attempt int, _ error) time.Duration { return retry.Backoff(attempt) }
	}
	switch {
	case out.MaxBatch < 0:
		return out, fmt.Errorf("eventhubs: options: MaxBatch is %d: it has to be positive", out.MaxBatch)
	case out.Concurrency < 0:
		return out, fmt.Errorf("eventhubs: options: Concurrency is %d: it must not be negative", out.Concurrency)
	case out.MaxAhead < 0 || out.MaxAhead > maxMaxAhead:
		return out, fmt.Errorf("eventhubs: options: MaxAhead is %d: it has to be from 0 to %d", out.MaxAhead, maxMaxAhead)
	case out.BatchWait < 0:
		return out, fmt.Errorf("eventhubs: options: BatchWait is %v: it must not be negative", out.BatchWait)
	case out.Prefetch > maxPrefetch:
		return out, fmt.Errorf("eventhubs: options: Prefetch is %d: the most is %d", out.Prefetch, maxPrefetch)
	case out.CheckpointInterval < 0:
		return out, fmt.Errorf("eventhubs: options: CheckpointInterval is %v: it must not be negative",
			out.CheckpointInterval)
	case out.CheckpointCount < 0:
		return out, fmt.Errorf("eventhubs: options: CheckpointCount is %d: it must not be negative", out.CheckpointCount)
	case out.LagInterval < 0:
		return out, fmt.Errorf("eventhubs: options: LagInterval is %v: it must not be negative", out.LagInterval)
	case out.UpdateInterval < 0:
		return out, fmt.Errorf("eventhubs: options: UpdateInterval is %v: it must not be negative", out.UpdateInterval)
	case out.ExpirationInterval <= out.UpdateInterval:
		return out, fmt.Errorf("eventhubs: options: ExpirationInterval (%v) has to be longer than UpdateInterval (%v), "+
			"or consumers lose partitions that they are reading", out.ExpirationInterval, out.UpdateInterval)
	case out.Balance != azeventhubs.ProcessorStrategyGreedy && out.Balance != azeventhubs.ProcessorStrategyBalanced:
		return out, fmt.Errorf("eventhubs: options: Balance is %q: use azeventhubs.ProcessorStrategyGreedy or "+
			"ProcessorStrategyBalanced", out.Balance)
	}
	var err error
	if out.Start, err = receive.EarliestByDefault(out.Start); err != nil {
		return out, fmt.Errorf("eventhubs: options: %w", err)
	}
	return out, nil
}

// Earliest starts partitions without a checkpoint at their earliest event.
func Earliest() azeventhubs.StartPositions {
	yes := true
	return azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: &yes}}
}

// Latest starts partitions without a checkpoint after their latest event at the time when they are first taken.
func Latest() azeventhubs.StartPositions {
	yes := true
	return azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Latest: &yes}}
}

// Since starts partitions without a checkpoint at the first event that the service stored at t or later, to the
// millisecond.
func Since(t time.Time) azeventhubs.StartPositions {
	return azeventhubs.StartPositions{Default: azeventhubs.StartPosition{EnqueuedTime: &t, Inclusive: true}}
}

// Consumer receives the events of one event hub for one consumer group. It is safe for concurrent use. Close it when it
// is no longer needed. It has one connection for questions to the service, and one for each partition that it reads, so
// that a failure of one partition's connection affects no other.
type Consumer struct {
	target    target.Target
	opts      ConsumerOptions
	store     CheckpointStore
	client    *azeventhubs.ConsumerClient // the user's
	dialer    *dial.Dialer                // of the user's client
	questions *receive.Questions

	currentMu sync.Mutex
	closed    bool
	current   *receiving // the running call of Receive or ReceiveBatch
}

// receiving is a running call of Receive or ReceiveBatch.
type receiving struct {
	engine   *receive.Engine
	returned chan struct{}
}

// NewConsumer checks the Config and the options and returns a Consumer. It does not connect: Receive does.
func NewConsumer(cfg Config, store CheckpointStore, opts *ConsumerOptions) (*Consumer, error) {
	t, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	if b, ok := store.(*BlobCheckpointStore); store == nil || ok && b == nil {
		return nil, errors.New("eventhubs: consumer: the checkpoint store is nil: make one with NewBlobCheckpointStore, " +
			"or NewMemoryCheckpointStore for a test")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Consumer{target: t, opts: o, store: store}
	if c.client, c.dialer, err = t.NewConsumerClient(o.ConsumerGroup, o.InstanceID, t.Config.Retry); err != nil {
		return nil, fmt.Errorf("eventhubs: make a consumer for %s: %w", c.entity(), err)
	}
	c.questions = receive.NewQuestions(func() (*azeventhubs.ConsumerClient, *dial.Dialer, error) {
		return t.NewConsumerClient(o.ConsumerGroup, c.client.InstanceID(), t.Config.Retry)
	})
	return c, nil
}

// Client returns a client of the SDK for the same event hub and consumer group, for what this package does not do. It
// has a connection of its own, which is made when it is first used. Close closes it.
func (c *Consumer) Client() *azeventhubs.ConsumerClient { return c.client }

// Format describes the Consumer without its secrets, whatever the verb.
func (c *Consumer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.Consumer(%s, consumer group %s)", c.target.Config, c.opts.ConsumerGroup)
}

// entity names in errors what is read.
func (c *Consumer) entity() string { return c.target.Config.EventHub + "/" + c.opts.ConsumerGroup }

// Receive calls the handler for each event until ctx ends. It shares the partitions with all other consumers of the
// group, and blocks.
//
// When ctx ends, Receive stops fetching, waits for running handlers (see ConsumerOptions.DrainTimeout), writes the last
// checkpoints, releases its partitions so that others can take them at once, and returns nil. It returns an error when
// a handler ends it (a [HandlerError]), or when it cannot work: not authorized, no such event hub or consumer group,
// or, before a first success, a namespace that cannot be reached. Transient failures, such as a lost connection, a busy
// service or an outage of storage, are logged and retried until they clear. Authorization that fails, or a name that is
// not found, after it has worked is retried for a minute.
//
// Only one call of Receive or ReceiveBatch can run at a time. Receive may be called again after it has returned.
func (c *Consumer) Receive(ctx context.Context, h Handler) error {
	if h == nil {
		return errors.New("eventhubs: receive: the handler is nil")
	}
	return c.receive(ctx, 1, func(ctx context.Context, events []*ReceivedEvent) error { return h(ctx, events[0]) })
}

// ReceiveBatch is Receive for handlers that process several events of one partition at once. A batch is what has
// arrived; ConsumerOptions.BatchWait makes it wait for more.
func (c *Consumer) ReceiveBatch(ctx context.Context, h BatchHandler) error {
	if h == nil {
		return errors.New("eventhubs: receive: the handler is nil")
	}
	if o := c.opts; o.Concurrency > 1 || o.Key != nil || o.MaxAhead > 0 {
		return errors.New("eventhubs: receive: Concurrency, Key and MaxAhead are for Receive: leave them out for " +
			"ReceiveBatch")
	}
	return c.receive(ctx, c.opts.MaxBatch, h)
}

// Close stops a running Receive as the end of its context does, waits for it, and closes all connections. If ctx ends
// first, Close cancels the contexts of the handlers, no more checkpoints are written, and Receive ends. Close may be
// called at any time and more than once, but not by a handler, because it waits for handlers.
func (c *Consumer) Close(ctx context.Context) error {
	c.currentMu.Lock()
	c.closed = true
	running := c.current
	c.currentMu.Unlock()
	var err error
	if running != nil {
		running.engine.Stop()
		select {
		case <-running.returned:
		case <-ctx.Done():
			running.engine.Abort()
			err = fmt.Errorf("eventhubs: close the consumer of %s: events that were handled last may be repeated: %w",
				c.entity(), context.Cause(ctx))
		}
	}
	closing := errors.Join(c.questions.Close(ctx), connection.CloseConsumer(ctx, c.client, c.dialer))
	if err == nil && closing != nil && ctx.Err() == nil {
		err = fmt.Errorf("eventhubs: close the consumer of %s: %w", c.entity(), closing)
	}
	return err
}

func (c *Consumer) receive(ctx context.Context, unit int, h BatchHandler) error {
	r := &receiving{engine: c.engine(ctx, unit, h), returned: make(chan struct{})}
	if err := c.begin(r); err != nil {
		r.engine.Abort() // lets go of ctx
		return err
	}
	defer c.end(r)
	return handlerError(r.engine.Run())
}

// handlerError makes a HandlerError of an error of the engine that is about a handler.
func handlerError(err error) error {
	if f := (*receive.Failure)(nil); errors.As(err, &f) {
		return &HandlerError{
			PartitionID: f.Partition, SequenceNumber: f.Sequence, Err: f.Err, Panic: f.Panic, Stack: f.Stack,
		}
	}
	return err
}

// engine makes the engine of one call of Receive.
func (c *Consumer) engine(ctx context.Context, unit int, h BatchHandler) *receive.Engine {
	t, o := c.target, c.opts
	batchWait, closed := o.BatchWait, o.PartitionClosed
	if unit == 1 {
		batchWait = 0
	}
	if closed != nil {
		closed = func(ctx context.Context, id string, reason error) { o.PartitionClosed(ctx, id, handlerError(reason)) }
	}
	from := &origin{t.Config.EventHub, o.ConsumerGroup}
	noRetry := azeventhubs.RetryOptions{MaxRetries: -1} // a reader retries by itself
	return receive.New(ctx, receive.Options{
		NewClient: func() (*azeventhubs.ConsumerClient, *dial.Dialer, error) {
			return t.NewConsumerClient(o.ConsumerGroup, c.client.InstanceID(), noRetry)
		},
		Questions: c.questions, Store: engineStore(c.store),
		Namespace: t.Config.Namespace, EventHub: t.Config.EventHub, ConsumerGroup: o.ConsumerGroup,
		InstanceID: c.client.InstanceID(),
		Start:      o.Start, MaxBatch: o.MaxBatch, Unit: unit, Prefetch: o.Prefetch,
		Concurrency: o.Concurrency, MaxAhead: cmp.Or(o.MaxAhead, defaultMaxAhead),
		CheckpointInterval: o.CheckpointInterval, CheckpointCount: o.CheckpointCount, DrainTimeout: o.DrainTimeout,
		Strategy: o.Balance, UpdateInterval: o.UpdateInterval, Expiration: o.ExpirationInterval,
		StallAfter: 30 * time.Second, LagInterval: o.LagInterval, Backoff: o.Backoff, Unreadable: o.Unreadable,
		NewHandler: func() receive.Handler { return &unitHandler{handle: h, from: from, key: o.Key} },
		Opened:     o.PartitionOpened, Closed: closed, BatchWait: batchWait,
		Permanent: isStop, ErrLost: ErrOwnershipLost, ErrDraining: ErrDraining,
		Explain: func(on string, err error) error { return t.Explain(sdkerr.Receive, on, err) },
		Logger: t.Config.Logger.With(
			"event_hub", t.Config.EventHub, "group", o.ConsumerGroup, "owner", c.client.InstanceID()),
	})
}

// begin makes r the one call that may run.
func (c *Consumer) begin(r *receiving) error {
	c.currentMu.Lock()
	defer c.currentMu.Unlock()
	switch {
	case c.closed:
		return sdkerr.Mark(fmt.Errorf("receive %s: the consumer is closed", c.entity()), ErrClosed)
	case c.current != nil:
		return fmt.Errorf("eventhubs: receive %s: the consumer is receiving already: make a second Consumer to read with two",
			c.entity())
	}
	c.current = r
	return nil
}

func (c *Consumer) end(r *receiving) {
	c.currentMu.Lock()
	defer c.currentMu.Unlock()
	c.current = nil
	close(r.returned)
}

// unitHandler calls a BatchHandler with the events of one partition.
type unitHandler struct {
	handle   BatchHandler
	from     *origin
	key      func(*ReceivedEvent) string // nil: PartitionKey
	all      []ReceivedEvent
	pointers []*ReceivedEvent // what the handler gets: it may change the slice
}

// Fill makes events of what was read. The handler may keep the events, but not the slice.
func (u *unitHandler) Fill(partition string, events []*azeventhubs.ReceivedEventData) {
	clear(u.pointers)
	u.all = make([]ReceivedEvent, len(events))
	u.pointers = u.pointers[:0]
	for i, e := range events {
		u.all[i] = ReceivedEvent{ReceivedEventData: e, PartitionID: partition, from: u.from}
		u.pointers = append(u.pointers, &u.all[i])
	}
}

// Handle calls the handler with a part of the events.
func (u *unitHandler) Handle(ctx context.Context, from, to, attempt int) error {
	unit := u.pointers[from:to:to]
	for i := range unit {
		unit[i] = &u.all[from+i]
		unit[i].Attempt = attempt
	}
	return u.handle(ctx, unit)
}

// Key returns the key of an event.
func (u *unitHandler) Key(i int) string {
	switch e := u.pointers[i]; {
	case u.key != nil:
		return u.key(e)
	case e.PartitionKey != nil:
		return *e.PartitionKey
	}
	return ""
}
