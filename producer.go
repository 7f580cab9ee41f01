package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// Event is one event to send. The zero value of each field means that the event has none.
type Event struct {
	Body []byte
	// PartitionKey has all events with the same key go to one partition, which the service chooses.
	PartitionKey string
	// PartitionID has the event go to one partition. Not both: an event that has a PartitionKey too is refused.
	PartitionID string
	// Properties are application properties: strings, booleans, numbers, time.Time, []byte and the like, but no nested maps.
	Properties  map[string]any
	ContentType string
	// MessageID identifies the event to those who read it. If it is empty, Send makes up a UUID. The service doesn't look at it.
	MessageID string
	// CorrelationID is a string, a []byte, a uint64 or a go-amqp UUID.
	CorrelationID any
}

// ErrEventTooLarge is what Send fails with when an event is too large for the service; see [EventTooLargeError].
var ErrEventTooLarge = errors.New("the event is too large")

// EventTooLargeError says which event is too large. It matches ErrEventTooLarge. No event of that call was sent.
type EventTooLargeError struct {
	Index int   // in the arguments of Send
	Size  int   // bytes of the encoded event
	Limit int64 // bytes that the service takes in one message, its envelope included; 0 if it isn't known
}

func (e *EventTooLargeError) Error() string {
	limit := "the limit"
	if e.Limit > 0 {
		limit = fmt.Sprintf("the limit of %d bytes", e.Limit)
	}
	return fmt.Sprintf("eventhubs: send: event %d has %d bytes, over %s for one event with its envelope: nothing was sent: split it, or store the payload elsewhere and send a reference", e.Index, e.Size, limit)
}

// Unwrap makes the error match ErrEventTooLarge.
func (e *EventTooLargeError) Unwrap() error { return ErrEventTooLarge }

// SendError says which events were not acknowledged. Those that were on their way may have been stored all the same: sent again, they may be there twice.
type SendError struct {
	// Unsent lists them by their index in the arguments of Send, in ascending order.
	Unsent []int
	// Err is why, for the first of them.
	Err error
}

func (e *SendError) Error() string {
	return fmt.Sprintf("%v (%d events not acknowledged)", e.Err, len(e.Unsent))
}

func (e *SendError) Unwrap() error { return e.Err }

// ProducerOptions are for things to come. Nil is right.
type ProducerOptions struct{}

// Producer sends events to one event hub. It is safe for concurrent use: calls of Send that run at the same time share batches. Close it when it is no longer wanted.
type Producer struct {
	target       target
	cfg          Config // the target's
	client       *azeventhubs.ProducerClient
	dialer       *dial.Dialer // of its connection
	batchTimeout time.Duration

	sending context.Context // ends with Close
	close   context.CancelFunc
	senders sync.WaitGroup
	budget  budget
	reached atomic.Bool // a link was opened: name, rights and address are right

	mu       sync.Mutex
	outboxes map[destination]*outbox
	known    map[string]bool // partitions that are there
}

const (
	// inFlightBytes bounds what a Producer has on its way, by the events' own measure; then Send waits.
	inFlightBytes = 16 << 20
	// batchTimeout is how long the service may take to answer for a batch, beside the waits of Config.Retry. Then the batch is sent again. Microsoft's other SDKs wait for 60 seconds.
	batchTimeout = 30 * time.Second
	// sendPatience is how long a batch is tried again once the SDK has given up, while somebody waits for it.
	sendPatience = time.Minute
)

// NewProducer checks the Config and returns a Producer. It does not connect: the first Send does.
func NewProducer(cfg Config, _ *ProducerOptions) (*Producer, error) {
	t, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	cfg = t.cfg
	p := &Producer{target: t, cfg: cfg, batchTimeout: t.batchTimeout(), budget: budget{free: inFlightBytes}, outboxes: map[destination]*outbox{}, known: map[string]bool{}}
	if p.client, p.dialer, err = t.newProducerClient(cfg.Retry); err != nil {
		return nil, fmt.Errorf("eventhubs: make a producer for %s: %w", cfg.EventHub, withoutPrefix(err))
	}
	p.sending, p.close = context.WithCancel(context.Background())
	return p, nil
}

