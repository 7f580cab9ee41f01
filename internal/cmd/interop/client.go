package main

import (
	"context"
	"errors"
	"fmt"
)

// client is an official client, or ours, as the rows use it. testdata/interop/README.md describes each operation, for
// every implementation. A client is safe for concurrent use.
type client interface {
	hello(ctx context.Context) (hello, error)
	hubProperties(ctx context.Context, at target) (hubProperties, error)
	partitionProperties(ctx context.Context, at target, partition string) (partitionProperties, error)
	send(ctx context.Context, at target, b batch) error
	sendOne(ctx context.Context, at target, b single) error
	fill(ctx context.Context, at target, partition string, size int) (int, error)
	largest(ctx context.Context, at target, partition string) (largest, error)
	sendBuffered(ctx context.Context, at target, events []addressed) error
	sendIdempotent(ctx context.Context, at target, events []addressed) error
	unfiltered(ctx context.Context, at target, partition string, count int) (bodies [][]byte, err error)
	receive(ctx context.Context, at target, r reading) (received, error)
	hold(ctx context.Context, at target, r reading) (string, error)
	held(ctx context.Context, at target, reader string) (held, error)
	release(ctx context.Context, at target, reader string) error
	process(ctx context.Context, at target, p processing) (string, error)
	processed(ctx context.Context, at target, processor string) (processed, error)
	stop(ctx context.Context, at target, processor string) error
	// close ends what is still open and waits for it.
	close()
}

// target is where an operation happens.
type target struct {
	Connection string `json:"connection"`
	Hub        string `json:"hub"`
	Group      string `json:"group"`
	CA         string `json:"ca,omitempty"`
	WebSockets bool   `json:"websockets,omitempty"`
}

type hello struct {
	Client  string            `json:"client"`
	Version map[string]string `json:"version"`
}

type hubProperties struct {
	Name       string   `json:"name"`
	CreatedMS  int64    `json:"created_ms"`
	Partitions []string `json:"partitions"`
}

type partitionProperties struct {
	Hub        string `json:"hub"`
	Partition  string `json:"partition"`
	Begin      int64  `json:"begin"`
	Last       int64  `json:"last"`
	LastOffset string `json:"last_offset"`
	LastMS     int64  `json:"last_ms"`
	Empty      bool   `json:"empty"`
}

type event struct {
	Body          []byte           `json:"body"`
	Properties    map[string]value `json:"properties,omitempty"`
	MessageID     *value           `json:"message_id,omitempty"`
	CorrelationID *value           `json:"correlation_id,omitempty"`
	ContentType   *value           `json:"content_type,omitempty"`

	// These are for messages that no EventData can represent.
	Footer              map[string]value `json:"footer,omitempty"`
	DeliveryAnnotations map[string]value `json:"delivery_annotations,omitempty"`
	NullBody            bool             `json:"null_body,omitempty"`
}

// plain reports whether an EventData can represent the event.
func (e event) plain() bool {
	return len(e.Footer) == 0 && len(e.DeliveryAnnotations) == 0 && !e.NullBody
}

type batch struct {
	Events    []event `json:"events"`
	Partition string  `json:"partition,omitempty"`
	Key       string  `json:"key,omitempty"`
}

type single struct {
	Event     event  `json:"event"`
	Partition string `json:"partition,omitempty"`
	Key       string `json:"key,omitempty"`
}

// addressed is an event with its partition key or its partition.
type addressed struct {
	event
	Partition string `json:"partition,omitempty"`
	Key       string `json:"key,omitempty"`
}

type largest struct {
	Size    int    `json:"size"`
	Refused string `json:"refused"`
}

type start struct {
	Earliest  bool   `json:"earliest,omitempty"`
	Latest    bool   `json:"latest,omitempty"`
	Offset    string `json:"offset,omitempty"`
	Sequence  *int64 `json:"sequence,omitempty"`
	TimeMS    *int64 `json:"time_ms,omitempty"`
	Inclusive bool   `json:"inclusive,omitempty"`
}

type reading struct {
	Partition  string `json:"partition"`
	Start      start  `json:"start"`
	Count      int    `json:"count,omitempty"`
	TimeoutMS  int    `json:"timeout_ms,omitempty"`
	Prefetch   int    `json:"prefetch,omitempty"`
	OwnerLevel *int64 `json:"owner_level,omitempty"`
	Track      bool   `json:"track,omitempty"`
}

type receivedEvent struct {
	event
	Partition  string           `json:"partition"`
	Sequence   int64            `json:"sequence"`
	Offset     string           `json:"offset"`
	EnqueuedMS int64            `json:"enqueued_ms"`
	Key        string           `json:"key"`
	System     map[string]value `json:"system"`
}

// last describes the end of a partition, as the service tells it to a reader.
type last struct {
	Sequence    int64  `json:"sequence"`
	Offset      string `json:"offset"`
	EnqueuedMS  int64  `json:"enqueued_ms"`
	RetrievedMS int64  `json:"retrieved_ms"`
}

type received struct {
	Events []receivedEvent `json:"events"`
	Last   *last           `json:"last,omitempty"`
}

type held struct {
	Count int    `json:"count"`
	Error *fault `json:"error,omitempty"`
}

type processing struct {
	Store     string `json:"store"`
	Container string `json:"container"`
	Start     start  `json:"start"`
	StopAfter int    `json:"stop_after,omitempty"`
	// KeepCase is for our client. It says that the other client spells the names of blobs as the Go SDK does.
	KeepCase bool `json:"-"`
}

type processedEvent struct {
	Partition string `json:"partition"`
	Sequence  int64  `json:"sequence"`
}

type processed struct {
	Events []processedEvent `json:"events"`
	Owned  []string         `json:"owned"`
	Error  *fault           `json:"error,omitempty"`
}

// fault is what a client answers instead of a result.
type fault struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// The kinds of faults.
const (
	kindUnauthorized = "unauthorized"
	kindNotFound     = "not-found"
	kindOutOfRange   = "out-of-range"
	kindStolen       = "stolen"
	kindQuota        = "quota"
	kindTooLarge     = "too-large"
	kindTimeout      = "timeout"
	kindUnsupported  = "unsupported"
	kindOther        = "other"
)

func (f *fault) Error() string { return f.Kind + ": " + f.Text }

func unsupported(format string, args ...any) error {
	return &fault{kindUnsupported, fmt.Sprintf(format, args...)}
}

// kindOf is the kind of a client's error, or "" if the error is not a fault.
func kindOf(err error) string {
	var f *fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return ""
}
