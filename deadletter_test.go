package eventhubs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// records are the lines of a log in JSON.
type records struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (r *records) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (r *records) Write(line []byte) (int, error) {
	var attrs map[string]any
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&attrs); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, attrs)
	return len(line), nil
}

// about are the lines whose message has a text in it.
func (r *records) about(text string) (found []map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if strings.Contains(l["msg"].(string), text) {
			found = append(found, l)
		}
	}
	return found
}

// hospital receives events of "in", a hub of one partition, and sends those that fail to "out".
type hospital struct {
	*relay
	log  records
	dead *eventhubs.Producer
	got  []int64 // the events that were handled, by sequence number
	n    map[int64]int
}

func newHospital(t *testing.T) *hospital {
	h := &hospital{relay: newRelay(t), n: map[int64]int{}}
	cfg := h.srv.Config("in").Hub("out")
	cfg.Logger = h.log.logger()
	dead, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = dead.Close(context.Background()) })
	h.dead = dead
	return h
}

func (h *hospital) put(events ...eventhubs.Event) {
	for _, e := range events { // one by one, as the service keeps the order of a key only
		require.NoError(h.t, h.srv.Send(h.t.Context(), "in", e))
	}
}

// handle fails with events whose body begins with "bad".
func (h *hospital) handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	h.n[e.SequenceNumber]++
	if strings.HasPrefix(string(e.Body), "bad") {
		return errors.New("it is bad")
	}
	h.got = append(h.got, e.SequenceNumber)
	return nil
}

// run receives until nothing more comes for a minute, and returns what Receive has returned.
func (h *hospital) run(receive func(context.Context, *eventhubs.Consumer) error) (*eventhubs.Consumer, error) {
	cfg := h.srv.Config("in")
	cfg.Logger = h.log.logger()
	store := eventhubs.NewMemoryCheckpointStore()
	options := &eventhubs.ConsumerOptions{BatchWait: time.Second} // so that all events are in one batch
	c, err := eventhubs.NewConsumer(cfg, store, options)
	require.NoError(h.t, err)
	defer c.Close(context.Background())
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Minute)
	defer cancel()
	err = receive(ctx, c)
	return c, err
}

func (h *hospital) one(handle eventhubs.Handler) func(context.Context, *eventhubs.Consumer) error {
	return func(ctx context.Context, c *eventhubs.Consumer) error { return c.Receive(ctx, handle) }
}

func TestDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHospital(t)
		began := time.Now()
		bad := eventhubs.Event{
			Body: []byte("bad"), PartitionKey: "k", MessageID: "m", CorrelationID: "c", ContentType: "text/plain",
			Properties: map[string]any{"kind": "order", "dead_letter_reason": "older"},
		}
		h.put(eventhubs.Event{Body: []byte("a")}, bad, eventhubs.Event{Body: []byte("b")})
		_, err := h.run(h.one(eventhubs.DeadLetter(h.dead, 3, h.handle)))
		require.NoError(t, err)
		require.Equal(t, []int64{0, 2}, h.got)
		require.Equal(t, 3, h.n[1])

		letters := h.take("out", 1)
		letter := letters[0]
		require.Equal(t, "bad", string(letter.Body))
		require.Equal(t, "k", *letter.PartitionKey)
		require.Equal(t, "m", *letter.MessageID)
		require.Equal(t, "c", letter.CorrelationID)
		require.Equal(t, "text/plain", *letter.ContentType)
		at := letter.Properties["dead_letter_enqueued_time"].(time.Time)
		require.WithinDuration(t, began, at, time.Second)
		delete(letter.Properties, "dead_letter_enqueued_time")
		require.Equal(t, map[string]any{
			"kind": "order", "dead_letter_reason": "it is bad", "dead_letter_attempts": int64(3), "dead_letter_event_hub": "in",
			"dead_letter_consumer_group": "$Default", "dead_letter_partition": "0", "dead_letter_sequence_number": int64(1),
		}, letter.Properties)

		said := h.log.about("was sent as a dead letter")
		require.Len(t, said, 1)
		require.Equal(t, "WARN", said[0]["level"])
		require.Equal(t, "it is bad", said[0]["error"])
		require.Equal(t, "0", said[0]["partition"])
		require.EqualValues(t, 1, said[0]["sequence"])
		require.NotContains(t, said[0], "left_out")
	})
}

