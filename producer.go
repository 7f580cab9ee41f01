package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
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
	// MessageID identifies the event to those who read it. The SDK makes one up if it is empty. The service doesn't look at it.
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

// SendError says which events were not acknowledged. Whether the service has stored them is then unknown.
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

// Producer sends events to one event hub. It is safe for concurrent use. Close it when it is no longer wanted.
type Producer struct {
	cfg    Config
	client *azeventhubs.ProducerClient
}

// NewProducer checks the Config and returns a Producer. It does not connect: the first Send does.
func NewProducer(cfg Config, _ *ProducerOptions) (*Producer, error) {
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	options := &azeventhubs.ProducerClientOptions{
		ApplicationID: cfg.ApplicationID, CustomEndpoint: cfg.Endpoint, RetryOptions: cfg.Retry, TLSConfig: cfg.TLSConfig,
	}
	p := &Producer{cfg: cfg}
	if cfg.ConnectionString != "" {
		p.client, err = azeventhubs.NewProducerClientFromConnectionString(cfg.ConnectionString, cfg.sdkHub(), options)
	} else {
		credential, cerr := cfg.credential()
		if cerr != nil {
			return nil, cerr
		}
		p.client, err = azeventhubs.NewProducerClient(cfg.Namespace, cfg.EventHub, credential, options)
	}
	if err != nil {
		return nil, fmt.Errorf("eventhubs: make a producer for %s: %w", cfg.EventHub, err)
	}
	return p, nil
}

// Client is the SDK's client underneath, for all that this package doesn't do. Closing it closes the Producer.
func (p *Producer) Client() *azeventhubs.ProducerClient { return p.client }

// Close closes the connection. Calls of Send that are under way fail.
func (p *Producer) Close(ctx context.Context) error {
	if err := p.client.Close(ctx); err != nil {
		return fmt.Errorf("eventhubs: close the producer for %s: %w", p.cfg.EventHub, err)
	}
	return nil
}

// Send sends events, and returns nil once the service has accepted every one of them; with none it does nothing.
// Events with the same PartitionKey or PartitionID keep their order, in this call and over calls that one goroutine makes in turn.
//
// An event that can't be sent at all (EventTooLargeError, a key and a partition id, properties that can't be encoded) fails the call
// before anything is sent. A failure after that is a [SendError], which lists the events that were not acknowledged.
func (p *Producer) Send(ctx context.Context, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	groups, err := p.pack(ctx, events)
	if err != nil {
		return err
	}
	var (
		mu      sync.Mutex
		failed  SendError
		sending sync.WaitGroup
		slots   = make(chan struct{}, maxInFlight)
	)
	for _, g := range groups {
		slots <- struct{}{}
		sending.Add(1)
		go func() {
			defer func() { <-slots; sending.Done() }()
			if unsent, err := p.sendInOrder(ctx, g); err != nil {
				mu.Lock()
				failed.add(unsent, err)
				mu.Unlock()
			}
		}()
	}
	sending.Wait()
	return failed.orNil()
}

// maxInFlight bounds the batches that one Send has on their way at once, each to another key or partition.
const maxInFlight = 16

// sendInOrder sends one batch after the other. It returns the indexes of the events that were not acknowledged.
func (p *Producer) sendInOrder(ctx context.Context, batches []batch) (unsent []int, err error) {
	for i, b := range batches {
		if err := p.client.SendEventDataBatch(ctx, b.sdk, nil); err != nil {
			for _, left := range batches[i:] {
				unsent = append(unsent, left.indexes...)
			}
			return unsent, p.cfg.explain("send", p.cfg.EventHub, err)
		}
	}
	return nil, nil
}

func (e *SendError) add(unsent []int, err error) {
	if len(e.Unsent) == 0 || slices.Min(unsent) < e.Unsent[0] {
		e.Err = err
	}
	e.Unsent = append(e.Unsent, unsent...)
	slices.Sort(e.Unsent)
}

func (e *SendError) orNil() error {
	if len(e.Unsent) == 0 {
		return nil
	}
	return e
}
