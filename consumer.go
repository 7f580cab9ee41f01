package eventhubs

import (
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
)

// Handler processes one event. When it returns nil, the event is processed, and is covered by the next checkpoint. When
// it returns an error, the same event comes again after a pause, and the later events of its partition wait; [Stop]
// ends Receive instead. A panic is not retried: it ends Receive. [DeadLetter] makes a handler that gives up after some
// attempts.
//
// Handlers of one partition never run at the same time; those of different partitions do. The context ends, with the
// cause [ErrOwnershipLost], when another consumer has taken the partition over: what the handler does from then on may
// be done twice. It ends with the cause [ErrDraining] when Receive is told to stop and the handler takes longer than
// ConsumerOptions.DrainTimeout. It carries the values of Receive's own context.
type Handler func(ctx context.Context, e *ReceivedEvent) error

// BatchHandler processes consecutive events of one partition: at least one, and no more than ConsumerOptions.MaxBatch.
// Nil means that all are processed; after an error the same events come again. Otherwise it is like [Handler]. The
// slice is the handler's only until it returns.
type BatchHandler func(ctx context.Context, events []*ReceivedEvent) error

// ConsumerOptions tune a Consumer. The zero value of each field, and nil options, are right for production.
type ConsumerOptions struct {
	// ConsumerGroup is the consumer group. "" means "$Default".
	ConsumerGroup string
	// Start says where reading begins in partitions without a checkpoint: [Earliest], [Latest], [Since], or a position for
	// each partition. The zero value means the earliest event, so that none is missed; that also goes for each position in
	// it that is zero.
	Start azeventhubs.StartPositions
	// MaxBatch is how many events are taken from the SDK at once, and the most that a BatchHandler gets. 0 means 100.
	MaxBatch int
	// Prefetch is how many events of each partition the SDK reads ahead. 0 means 300; negative means none; 5,000 is the
	// most. They are kept in memory, whatever their size: 120 events of 1 MB in each of two partitions took 233 MB.
	Prefetch int32
	// CheckpointInterval is the least time between two checkpoints of a partition, and the longest time that an event that
	// was processed waits for one. If none was written for that long, as after the partition was taken, the first event is
	// covered within about a second. 0 means 10 seconds. Each checkpoint is a write to storage that costs money.
	CheckpointInterval time.Duration
	// CheckpointCount has a checkpoint written as soon as that many events of a partition are processed and not covered,
	// whatever CheckpointInterval says. 0 means no limit.
	CheckpointCount int
	// DrainTimeout is how long running handlers get when Receive has to end, or another consumer asks for the partition.
	// Then their contexts are cancelled. 0 means 30 seconds; negative means at once. A handler that doesn't look at its
	// context is waited for all the same. After the handlers, the last checkpoints and the release of the partitions take
	// at most 5 seconds more. So a process that is told to stop needs DrainTimeout and 5 seconds; give it a little more
	// than that.
	DrainTimeout time.Duration
	// Unreadable decides about an event that can't be decoded: one with a value of a type that the AMQP library underneath
	// doesn't know, such as the decimals of .NET. Nil as its answer skips that one event. An error, or a nil Unreadable,
	// has it tried again, with a pause of up to 30 seconds, and its partition waits; an ERROR in the log names it. err
	// says what is wrong. It is called by the goroutine of the partition, once a try.
	Unreadable func(partitionID string, sequenceNumber int64, err error) error
	// LagInterval is how often the service is asked, for each partition, where it ends, for [PartitionStatus].Lag. That is
	// one request a partition and interval. 0 means never: Lag is nil then.
	LagInterval time.Duration
	// Backoff says how long to wait before a handler gets an event again that it has failed with; attempt is how often it
	// has failed. A negative duration gives up: the error then counts as Stop(err). Nil means 100 ms, doubling up to 30 s,
	// give or take a quarter, without end.
	Backoff func(attempt int, err error) time.Duration
	// Balance is how partitions are shared between the consumers of a group. "" means greedy: each takes its share at
	// once.
	Balance azeventhubs.ProcessorStrategy
	// UpdateInterval is the time between two looks at who owns which partition. 0 means 10 seconds.
	UpdateInterval time.Duration
	// ExpirationInterval is how long after its last sign of life the partitions of a consumer are free for others to take.
	// 0 means 60 seconds.
	ExpirationInterval time.Duration
	// InstanceID names this consumer in ownership records and in the service's errors. It has to be unique among running
	// consumers. "" means a new UUID.
	InstanceID string
}