// TestDeadLetterWithoutRoom has events that added properties make too large for the service.
func TestDeadLetterWithoutRoom(t *testing.T) {
	const limit = 1 << 20
	for name, tc := range map[string]struct {
		spare   int // bytes that are left in a message
		reason  string
		has     []string
		leftOut any
	}{
		"room for all": {
			4000, strings.Repeat("é", 4000), []string{"dead_letter_reason", "dead_letter_partition"}, nil,
		},
		"room for some":      {1500, strings.Repeat("e", 4000), []string{"dead_letter_partition"}, "dead_letter_reason"},
		"no room":            {-200, "short", nil, "all properties of a dead letter"},
		"a reason not UTF-8": {4000, "\xff\xfe", []string{"dead_letter_reason"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHospital(t)
				body := append([]byte("bad"), make([]byte, limit-400-tc.spare)...)
				h.put(
					eventhubs.Event{Body: body, MessageID: "m", Properties: map[string]any{"kind": "order"}},
					eventhubs.Event{Body: []byte("a")},
				)
				handle := eventhubs.DeadLetter(h.dead, 1, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
					if err := h.handle(ctx, e); err != nil {
						return errors.New(tc.reason)
					}
					return nil
				})
				_, err := h.run(h.one(handle))
				require.NoError(t, err)
				require.Equal(t, []int64{1}, h.got)
				require.Equal(t, 1, h.n[0])
				letter := h.take("out", 1)[0]
				require.True(t, bytes.Equal(body, letter.Body))
				require.Equal(t, "order", letter.Properties["kind"])
				for _, property := range tc.has {
					require.Contains(t, letter.Properties, property)
				}
				if tc.has == nil {
					require.Len(t, letter.Properties, 1)
				}
				if reason, ok := letter.Properties["dead_letter_reason"].(string); ok {
					require.LessOrEqual(t, len(reason), 1024)
					require.NotEmpty(t, reason)
				}
				said := h.log.about("was sent as a dead letter")
				require.Len(t, said, 1)
				require.Equal(t, tc.leftOut, said[0]["left_out"])
				require.Equal(
					t, strings.ToValidUTF8(tc.reason, "\ufffd"),
					strings.ReplaceAll(said[0]["error"].(string), "\ufffd\ufffd", "\ufffd"),
				)
			})
		})
	}
}

// TestDeadLetterThatCannotBeSent has the other event hub out of reach for a while: the event waits, and is not lost.
func TestDeadLetterThatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHospital(t)
		h.put(eventhubs.Event{Body: []byte("bad")}, eventhubs.Event{Body: []byte("a")})
		h.srv.Fault(
			eventhubstest.Fault{On: eventhubstest.OnAttach, Hub: "out", Condition: "amqp:unauthorized-access", Times: 3},
		)
		_, err := h.run(h.one(eventhubs.DeadLetter(h.dead, 2, h.handle)))
		require.NoError(t, err)
		require.Equal(t, []int64{1}, h.got)
		require.Greater(t, h.n[0], 2, "the handler has got it again")
		require.Equal(t, "bad", string(h.take("out", 1)[0].Body))
		failed := h.log.about("the handler failed")
		require.NotEmpty(t, failed)
		var dead []map[string]any
		for _, f := range failed {
			if strings.Contains(f["error"].(string), "the dead letter could not be sent") {
				dead = append(dead, f)
			}
		}
		require.NotEmpty(t, dead)
		text := dead[0]["error"].(string)
		require.Contains(t, text, "not authorized")
		require.Contains(t, text, "it is bad")
		require.Equal(t, 1, strings.Count(text, "eventhubs: "))
	})
}

// TestDeadLetterOfWhatCannotBeSentOn has an event that is larger than the other event hub takes: it holds up its
// partition, and the log says so.
func TestDeadLetterOfWhatCannotBeSentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHospital(t)
		h.put(eventhubs.Event{Body: []byte("bad")})
		handle := eventhubs.DeadLetter(h.dead, 1, h.handle)
		_, err := h.run(h.one(func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			e.Body = make([]byte, 1<<20)
			copy(e.Body, "bad")
			e.RawAMQPMessage.Body.Data[0] = e.Body
			return handle(ctx, e)
		}))
		require.NoError(t, err)
		require.Empty(t, h.srv.AllEvents("out"))
		require.Greater(t, h.n[0], 5)
		failed := h.log.about("the handler failed")
		require.Greater(t, len(failed), 5)
		require.Contains(t, failed[0]["error"], "eventhubs: the dead letter could not be sent: send: event 0")
	})
}