// errNoAnswer is what a batch fails with that the service has not answered for. It may have been stored.
var errNoAnswer = errors.New("the service has not answered in time")

// batchTimeout is the bound of one call of the SDK that sends: batchTimeout, and all waits between its tries (azeventhubs, internal/utils/retrier.go, calcDelay).
func (t target) batchTimeout() time.Duration {
	if t.timeouts.batch > 0 {
		return t.timeouts.batch
	}
	o := t.cfg.Retry
	setDefault(&o.MaxRetries, 3)
	setDefault(&o.RetryDelay, 4*time.Second)
	setDefault(&o.MaxRetryDelay, 2*time.Minute)
	d := batchTimeout
	for try := range min(max(o.MaxRetries, 0), 20) {
		d += min(max(o.RetryDelay, 0)*(1<<(try+1)-1), max(o.MaxRetryDelay, 0)) * 13 / 10
	}
	return d
}

// Client is the SDK's client underneath, for all that this package doesn't do. Closing it breaks the Producer.
func (p *Producer) Client() *azeventhubs.ProducerClient { return p.client }

// Format describes the Producer without its Config's secrets, whatever the verb.
func (p *Producer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.Producer(%s)", p.cfg)
}

// Close closes the connection. Calls of Send that are under way fail, and so do later ones. It may be called more than once.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.close() // under the lock, so that no sender starts after this
	p.mu.Unlock()
	p.senders.Wait()
	if err := p.client.Close(ctx); err != nil {
		return fmt.Errorf("eventhubs: close the producer for %s: %w", p.cfg.EventHub, err)
	}
	return nil
}

// Send sends events, and returns nil once the service has accepted every one of them; with none it does nothing.
// Events with the same PartitionKey or PartitionID keep their order, in this call and over calls that one goroutine makes in turn.
//
// Calls that run at the same time share batches: what comes in while a batch is on its way fills the next one. Nothing is held back to wait for more. When very
// much is on its way, Send waits for room.
//
// An event that can't be sent at all (EventTooLargeError, a key and a partition id, properties that can't be encoded) fails the call
// before anything is sent. A failure after that is a [SendError], which lists the events that were not acknowledged. When ctx ends, Send
// returns at once; what is in a batch by then is sent, and the outcome is unknown. Connections that drop and a service that is busy are sat out,
// for a minute at the most. The events belong to Send until it returns.
func (p *Producer) Send(ctx context.Context, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := p.check(ctx, events); err != nil {
		return err
	}
	c := newCall(p, events)
	c.enqueue(ctx)
	return c.wait(ctx)
}

// try does one step of sending, again and again while it fails for what may pass and somebody waits for it.
func (p *Producer) try(wanted func() bool, step func() error) error {
	began := time.Now()
	for attempt := 1; ; attempt++ {
		err := step()
		if err == nil {
			p.reached.Store(true)
			return nil
		}
		if p.sending.Err() != nil {
			return p.explainSend(errProducerClosed)
		}
		renews := sdkerr.IsUnauthorized(err) && attempt == 1 // a token may have run out while a link was opened
		if !isTransient(err) && !renews || !p.reached.Load() || time.Since(began) > sendPatience || !wanted() {
			return p.explainSend(err)
		}
		wait := retry.Backoff(attempt)
		if retry.Worth(attempt) {
			p.cfg.Logger.Warn("eventhubs: sending fails, and is tried again", "event_hub", p.cfg.EventHub, "attempt", attempt, "again_in", wait, "error", err)
		}
		if !retry.Sleep(p.sending, wait) {
			return p.explainSend(errProducerClosed)
		}
	}
}

// isTransient reports whether an error of sending may pass by itself: a connection that was lost, or a service that is busy.
func isTransient(err error) bool {
	var sdk *azeventhubs.Error
	return errors.Is(err, errNoAnswer) || errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeConnectionLost || sdkerr.IsBusy(err)
}

func (p *Producer) explainSend(err error) error {
	return p.target.explain(sdkerr.Send, p.cfg.EventHub, err)
}
