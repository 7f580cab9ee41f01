package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/go-eventhubs/eventhubs/internal/event"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

// Handler processes one event. If it returns nil, the event is processed, and the next checkpoint covers it. If it
// returns an error, it gets the same event again after a pause, while later events of that partition wait. An error
// marked by [Stop] ends Receive. So does a panic, which is not retried. [DeadLetter] makes a handler that gives up
// after some attempts.
//
// Handlers of one partition run one at a time, unless ConsumerOptions.Concurrency allows more; those of different
// partitions run at the same time. ctx has the values of Receive's context. It ends with the cause [ErrOwnershipLost]
// when another consumer has taken over the partition: what the handler does after that may be done twice. It ends with
// the cause [ErrDraining] when Receive has to stop and the handler takes longer than ConsumerOptions.DrainTimeout.
type Handler func(ctx context.Context, e *ReceivedEvent) error

// BatchHandler processes consecutive events of one partition: at least one, and at most ConsumerOptions.MaxBatch. Nil
// means that all are processed; after an error it gets the same events again. Otherwise it is like [Handler]. It must
// not keep the slice after it returns.
type BatchHandler func(ctx context.Context, events []*ReceivedEvent) error

// ErrOwnershipLost is the cause of a handler's ended context when another consumer has taken over its partition.
var ErrOwnershipLost = errors.New("eventhubs: another consumer has taken the partition over")

// ErrDraining is the cause of a handler's ended context when Receive has to end and DrainTimeout has passed.
var ErrDraining = errors.New("eventhubs: the consumer is stopping")

// Stop marks a handler's error as permanent: Receive lets running handlers finish, writes checkpoints up to the event
// before, and returns a [HandlerError] with it. Stop(nil) stops without a reason.
func Stop(err error) error { return &stopError{err} }

type stopError struct{ err error }

func (e *stopError) Error() string {
	if e.err == nil {
		return "stopped by the handler"
	}
	return e.err.Error()
}
func (e *stopError) Unwrap() error { return e.err }

func isStop(err error) bool {
	var stop *stopError
	return errors.As(err, &stop)
}

// HandlerError is what Receive returns when a handler has ended it: with Stop, by giving up in Backoff, or with a
// panic.
// A panic of a function in ConsumerOptions is reported in the same way.
type HandlerError struct {
	PartitionID    string
	SequenceNumber int64  // of the event, or the first one of the batch; -1: of none, as in PartitionOpened
	Err            error  // what the handler returned; nil after a panic
	Panic          any    // the value of the panic; nil without one
	Stack          []byte // of the panic
}

// Error does not include the stack: log it beside the error.
func (e *HandlerError) Error() string {
	at := fmt.Sprintf("eventhubs: receive: handler of partition %s at sequence number %d", e.PartitionID, e.SequenceNumber)
	if e.SequenceNumber < 0 {
		at = fmt.Sprintf("eventhubs: receive: PartitionOpened or PartitionClosed of partition %s", e.PartitionID)
	}
	switch err, ok := e.Panic.(error); {
	case e.Err != nil:
		return fmt.Sprintf("%s: %v", at, sdkerr.WithoutPrefix(e.Err))
	case ok:
		return fmt.Sprintf("%s panicked: %v", at, sdkerr.WithoutPrefix(err))
	}
	return fmt.Sprintf("%s panicked: %v", at, e.Panic)
}

// Unwrap returns Err, or the value of the panic if that is an error.
func (e *HandlerError) Unwrap() error {
	if err, ok := e.Panic.(error); ok && e.Err == nil {
		return err
	}
	return e.Err
}