// What zero means in ConsumerOptions.
const (
	defaultMaxBatch           = 100
	defaultCheckpointInterval = 10 * time.Second
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
	out.ConsumerGroup, out.InstanceID = signin.Pasted(out.ConsumerGroup), signin.Pasted(out.InstanceID)
	if err := signin.CheckGroup(out.ConsumerGroup); err != nil {
		return out, fmt.Errorf("eventhubs: options: %w", err)
	}
	setDefault(&out.ConsumerGroup, azeventhubs.DefaultConsumerGroup)
	setDefault(&out.MaxBatch, defaultMaxBatch)
	setDefault(&out.CheckpointInterval, defaultCheckpointInterval)
	setDefault(&out.DrainTimeout, defaultDrainTimeout)
	setDefault(&out.UpdateInterval, defaultUpdateInterval)
	setDefault(&out.ExpirationInterval, defaultExpiration)
	setDefault(&out.Balance, azeventhubs.ProcessorStrategyGreedy)
	if out.Backoff == nil {
		out.Backoff = func(attempt int, _ error) time.Duration { return retry.Backoff(attempt) }
	}
	switch {
	case out.MaxBatch < 0:
		return out, fmt.Errorf("eventhubs: options: MaxBatch is %d: it has to be positive", out.MaxBatch)
	case out.Prefetch > maxPrefetch:
		return out, fmt.Errorf("eventhubs: options: Prefetch is %d: the most is %d", out.Prefetch, maxPrefetch)
	case out.CheckpointInterval < 0 || out.CheckpointCount < 0 || out.LagInterval < 0:
		return out, errors.New("eventhubs: options: CheckpointInterval, CheckpointCount and LagInterval must not be negative")
	case out.UpdateInterval < 0 || out.ExpirationInterval <= out.UpdateInterval:
		return out, fmt.Errorf("eventhubs: options: ExpirationInterval (%v) has to be longer than UpdateInterval (%v), "+
			"or consumers lose partitions that they are reading", out.ExpirationInterval, out.UpdateInterval)
	case out.Balance != azeventhubs.ProcessorStrategyGreedy && out.Balance != azeventhubs.ProcessorStrategyBalanced:
		return out, fmt.Errorf("eventhubs: options: Balance is %q: use azeventhubs.ProcessorStrategyGreedy or "+
			"ProcessorStrategyBalanced", out.Balance)
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

// Earliest starts partitions without a checkpoint at their earliest event.
func Earliest() azeventhubs.StartPositions {
	yes := true
	return azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: &yes}}
}

// Latest starts partitions without a checkpoint after the event that is their latest when they are first taken.
func Latest() azeventhubs.StartPositions {
	yes := true
	return azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Latest: &yes}}
}

// Since starts partitions without a checkpoint at the first event that the service has stored at t, to the millisecond,
// or later.
func Since(t time.Time) azeventhubs.StartPositions {
	return azeventhubs.StartPositions{Default: azeventhubs.StartPosition{EnqueuedTime: &t, Inclusive: true}}
}

// earliestByDefault replaces positions that say nothing, which the SDK takes for the latest event (partition_client.go,
// getStartExpression).
func earliestByDefault(p azeventhubs.StartPositions) (azeventhubs.StartPositions, error) {
	out := azeventhubs.StartPositions{PerPartition: map[string]azeventhubs.StartPosition{}}
	var ok bool
	if out.Default, ok = earliestIfZero(p.Default); !ok {
		return out, errors.New("eventhubs: options: Start: " + onePosition)
	}
	for id, s := range p.PerPartition {
		if out.PerPartition[id], ok = earliestIfZero(s); !ok {
			return out, fmt.Errorf("eventhubs: options: Start of partition %q: "+onePosition, id)
		}
	}
	return out, nil
}

const onePosition = "set one of Earliest, Latest, Offset, SequenceNumber and EnqueuedTime"

