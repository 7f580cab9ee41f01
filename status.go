package eventhubs

import (
	"time"

	"github.com/go-eventhubs/eventhubs/internal/receive"
)

// PartitionStatus describes a partition that a Consumer holds. Fields without a value are nil, and left out of its
// JSON.
type PartitionStatus struct {
	PartitionID string `json:"partition_id"`
	// Since is when the partition was taken. It has been held without a break since then.
	Since time.Time `json:"since"`
	// Handled is the last event that the handler has processed since then.
	Handled *EventMark `json:"handled,omitempty"`
	// Checkpoint is the last checkpoint written since then. An older one may exist.
	Checkpoint *EventMark `json:"checkpoint,omitempty"`
	// Fetched is how many events were fetched and are not handled, including those that the handler is working on. What
	// the SDK has read ahead (ConsumerOptions.Prefetch) is not counted.
	Fetched int `json:"fetched"`
	// Ahead is how many more events are handled ahead of one that is not, with ConsumerOptions.Concurrency.
	Ahead int `json:"ahead,omitempty"`
	// Attempt is the current call of the handler; with Concurrency, that for the oldest event that is not handled. Nil:
	// there is nothing to handle.
	Attempt *AttemptStatus `json:"attempt,omitempty"`
	// HandlerFailure is the handler's last failure since the partition was taken. It may have succeeded after that.
	HandlerFailure *FailureStatus `json:"handler_failure,omitempty"`
	// Lag is how far the handler is behind the end of the partition. Nil: unknown, or ConsumerOptions.LagInterval is 0.
	Lag *LagStatus `json:"lag,omitempty"`
	// Reading says since when and why the partition cannot be read. Nil: it can, as far as is known. The link of a silent
	// partition is checked end to end after a minute, and then less often.
	Reading *FailureStatus `json:"reading,omitempty"`
	// Checkpointing says since when and why checkpoints cannot be written. Nil: they can.
	Checkpointing *FailureStatus `json:"checkpointing,omitempty"`
}

// EventMark is an event, and when something was done with it.
type EventMark struct {
	SequenceNumber int64     `json:"sequence_number"`
	At             time.Time `json:"at"`
}

// AttemptStatus is a call of the handler.
type AttemptStatus struct {
	// Number is 1 for the first call with an event.
	Number int `json:"number"`
	// SequenceNumber is that of the event, or of the first event of a batch.
	SequenceNumber int64 `json:"sequence_number"`
	// Since is when the handler was called. Zero: it has failed, and waits for its next call.
	Since time.Time `json:"since,omitzero"`
}

// LagStatus is how far a handler is behind.
type LagStatus struct {
	// Events is how many events the partition had at AsOf after the last one that was handled.
	Events int64 `json:"events"`
	// LastEnqueuedSequenceNumber is that of the partition's last event. -1: it has never had one.
	LastEnqueuedSequenceNumber int64 `json:"last_enqueued_sequence_number"`
	// AsOf is when the service was asked. After five minutes, or two LagIntervals if that is longer, the lag is unknown.
	AsOf time.Time `json:"as_of"`
}

// FailureStatus is a failure that lasts: since when, and why.
type FailureStatus struct {
	Since time.Time `json:"since"`
	Error string    `json:"error"`
}

// Partitions describes the partitions that the Consumer holds now, in the order of their numbers. When Receive is not
// running it returns an empty slice, not nil. It answers at once, from memory, so a health endpoint may call it.
func (c *Consumer) Partitions() []PartitionStatus {
	all := []PartitionStatus{}
	r := c.running()
	if r == nil {
		return all
	}
	for _, p := range r.engine.Partitions() {
		all = append(all, partitionStatus(p))
	}
	return all
}

func (c *Consumer) running() *receiving {
	c.currentMu.Lock()
	defer c.currentMu.Unlock()
	return c.current
}

func partitionStatus(p receive.PartitionState) PartitionStatus {
	s := PartitionStatus{
		PartitionID: p.ID, Since: p.Since, Fetched: p.Fetched, Ahead: p.Ahead,
		Handled: eventMark(p.Handled), Checkpoint: eventMark(p.Checkpoint),
		Reading: failureStatus(p.Reading), Checkpointing: failureStatus(p.Checkpointing),
	}
	if p.Attempt.Number > 0 {
		s.Attempt = &AttemptStatus{p.Attempt.Number, p.Attempt.Sequence, p.Attempt.Since}
	}
	if !p.LastErrorAt.IsZero() {
		s.HandlerFailure = &FailureStatus{p.LastErrorAt, p.LastError}
	}
	if !p.Lag.AsOf.IsZero() {
		s.Lag = &LagStatus{p.Lag.Events, p.Lag.LastSequence, p.Lag.AsOf}
	}
	return s
}

func eventMark(m receive.Mark) *EventMark {
	if m.Time.IsZero() {
		return nil
	}
	return &EventMark{m.Sequence, m.Time}
}

func failureStatus(t receive.Trouble) *FailureStatus {
	if t.Since.IsZero() {
		return nil
	}
	return &FailureStatus{t.Since, t.Err.Error()}
}

// State is what a Consumer as a whole is doing.
type State string

// The states of a Consumer.
const (
	// StateStopped: Receive is not running.
	StateStopped State = "stopped"
	// StateStarting: the service has not said yet which partitions there are, or the store who owns them.
	StateStarting State = "starting"
	// StateIdle: other consumers of the group hold all partitions.
	StateIdle State = "idle"
	// StateReceiving: the Consumer holds partitions. Partitions describes each of them.
	StateReceiving State = "receiving"
	// StateStoreUnreachable: calls to the checkpoint store fail. The partitions that are held are still read.
	StateStoreUnreachable State = "store unreachable"
)

// ConsumerStatus describes a Consumer as a whole.
type ConsumerStatus struct {
	State State `json:"state"`
	// Store says since when and why the checkpoint store cannot be listed, or claims cannot be renewed. Nil: they can.
	Store *FailureStatus `json:"store,omitempty"`
	// Partitions are those that are held: see Consumer.Partitions.
	Partitions []PartitionStatus `json:"partitions"`
}

// Status describes the Consumer. It answers at once, from memory.
func (c *Consumer) Status() ConsumerStatus {
	s := ConsumerStatus{State: StateStopped, Partitions: c.Partitions()}
	r := c.running()
	if r == nil {
		return s
	}
	h, known := r.engine.Health()
	s.Store = failureStatus(receive.Trouble{Since: h.FailingSince, Err: h.Err})
	switch {
	case s.Store != nil:
		s.State = StateStoreUnreachable
	case !known || !h.Answered:
		s.State = StateStarting
	case len(s.Partitions) == 0:
		s.State = StateIdle
	default:
		s.State = StateReceiving
	}
	return s
}
