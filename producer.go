package eventhubs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/event"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
	"github.com/go-eventhubs/eventhubs/internal/send"
	"github.com/go-eventhubs/eventhubs/internal/target"
)

// Errors of producers, consumers and checkpoint stores, for errors.Is. The error's text says more.
var (
	// ErrClosed is returned by calls of a closed client, and by calls that are running when it is closed.
	ErrClosed = connection.ErrClosed
	// ErrNotAuthorized means that the namespace or the storage account refuses access: this identity needs a role, or a
	// key is wrong. A failure to get a token does not match it.
	ErrNotAuthorized = sdkerr.ErrNotAuthorized
	// ErrNotFound means that there is no such event hub, consumer group, partition or container: a name is wrong.
	ErrNotFound = sdkerr.ErrNotFound
)

// ProducerOptions limit what a Producer uses and how long it waits. The zero value of each field, and nil options, are
// right for most programs.
type ProducerOptions struct {
	// MaxInFlight limits the bytes that are being sent; beyond it, Send waits. One connection gets at most three quarters
	// of it. An event counts its body once, everything else twice, and 512 bytes. 0 means 16 MiB.
	MaxInFlight int
	// AnswerTimeout is how long the service may take to acknowledge a batch. After that the connection is given up, and
	// the batch is sent again over a new one. 0 means 30 seconds.
	AnswerTimeout time.Duration
	// RetryFor is how long Send retries transient failures: lost connections, a busy service, missing answers, and
	// authorization that fails after it has worked. The last try can take AnswerTimeout longer, plus 30 seconds to open a
	// connection. 0 means a minute.
	RetryFor time.Duration
}

// Defaults of ProducerOptions.
const (
	defaultMaxInFlight   = 16 << 20
	defaultAnswerTimeout = 30 * time.Second // Microsoft's other SDKs wait for 60
	defaultRetryFor      = time.Minute
)

func (o *ProducerOptions) withDefaults() (ProducerOptions, error) {
	out := ProducerOptions{}
	if o != nil {
		out = *o
	}
	switch {
	case out.MaxInFlight < 0:
		return out, fmt.Errorf("eventhubs: producer: MaxInFlight is %d: it must not be negative", out.MaxInFlight)
	case out.AnswerTimeout < 0:
		return out, fmt.Errorf("eventhubs: producer: AnswerTimeout is %v: it must not be negative", out.AnswerTimeout)
	case out.RetryFor < 0:
		return out, fmt.Errorf("eventhubs: producer: RetryFor is %v: it must not be negative", out.RetryFor)
	}
	out.MaxInFlight = cmp.Or(out.MaxInFlight, defaultMaxInFlight)
	out.AnswerTimeout = cmp.Or(out.AnswerTimeout, defaultAnswerTimeout)
	out.RetryFor = cmp.Or(out.RetryFor, defaultRetryFor)
	return out, nil
}

// Producer sends events to one event hub. It is safe for concurrent use: calls of Send that run at the same time share
// batches. Close it when it is no longer needed.
//
// It has one connection for events without a PartitionID, and one for each partition that events name.
type Producer struct {
	target target.Target
	engine *send.Engine
	client *azeventhubs.ProducerClient // the user's
	dialer *dial.Dialer                // of the user's client
}

// NewProducer checks the Config and the options, which may be nil, and returns a Producer. It does not connect: the
// first Send does.
func NewProducer(cfg Config, opts *ProducerOptions) (*Producer, error) {
	t, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Producer{target: t}
	if p.client, p.dialer, err = t.NewProducerClient(t.Config.Retry); err != nil {
		return nil, fmt.Errorf("eventhubs: make a producer for %s: %w", t.Config.EventHub, err)
	}
	p.engine = send.New(send.Options{
		New: func() (*azeventhubs.ProducerClient, *dial.Dialer, error) {
			return t.NewProducerClient(azeventhubs.RetryOptions{MaxRetries: -1}) // the engine retries
		},
		EventHub: t.Config.EventHub, Room: o.MaxInFlight,
		AnswerTimeout: o.AnswerTimeout, RetryFor: o.RetryFor, Retry: t.Config.Retry,
		Logger: t.Config.Logger, Explain: p.explain,
	})
	return p, nil
}

func (p *Producer) explain(err error) error {
	return p.target.Explain(sdkerr.Send, p.target.Config.EventHub, err)
}