// earliestIfZero reports with ok whether the position says no more than one thing.
func earliestIfZero(s azeventhubs.StartPosition) (_ azeventhubs.StartPosition, ok bool) {
	said := 0
	for _, set := range []bool{
		s.Earliest != nil && *s.Earliest, s.Latest != nil && *s.Latest,
		s.Offset != nil, s.SequenceNumber != nil, s.EnqueuedTime != nil,
	} {
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

// Stop marks a handler's error as permanent: Receive finishes what is running, writes checkpoints up to the event
// before, and returns a [HandlerError] with it. Stop(nil) is a Stop without a reason.
func Stop(err error) error { return &stopError{err} }

type stopError struct{ err error }

func (e *stopError) Error() string {
	if e.err == nil {
		return "stopped by the handler"
	}
	return e.err.Error()
}
func (e *stopError) Unwrap() error { return e.err }

// HandlerError is what Receive returns when a handler has ended it: with Stop, by giving up in Backoff, or with a
// panic.
type HandlerError struct {
	PartitionID    string
	SequenceNumber int64  // of the event, or the first event of the batch
	Err            error  // what the handler has returned; nil after a panic
	Panic          any    // what it has panicked with; nil otherwise
	Stack          []byte // where it has panicked
}

// Error leaves out the stack: log it beside the error.
func (e *HandlerError) Error() string {
	at := fmt.Sprintf("eventhubs: receive: handler of partition %s at sequence number %d", e.PartitionID, e.SequenceNumber)
	switch err, ok := e.Panic.(error); {
	case e.Err != nil:
		return fmt.Sprintf("%s: %v", at, withoutPrefix(e.Err))
	case ok:
		return fmt.Sprintf("%s panicked: %v", at, withoutPrefix(err))
	}
	return fmt.Sprintf("%s panicked: %v", at, e.Panic)
}

// Unwrap returns Err, or what the handler has panicked with, if that is an error.
func (e *HandlerError) Unwrap() error {
	if err, ok := e.Panic.(error); ok && e.Err == nil {
		return err
	}
	return e.Err
}

// Consumer receives events of one event hub for one consumer group. It is safe for concurrent use. Close it when it is
// no longer wanted. It has a connection for questions to the service, and one for each partition that it reads: what
// befalls one partition's connection befalls no other.
type Consumer struct {
	target    target
	opts      ConsumerOptions
	store     CheckpointStore
	client    *azeventhubs.ConsumerClient // the user's
	dialer    *dial.Dialer                // of its connection
	questions *receive.Questions

	currentMu sync.Mutex
	closed    bool
	current   *receiving // the call of Receive or ReceiveBatch that is running
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
	if c.client, c.dialer, err = t.newConsumerClient(o.ConsumerGroup, o.InstanceID, t.cfg.Retry); err != nil {
		return nil, fmt.Errorf("eventhubs: make a consumer for %s: %w", c.entity(), withoutPrefix(err))
	}
	c.questions = receive.NewQuestions(func() (*azeventhubs.ConsumerClient, *dial.Dialer, error) {
		return t.newConsumerClient(o.ConsumerGroup, c.client.InstanceID(), t.cfg.Retry)
	})
	return c, nil
}

// Client is a client of the SDK for the same event hub and consumer group, for all that this package doesn't do. It
// connects when it is first used, with a connection of its own. Close closes it.
func (c *Consumer) Client() *azeventhubs.ConsumerClient { return c.client }

// Format describes the Consumer without its Config's secrets, whatever the verb.
func (c *Consumer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.Consumer(%s, consumer group %s)", c.target.cfg, c.opts.ConsumerGroup)
}

// entity names what is read in errors.
func (c *Consumer) entity() string { return c.target.cfg.EventHub + "/" + c.opts.ConsumerGroup }

// Receive calls the handler for each event, until ctx ends. It shares the partitions with all other consumers of the
// group, and blocks.
//
// When ctx ends it stops fetching, waits for running handlers (see ConsumerOptions.DrainTimeout), writes the last
// checkpoints, gives its partitions back for others to take at once, and returns nil. It returns an error when a
// handler ends it (a [HandlerError]), or when it can't work: not authorized, no such event hub or consumer group, and,
// before a first success, when the namespace can't be reached. Receive retries transient failures, such as a lost
// connection, a busy service, or storage that is down, until they clear, and logs them. A right or a name that is
// refused after it has worked is retried for a minute.
//
// Only one call of Receive or ReceiveBatch can run at a time. It may be called again after it has returned.
func (c *Consumer) Receive(ctx context.Context, h Handler) error {
	if h == nil {
		return errors.New("eventhubs: receive: the handler is nil")
	}
	return c.receive(ctx, 1, func(ctx context.Context, events []*ReceivedEvent) error { return h(ctx, events[0]) })
}

// ReceiveBatch is Receive for handlers that process several events of one partition at once. It doesn't wait for more
// events: a batch is what is there.
func (c *Consumer) ReceiveBatch(ctx context.Context, h BatchHandler) error {
	if h == nil {
		return errors.New("eventhubs: receive: the handler is nil")
	}
	return c.receive(ctx, c.opts.MaxBatch, h)
}

// Close stops a running Receive as the end of its context does, waits for it, and closes all connections. If ctx ends
// first, Receive ends too: its handlers' contexts are cancelled, and no more checkpoints are written. Close may be
// called at any time, and more than once, but not by a handler, which it would wait for.
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
		return err
	}
	defer c.end(r)
	err := r.engine.Run()
	var failure *receive.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failure):
		return &HandlerError{
			PartitionID: failure.Partition, SequenceNumber: failure.Sequence,
			Err: failure.Err, Panic: failure.Panic, Stack: failure.Stack,
		}
	}
	return err
}

