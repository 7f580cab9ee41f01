package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

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
// and to DeadLetter, after the pause that ConsumerOptions.Backoff sets: it holds up its partition, but is never lost. A
// dead letter is sent at least once.
//
// A [BatchHandler] may call the handler for the events of its batch one by one, and return its first error. When the
// batch comes again, events that have become dead letters are skipped.
func DeadLetter(producer *Producer, attempts int, h Handler) Handler {
	if producer == nil || h == nil {
		panic("eventhubs: DeadLetter: the producer or the handler is nil")
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
	event, err := e.Event()
	if err != nil {
		return err
	}
	log := p.target.Config.Logger.With("dead_letters", p.target.Config.EventHub, "partition", e.PartitionID,
		"sequence", e.SequenceNumber, "attempts", e.failures, "error", reason)
	sent := event.Properties
	where := e.whereDead()
	why := maps.Clone(where)
	why["dead_letter_reason"] = cut(reason.Error(), reasonLength)
	for _, added := range []struct {
		properties map[string]any
		left       string
	}{{why, ""}, {where, "dead_letter_reason"}, {nil, "all properties of a dead letter"}} {
		event.Properties = maps.Clone(sent)
		maps.Copy(event.Properties, added.properties)
		if err = p.Send(ctx, event); errors.As(err, new(*EventTooLargeError)) {
			continue
		}
		switch {
		case err != nil:
			return err
		case added.left != "":
			log = log.With("left_out", added.left)
		}
		log.Warn("eventhubs: an event was sent as a dead letter")
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

// cut shortens a text to a number of bytes, and makes it valid UTF-8.
func cut(s string, length int) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= length {
		return s
	}
	const mark = "…"
	n := length - len(mark)
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}