// Client returns a client of the SDK, for what this package does not do. It has a connection of its own, which is made
// when it is first used. Close closes it.
func (p *Producer) Client() *azeventhubs.ProducerClient { return p.client }

// Format describes the Producer without its secrets, whatever the verb.
func (p *Producer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "eventhubs.Producer(%s)", p.target.Config)
}

// Send sends events. It returns nil once the service has accepted every one of them. Events with the same PartitionKey
// or PartitionID keep their order, within a call and across calls that one goroutine makes in turn.
//
// Calls that run at the same time share batches: what arrives while a batch is being sent fills the next one. No event
// waits for a batch to fill. When ProducerOptions.MaxInFlight is reached, Send waits.
//
// If an event cannot be sent at all, Send fails before it sends anything: an event that is too large
// ([EventTooLargeError]), has both a key and a partition, cannot be encoded, or names a partition that does not exist.
// A later failure is a [SendError], which lists the events that were not acknowledged. Any other error means that
// nothing was sent.
//
// Transient failures are retried for ProducerOptions.RetryFor, or, until a first connection has been made, as often as
// Config.Retry says. When ctx ends, Send returns at once: events in a batch that is already being sent may be stored;
// the others are not sent. Do not change the events until Send returns.
func (p *Producer) Send(ctx context.Context, events ...Event) error {
	out, err := outgoing(events)
	if err != nil {
		return err
	}
	if err := p.engine.Send(ctx, out); err != nil {
		return p.sendError(err)
	}
	return nil
}

// outgoing checks the events and copies them, so that the arguments of most callers stay on their stacks.
func outgoing(events []Event) (send.Events, error) {
	if len(events) == 1 {
		one := &event.Single{Event: events[0].fields()}
		return one, check(0, &one.Event)
	}
	many := make(event.Many, len(events))
	for i := range events {
		many[i] = events[i].fields()
		if err := check(i, &many[i]); err != nil {
			return nil, err
		}
	}
	return many, nil
}

func check(i int, e *event.Event) error {
	if err := e.Check(); err != nil {
		return fmt.Errorf("eventhubs: send: event %d %w: nothing was sent", i, err)
	}
	return nil
}

// SendError says which events were not acknowledged. Those that were being sent may have been stored all the same: if
// they are sent again, they may be stored twice.
type SendError struct {
	// Unacknowledged lists them by their index in the arguments of Send, in ascending order.
	Unacknowledged []int
	// Err is the reason for the first of them.
	Err error
}

func (e *SendError) Error() string {
	return fmt.Sprintf("%v (%d events not acknowledged)", e.Err, len(e.Unacknowledged))
}

// Unwrap returns Err.
func (e *SendError) Unwrap() error { return e.Err }

// sendError turns an error of the engine into one of this package.
func (p *Producer) sendError(err error) error {
	var failed *send.Error
	var tooLarge *send.TooLargeError
	var bad *send.EncodeError
	var abandoned *send.AbandonedError
	switch {
	case errors.As(err, &failed):
		return &SendError{Unacknowledged: failed.Unacknowledged, Err: p.sendError(failed.Err)}
	case errors.As(err, &tooLarge):
		return &EventTooLargeError{Index: tooLarge.Index, Size: tooLarge.Size, Limit: tooLarge.Limit}
	case errors.As(err, &bad):
		return fmt.Errorf("eventhubs: send: %w", bad)
	case errors.As(err, &abandoned) && abandoned.Last != nil:
		return fmt.Errorf("%w: %w", p.explain(abandoned.Last), abandoned)
	}
	return p.explain(err)
}

// Close closes all connections. Calls of Send that are running fail with ErrClosed, and so do later ones. Close returns
// when everything is closed: within 5 seconds, unless a credential or DialContext does not return. When ctx ends, it
// cuts off the rest and returns ctx's cause. It may be called more than once.
func (p *Producer) Close(ctx context.Context) error {
	defer context.AfterFunc(ctx, p.dialer.Close)() // the SDK waits for answers of the service
	err := p.engine.Close(ctx)
	if cerr := p.client.Close(ctx); err == nil {
		err = cerr
	}
	p.dialer.Close()
	if err != nil {
		return fmt.Errorf("eventhubs: close the producer for %s: %w", p.target.Config.EventHub, err)
	}
	return nil
}