// TestDeadLetterIsNotForWhatTheEventIsNotToBlameFor has a handler that stops, panics, and is stopped.
func TestDeadLetterIsNotForWhatTheEventIsNotToBlameFor(t *testing.T) {
	stop := errors.New("stop")
	for name, tc := range map[string]struct {
		handle eventhubs.Handler
		err    error
	}{
		"Stop":  {func(context.Context, *eventhubs.ReceivedEvent) error { return eventhubs.Stop(stop) }, stop},
		"panic": {func(context.Context, *eventhubs.ReceivedEvent) error { panic(stop) }, stop},
		"ended": {func(ctx context.Context, _ *eventhubs.ReceivedEvent) error { <-ctx.Done(); return ctx.Err() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHospital(t)
				h.put(eventhubs.Event{Body: []byte("a")})
				_, err := h.run(h.one(eventhubs.DeadLetter(h.dead, 1, tc.handle)))
				require.ErrorIs(t, err, tc.err)
				require.Empty(t, h.srv.AllEvents("out"))
			})
		})
	}
}

// TestDeadLetterInBatches has batches with events that fail. Each gets its attempts, and becomes a dead letter once.
func TestDeadLetterInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHospital(t)
		var events []eventhubs.Event
		for i := range 10 {
			body := fmt.Sprint("good ", i)
			if i == 3 || i == 7 {
				body = fmt.Sprint("bad ", i)
			}
			events = append(events, eventhubs.Event{Body: []byte(body)})
		}
		h.put(events...)
		handle := eventhubs.DeadLetter(h.dead, 3, h.handle)
		_, err := h.run(func(ctx context.Context, c *eventhubs.Consumer) error {
			return c.ReceiveBatch(ctx, func(ctx context.Context, batch []*eventhubs.ReceivedEvent) error {
				require.Len(t, batch, 10)
				for _, e := range batch {
					if err := handle(ctx, e); err != nil {
						return err
					}
				}
				return nil
			})
		})
		require.NoError(t, err)
		require.Equal(t, 3, h.n[3])
		require.Equal(t, 3, h.n[7], "a failure of another event does not count")
		require.Equal(t, 1, h.n[9], "the batch was done")
		letters := h.take("out", 2)
		require.Len(t, h.srv.AllEvents("out"), 2)
		require.Equal(t, "bad 3", string(letters[0].Body))
		require.Equal(t, "bad 7", string(letters[1].Body))
	})
}

// TestDeadLetterIsUnchanged has a body that is an AMQP value.
func TestDeadLetterIsUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHospital(t)
		h.relay.put(&azeventhubs.AMQPAnnotatedMessage{Body: azeventhubs.AMQPAnnotatedMessageBody{Value: "text"}}, nil)
		_, err := h.run(h.one(eventhubs.DeadLetter(h.dead, 1, func(context.Context, *eventhubs.ReceivedEvent) error {
			return errors.New("no body")
		})))
		require.NoError(t, err)
		letter := h.take("out", 1)[0]
		require.Equal(t, "text", letter.RawAMQPMessage.Body.Value)
		require.Equal(t, "no body", letter.Properties["dead_letter_reason"])
	})
}

// TestDeadLetterAfterTheEnd calls the handler of an event that is somebody else's by now.
func TestDeadLetterAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHospital(t)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		bad := errors.New("it was stopped")
		handle := eventhubs.DeadLetter(h.dead, 1, func(context.Context, *eventhubs.ReceivedEvent) error { return bad })
		require.Equal(t, bad, handle(ended, &eventhubs.ReceivedEvent{ReceivedEventData: &azeventhubs.ReceivedEventData{}}))
		require.Empty(t, h.srv.AllEvents("out"))
	})
}

func TestDeadLetterOfNothing(t *testing.T) {
	require.Panics(t, func() {
		eventhubs.DeadLetter(nil, 1, func(context.Context, *eventhubs.ReceivedEvent) error { return nil })
	})
	require.Panics(t, func() { eventhubs.DeadLetter(&eventhubs.Producer{}, 1, nil) })
}