// engine makes the engine of one call of Receive.
func (c *Consumer) engine(ctx context.Context, unit int, h BatchHandler) *receive.Engine {
	t, o := c.target, c.opts
	from := &origin{t.cfg.EventHub, o.ConsumerGroup}
	noRetry := azeventhubs.RetryOptions{MaxRetries: -1} // a reader retries by itself
	return receive.New(ctx, receive.Options{
		NewClient: func() (*azeventhubs.ConsumerClient, *dial.Dialer, error) {
			return t.newConsumerClient(o.ConsumerGroup, c.client.InstanceID(), noRetry)
		},
		Questions: c.questions, Store: engineStore(c.store),
		Namespace: t.cfg.Namespace, EventHub: t.cfg.EventHub, ConsumerGroup: o.ConsumerGroup,
		InstanceID: c.client.InstanceID(),
		Start:      o.Start, MaxBatch: o.MaxBatch, Unit: unit, Prefetch: o.Prefetch,
		CheckpointInterval: o.CheckpointInterval, CheckpointCount: o.CheckpointCount, DrainTimeout: o.DrainTimeout,
		Strategy: o.Balance, UpdateInterval: o.UpdateInterval, Expiration: o.ExpirationInterval,
		StallAfter: stallAfter, LagInterval: o.LagInterval, Backoff: o.Backoff, Unreadable: o.Unreadable,
		NewHandler: func() receive.Handler { return &unitHandler{handle: h, from: from} },
		Permanent:  isStop, ErrLost: ErrOwnershipLost, ErrDraining: ErrDraining,
		Explain: func(on string, err error) error { return t.explain(sdkerr.Receive, on, err) },
		Logger:  t.cfg.Logger.With("event_hub", t.cfg.EventHub, "group", o.ConsumerGroup, "owner", c.client.InstanceID()),
	})
}

// begin makes r the one call that may run.
func (c *Consumer) begin(r *receiving) error {
	c.currentMu.Lock()
	defer c.currentMu.Unlock()
	switch {
	case c.closed:
		return &publicError{fmt.Errorf("receive %s: the consumer is closed", c.entity()), ErrClosed}
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
	pointers []*ReceivedEvent
}

// Fill makes events of what was read. The handler may keep them, but not the slice that it is given.
func (u *unitHandler) Fill(partition string, events []*azeventhubs.ReceivedEventData) {
	clear(u.pointers)
	all := make([]ReceivedEvent, len(events))
	u.pointers = u.pointers[:0]
	for i, e := range events {
		all[i] = ReceivedEvent{ReceivedEventData: e, PartitionID: partition, from: u.from}
		u.pointers = append(u.pointers, &all[i])
	}
}

// Handle calls the handler with a part of the events.
func (u *unitHandler) Handle(ctx context.Context, from, to, attempt int) error {
	unit := u.pointers[from:to:to]
	for _, e := range unit {
		e.Attempt = attempt
	}
	return u.handle(ctx, unit)
}

func isStop(err error) bool {
	var stop *stopError
	return errors.As(err, &stop)
}

// stallAfter is how long a handler may run before it is reported as stalled; and again after twice that time, four
// times, and so on.
const stallAfter = 30 * time.Second
