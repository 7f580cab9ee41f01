package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
	"github.com/go-eventhubs/eventhubs/internal/send"
)

// Errors that a Producer, a Consumer and a checkpoint store return, for errors.Is. The error's text says more.
var (
	// ErrClosed is returned by calls of a client that is closed, also by those that are under way when it is closed.
	ErrClosed = connection.ErrClosed
	// ErrNotAuthorized means that the namespace or the storage account does not allow it: somebody has to give this
	// identity a role, or fix a key. It is not matched if no token can be had.
	ErrNotAuthorized = errors.New("not authorized")
	// ErrNotFound means that there is no such event hub, consumer group, partition or container: somebody has to fix a
	// name.
	ErrNotFound = errors.New("not found")
)

// SendError says which events were not acknowledged. Those that were on their way may have been stored all the same:
// sent again, they may be there twice.
type SendError struct {
	// Unacknowledged lists them by their index in the arguments of Send, in ascending order.
	Unacknowledged []int
	// Err is why, for the first of them.
	Err error
}

func (e *SendError) Error() string {
	return fmt.Sprintf("%v (%d events not acknowledged)", e.Err, len(e.Unacknowledged))
}

// Unwrap returns Err.
func (e *SendError) Unwrap() error { return e.Err }

// ProducerOptions are what a Producer may use and how patient it is. The zero value is right for most programs.
type ProducerOptions struct {
	// MaxInFlight is how many bytes may be on their way. Send waits for room when there is more; one connection gets
	// three quarters of it at the most. An event counts with its size, doubled for all but the body, and half a KB. 0
	// means 16 MiB.
	MaxInFlight int
	// AnswerTimeout is how long the service may take to answer for a batch. Then its connection is given up, and the batch
	// is sent again over a new one. 0 means 30 seconds.
	AnswerTimeout time.Duration
	// RetryFor is how long Send tries again what may pass by itself: lost connections, a busy service, answers that don't
	// come, and authorization that fails after it has worked. The last try can take AnswerTimeout longer, and 30 seconds
	// to open a connection. 0 means a minute.
	RetryFor time.Duration
}

// Defaults of ProducerOptions.
const (
	defaultMaxInFlight   = 16 << 20
	defaultAnswerTimeout = 30 * time.Second // Microsoft's other SDKs wait for 60
	defaultRetryFor      = time.Minute
)

func (o ProducerOptions) withDefaults() (ProducerOptions, error) {
	switch {
	case o.MaxInFlight < 0:
		return o, fmt.Errorf("eventhubs: producer: MaxInFlight is %d: it must not be negative", o.MaxInFlight)
	case o.AnswerTimeout < 0:
		return o, fmt.Errorf("eventhubs: producer: AnswerTimeout is %v: it must not be negative", o.AnswerTimeout)
	case o.RetryFor < 0:
		return o, fmt.Errorf("eventhubs: producer: RetryFor is %v: it must not be negative", o.RetryFor)
	}
	setDefault(&o.MaxInFlight, defaultMaxInFlight)
	setDefault(&o.AnswerTimeout, defaultAnswerTimeout)
	setDefault(&o.RetryFor, defaultRetryFor)
	return o, nil
}

// Producer sends events to one event hub. It is safe for concurrent use: calls of Send that run at the same time share
// batches. Close it when it is no longer needed.
//
// It has a connection for events that are for no particular partition, and one for each partition that events name.
type Producer struct {
	target target
	engine *send.Engine
	client *azeventhubs.ProducerClient // for the user
	dialer *dial.Dialer                // of its connection
}

// NewProducer checks the Config and the options, which may be nil, and returns a Producer. It does not connect: the
// first Send does.
func NewProducer(cfg Config, o *ProducerOptions) (*Producer, error) {
	t, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	if o == nil {
		o = &ProducerOptions{}
	}
	options, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Producer{target: t}
	if p.client, p.dialer, err = t.newProducerClient(t.cfg.Retry); err != nil {
		return nil, fmt.Errorf("eventhubs: make a producer for %s: %w", t.cfg.EventHub, withoutPrefix(err))
	}
	p.engine = send.New(send.Options{
		New: func() (*azeventhubs.ProducerClient, *dial.Dialer, error) {
			return t.newProducerClient(azeventhubs.RetryOptions{MaxRetries: -1}) // the engine does it
		},
		EventHub: t.cfg.EventHub, Room: options.MaxInFlight,
		AnswerTimeout: options.AnswerTimeout, RetryFor: options.RetryFor, Retry: t.cfg.Retry,
		Logger: t.cfg.Logger, Explain: t.explainSend,
	})
	return p, nil
}

func (t target) explainSend(err error) error { return t.explain(sdkerr.Send, t.cfg.EventHub, err) }

// Client is a client of the SDK, for all that this package doesn't do. Its connection is its own, and is made when it
// is first used. Close closes it.
func (p *Producer) Client() *azeventhubs.ProducerClient { return p.client }

// Format describes the Producer without its Config's secrets, whatever the verb.
func (p *Producer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.Producer(%s)", p.target.cfg)
}

// Send sends events, and returns nil once the service has accepted every one of them; with none it does nothing.
// Events with the same PartitionKey or PartitionID keep their order, in this call and over calls that one goroutine
// makes in turn.
//
// Calls that run at the same time share batches: what comes in while a batch is on its way fills the next one. Nothing
// is held back to wait for more. When very much is on its way, Send waits for room (ProducerOptions.MaxInFlight).
//
// What can't be sent at all fails the call before anything is sent: an event that is too large ([EventTooLargeError]),
// has both a key and a partition, or can't be encoded; a partition that doesn't exist. A failure after that is a
// [SendError], which lists the events that were not acknowledged. Any other error means that nothing was sent.
//
// What may pass by itself is tried again for ProducerOptions.RetryFor; while no connection was ever made, as often as
// Config.Retry says. When ctx ends, Send returns at once. Events in a batch that is on its way by then may be stored,
// and the others are not sent. The events belong to Send until it returns.
func (p *Producer) Send(ctx context.Context, events ...Event) error {
	for i := range events {
		if err := events[i].check(); err != nil {
			return fmt.Errorf("eventhubs: send: event %d %w: nothing was sent", i, err)
		}
	}
	// Copies, so that the arguments are on the stack of most callers.
	var out send.Events
	if len(events) == 1 {
		out = &single{event: events[0]}
	} else {
		out = outgoing(slices.Clone(events))
	}
	if err := p.engine.Send(ctx, out); err != nil {
		return p.target.sendError(err)
	}
	return nil
}

// Close closes the connections. Calls of Send that are under way fail with ErrClosed, and so do later ones. It returns
// when everything is closed: within 5 seconds, unless a credential has not answered yet. When ctx ends, it returns
// earlier, with the cause, and the rest is cut off. It may be called more than once.
func (p *Producer) Close(ctx context.Context) error {
	defer context.AfterFunc(ctx, p.dialer.Close)() // the SDK waits for answers of the service
	err := p.engine.Close(ctx)
	if cerr := p.client.Close(ctx); err == nil {
		err = cerr
	}
	p.dialer.Close()
	if err != nil {
		return fmt.Errorf("eventhubs: close the producer for %s: %w", p.target.cfg.EventHub, err)
	}
	return nil
}