// DeadLetter returns a handler that calls h. When h has failed with an event attempts times, the handler sends the
// event with producer, usually to another event hub, and returns nil, so that the event is checkpointed and the
// partition moves on. Event Hubs has no dead-letter queue of its own.
//
// The dead letter is the event as it was sent (see [ReceivedEvent.Event]), with these properties, which replace any of
// the same names:
//
//	dead_letter_reason           string     the last error of h, cut to 1,024 bytes
//	dead_letter_attempts         int64      how often h has failed
//	dead_letter_event_hub        string     where the event was read: event hub,
//	dead_letter_consumer_group   string     consumer group,
//	dead_letter_partition        string     partition,
//	dead_letter_sequence_number  int64      and sequence number
//	dead_letter_enqueued_time    time.Time  when the service stored it there
//
// If they make the event too large for the service, the reason is left out, and if that is not enough, all of them. The
// log says what was left out. Each dead letter is a WARN in the log of the producer's Config.
//
// An error that h returns after its context has ended does not count. [Stop] and panics end Receive as they always do.
// If the dead letter cannot be sent, because the event cannot be encoded again, the other event hub accepts only
// smaller events, or it cannot be reached, the handler returns an error that says so. The event then comes again, to h
// and to DeadLetter, after the pause that ConsumerOptions.Backoff sets: it holds up its partition (with Concurrency
// only its key), but is never lost. A dead letter is sent at least once.
//
// A [BatchHandler] may call the handler for the events of its batch one by one, and return its first error. When the
// batch comes again, events that have become dead letters are skipped.
//
// Attempts below 1 count as 1. DeadLetter panics if producer or h is nil.
func DeadLetter(producer *Producer, attempts int, h Handler) Handler {
	if producer == nil || h == nil {
		panic("eventhubs: DeadLetter: the producer or the handler is nil: check the error of NewProducer")
	}
	return func(ctx context.Context, e *ReceivedEvent) error {
		if e.dead {
			return nil
		}
		err := h(ctx, e)
		if err == nil || isStop(err) || ctx.Err() != nil {
			return err
		}
		if e.failures++; e.failures < attempts {
			return err
		}
		if failed := producer.sendDeadLetter(ctx, e, err); failed != nil {
			return fmt.Errorf("eventhubs: the dead letter could not be sent: %w; the event has failed with: %w",
				sdkerr.WithoutPrefix(failed), sdkerr.WithoutPrefix(err))
		}
		e.dead = true
		return nil
	}
}

// reasonLength is how many bytes of an error a dead letter carries.
const reasonLength = 1024

// sendDeadLetter sends an event with why and where it has failed, or as much of that as fits.
func (p *Producer) sendDeadLetter(ctx context.Context, e *ReceivedEvent, reason error) error {
	letter, err := e.Event()
	if err != nil {
		return err
	}
	log := p.target.Config.Logger.With("dead_letters", p.target.Config.EventHub, "partition", e.PartitionID,
		"sequence", e.SequenceNumber, "attempts", e.failures, "error", reason)
	sent := letter.Properties
	where := e.whereDead()
	why := maps.Clone(where)
	why["dead_letter_reason"] = event.Cut(reason.Error(), reasonLength)
	for _, added := range []struct {
		properties map[string]any
		left       string
	}{{why, ""}, {where, "dead_letter_reason"}, {nil, "all properties of a dead letter"}} {
		letter.Properties = maps.Clone(sent)
		maps.Copy(letter.Properties, added.properties)
		if err = p.Send(ctx, letter); errors.As(err, new(*EventTooLargeError)) {
			continue
		}
		switch {
		case err != nil:
			return err
		case added.left != "":
			log = log.With("left_out", added.left)
		}
		log.WarnContext(ctx, "eventhubs: an event was sent as a dead letter")
		return nil
	}
	return err
}

// whereDead are the properties that say where an event has failed.
func (e *ReceivedEvent) whereDead() map[string]any {
	where := map[string]any{
		"dead_letter_attempts": int64(e.failures), "dead_letter_partition": e.PartitionID,
		"dead_letter_sequence_number": e.SequenceNumber,
	}
	if e.EnqueuedTime != nil {
		where["dead_letter_enqueued_time"] = *e.EnqueuedTime
	}
	if e.from != nil {
		where["dead_letter_event_hub"], where["dead_letter_consumer_group"] = e.from.eventHub, e.from.group
	}
	return where
}
