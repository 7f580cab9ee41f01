// Package send is the engine of a Producer: it has calls that run at the same time share batches, keeps the order of
// what goes to one key or partition, bounds what is on its way, and tries again what fails.
//
// An event goes from its call into a batch of the queue for its destination. A batcher takes the queue's batches one
// after the other, fills a batch of the SDK's from each, sends it over the queue's link, and tells the calls that wait
// for it. A queue with an order has one batcher at a time. What comes in while a batch is on its way fills the next
// one; nothing waits for a batch to be full.
//
// There is one link, with a client of the SDK and a connection of its own, for all that goes to no partition in
// particular, and one for each partition that events name. A failure of one does not affect the others.
package send

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/connection"
	"github.com/go-eventhubs/eventhubs/internal/dial"
)

// Events are the events of one call. They have to stay as they are until the call returns.
type Events interface {
	Len() int
	// To is where an event goes.
	To(i int) Destination
	// Cost is an upper bound of an event's size in a batch of its own, and what it takes of the room.
	Cost(i int) int
	// Data is the event as the SDK takes it. It is asked for when a batch takes the event.
	Data(i int) *azeventhubs.EventData
	// Raw takes the place of Data for an event that has more than that can hold. Nearly all have not: then it is nil.
	Raw(i int) *azeventhubs.AMQPAnnotatedMessage
}

// Destination is where an event goes: to the partition of a key, to a partition, or, if both are empty, wherever the
// service likes. It can't have both.
type Destination struct{ Key, Partition string }

// ordered reports whether what goes there has to keep its order.
func (d Destination) ordered() bool { return d != Destination{} }

// Options say how an Engine works. Each has to be set.
type Options struct {
	// New makes a client of the SDK whose retries are off, and the dialer of its connections.
	New func() (*azeventhubs.ProducerClient, *dial.Dialer, error)
	// EventHub is named in logs.
	EventHub string
	// Room is how many bytes may be on their way, as Events.Cost measures them.
	Room int
	// AnswerTimeout is how long the service may take to answer for a batch.
	AnswerTimeout time.Duration
	// RetryFor is how long transient failures are retried.
	RetryFor time.Duration
	// Retry is how often, and how long, anything is tried before a link was ever opened.
	Retry  azeventhubs.RetryOptions
	Logger *slog.Logger
	// Explain adds to an error what it means, for logs.
	Explain func(error) error
}

// ErrClosed is what a closed Engine fails with.
var ErrClosed = connection.ErrClosed

// Error says which events of a call were not acknowledged, by index in ascending order, and why the first of them was
// not.
type Error struct {
	Unacknowledged []int
	Err            error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%v (%d events not acknowledged)", e.Err, len(e.Unacknowledged))
}

func (e *Error) Unwrap() error { return e.Err }

// add lists events, which come after those that are listed, unless err is nil. The first one says why.
func (e *Error) add(from, to int, err error) {
	if err == nil || from >= to || len(e.Unacknowledged) > 0 && e.Unacknowledged[len(e.Unacknowledged)-1] >= from {
		return
	}
	if e.Err == nil {
		e.Err = err
	}
	for i := from; i < to; i++ {
		e.Unacknowledged = append(e.Unacknowledged, i)
	}
}

// TooLargeError says that an event is too large for the service.
type TooLargeError struct {
	Index int
	Size  int   // bytes of a message that holds nothing else
	Limit int64 // of the link, for messages
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("event %d has %d bytes, over the limit of %d", e.Index, e.Size, e.Limit)
}

// EncodeError says that an event can't be encoded.
type EncodeError struct {
	Index int
	Err   error
}

func (e *EncodeError) Error() string {
	return fmt.Sprintf("event %d can't be encoded: %v", e.Index, e.Err)
}
func (e *EncodeError) Unwrap() error { return e.Err }

// AbandonedError says that a call has ended with its context, and what is unknown because of that.
type AbandonedError struct {
	Open  string
	Cause error // of the context's end
	Last  error // what sending there has failed with last; nil if it does not fail
}

func (e *AbandonedError) Error() string {
	return fmt.Sprintf("gave up waiting: %s: %v", e.Open, e.Cause)
}
func (e *AbandonedError) Unwrap() []error { return []error{e.Cause, e.Last} }

// Engine sends. It is safe for concurrent use.
type Engine struct {
	options Options
	ctx     context.Context // ends with Close
	end     context.CancelCauseFunc
	reached atomic.Bool   // a link was opened: name, rights and address are right
	idle    chan struct{} // closed when it is closed and no batcher is left
	spans   sync.Pool     // of *[]span: see newSpans

	// queuesMu guards everything that calls and batchers meet in.
	queuesMu sync.Mutex
	anywhere *queue                 // for what goes to wherever the service likes
	queues   map[Destination]*queue // the others
	links    map[string]*link       // of partitions; anywhere has the hub's own
	room     room
	batchers int
	closed   bool
}

// New returns an Engine. It does not connect.
func New(o Options) *Engine {
	e := &Engine{
		options: o, idle: make(chan struct{}), queues: map[Destination]*queue{}, links: map[string]*link{},
		room: room{size: o.Room, free: o.Room},
	}
	e.ctx, e.end = context.WithCancelCause(context.Background())
	e.anywhere = &queue{link: newLink(e, "")}
	return e
}

// Close has calls that are under way fail with ErrClosed, and closes all connections. It returns when everything is
// closed, or with ctx's cause when ctx ends; what is left then is cut off, and ends by itself (see
// connection.Shared.Close). It may be called more than once.
func (e *Engine) Close(ctx context.Context) error {
	e.queuesMu.Lock()
	e.closed = true
	e.signalIdle()
	links := []*link{e.anywhere.link}
	for _, l := range e.links {
		links = append(links, l)
	}
	e.queuesMu.Unlock()
	e.end(ErrClosed)
	errs := make(chan error, len(links))
	for _, l := range links {
		go func() { errs <- l.shared.Close(ctx) }() // ends with ctx
	}
	var first error
	for range links {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	select {
	case <-e.idle:
		return first
	default:
	}
	select {
	case <-e.idle:
		return first
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signalIdle notes that nothing is left of a closed Engine. The caller holds queuesMu.
func (e *Engine) signalIdle() {
	if !e.closed || e.batchers > 0 {
		return
	}
	select {
	case <-e.idle:
	default:
		close(e.idle)
	}
}

// link returns the link for a partition, or the hub's own. The caller holds queuesMu.
func (e *Engine) link(partition string) *link {
	if partition == "" {
		return e.anywhere.link
	}
	l := e.links[partition]
	if l == nil {
		l = newLink(e, partition)
		e.links[partition] = l
	}
	return l
}
