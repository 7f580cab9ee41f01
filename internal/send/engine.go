// Package send is the engine of a Producer. Calls that run at the same time share batches. It keeps the order of events
// for one key or partition, limits the bytes in flight, and retries transient failures.
//
// An event goes from its call into a batch of the queue for its destination. A batcher takes the queue's batches one
// after the other, fills a batch of the SDK from each, sends it over the queue's link, and tells the calls that wait
// for it. A queue with an order has one batcher at a time. Events that arrive while a batch is being sent fill the next
// one; no event waits for a batch to fill.
//
// Each partition that events name has a link, with a client of the SDK and a connection of its own. All other events
// share one. A failure of one does not affect the others.
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

// Events are the events of one call. They must not change until the call returns.
type Events interface {
	Len() int
	// To is where an event goes.
	To(i int) Destination
	// Cost is an upper bound of an event's size in a batch of its own. It counts against the room.
	Cost(i int) int
	// Data makes d the SDK's event, when a batch takes it. d may have been used for another event.
	Data(i int, d *azeventhubs.EventData)
	// Raw replaces Data for an event that EventData cannot hold. It is nil for nearly all events.
	Raw(i int) *azeventhubs.AMQPAnnotatedMessage
}

// Destination is where an event goes: to the partition of a key, to a partition, or, if both are empty, to any
// partition. It cannot have both.
type Destination struct{ Key, Partition string }

// ordered reports whether events for it keep their order.
func (d Destination) ordered() bool { return d != Destination{} }

// Options say how an Engine works. All are required.
type Options struct {
	// New makes a client of the SDK whose retries are off, and the dialer of its connections.
	New func() (*azeventhubs.ProducerClient, *dial.Dialer, error)
	// EventHub is named in logs.
	EventHub string
	// Room is how many bytes may be in flight, as Events.Cost measures them.
	Room int
	// AnswerTimeout is how long the service may take to acknowledge a batch.
	AnswerTimeout time.Duration
	// RetryFor is how long transient failures are retried.
	RetryFor time.Duration
	// Retry says how often opening a link is tried until one has been opened.
	Retry  azeventhubs.RetryOptions
	Logger *slog.Logger
	// Explain adds to an error what it means. It is for logs.
	Explain func(error) error
}

// ErrClosed is the error of calls of a closed Engine.
var ErrClosed = connection.ErrClosed

// Error lists the events of a call that were not acknowledged, by index in ascending order, with the reason for the
// first of them.
type Error struct {
	Unacknowledged []int
	Err            error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%v (%d events not acknowledged)", e.Err, len(e.Unacknowledged))
}

func (e *Error) Unwrap() error { return e.Err }

// add lists events after those already listed, unless err is nil. The first error is kept.
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
	Last  error // the last failure of sending there; nil if it does not fail
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
	idle    chan struct{} // closed when the Engine is closed and no batcher is left
	spans   sync.Pool     // of *[]span: see newSpans

	// queuesMu guards what calls and batchers share.
	queuesMu sync.Mutex
	anywhere *queue                 // for events without a destination
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

// Close makes running calls fail with ErrClosed, and closes all connections. It returns when everything is closed, or
// with ctx's cause when ctx ends; the rest is then cut off and ends by itself (see connection.Shared.Close). It may be
// called more than once.
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

// signalIdle closes idle if the Engine is closed and no batcher is left. The caller holds queuesMu.
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
