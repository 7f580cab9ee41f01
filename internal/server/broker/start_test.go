package broker_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

// spaced sends n events to partition 0, each in a different millisecond, and returns what is stored.
func spaced(t *testing.T, s *namespace, n int) []broker.Event {
	t.Helper()
	sender := s.open(t).sender("hub/Partitions/0")
	for i := range n {
		require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage([]byte(strconv.Itoa(i))), nil))
		for start := time.Now().UnixMilli(); time.Now().UnixMilli() == start; { // wait for the next millisecond
		}
	}
	events, err := s.Events("hub", "0")
	require.NoError(t, err)
	return events
}

func TestStart(t *testing.T) {
	s := serve(t, broker.Options{})
	e := spaced(t, s, 5)
	const (
		offset   = "amqp.annotation.x-opt-offset"
		sequence = "amqp.annotation.x-opt-sequence-number"
		enqueued = "amqp.annotation.x-opt-enqueued-time"
		next5    = 5  // the next event after the stored ones
		latest   = -1 // the first event after the reader is attached
	)
	c := s.open(t)
	for _, tt := range []struct {
		selector string
		first    int
	}{
		{"", 0},
		{offset + " > '-1'", 0},
		{offset + " >= '-1'", 0},
		{offset + " > '@latest'", latest},
		{offset + " >= '@latest'", latest},
		{offset + fmt.Sprintf(" > '%d'", e[0].Offset), 1},
		{offset + fmt.Sprintf(" >= '%d'", e[0].Offset), 0},
		{offset + fmt.Sprintf(" > '%d'", e[2].Offset), 3},
		{offset + fmt.Sprintf(" >= '%d'", e[2].Offset), 2},
		{offset + fmt.Sprintf(" >= '%d'", e[2].Offset+1), 3}, // between two events
		{offset + fmt.Sprintf(" > '%d'", e[4].Offset), next5},
		{sequence + " > '-1'", 0},
		{sequence + " >= '-1'", 0},
		{sequence + " >= '-100'", 0},
		{sequence + " >= '0'", 0},
		{sequence + " > '0'", 1},
		{sequence + " >= '3'", 3},
		{sequence + " > '3'", 4},
		{sequence + " > '4'", next5},
		{enqueued + " > '0'", 0},
		{enqueued + fmt.Sprintf(" > '%d'", e[1].Enqueued.UnixMilli()), 2},
		{enqueued + fmt.Sprintf(" >= '%d'", e[1].Enqueued.UnixMilli()), 1},
		{enqueued + fmt.Sprintf(" > '%d'", e[4].Enqueued.UnixMilli()), next5},
		{enqueued + " > '4102444800000'", latest}, // a time in the future: all stored events are too old
		{"  " + sequence + ">='3' ", 3},
		{sequence + " >= 3", 3}, // as .NET writes it
		{offset + " > -1", 0},
		{offset + " > @latest", latest},
	} {
		t.Run(tt.selector, func(t *testing.T) {
			r := c.mustRead(group, tt.selector, map[string]any{"com.microsoft:epoch": int64(1)})
			first := tt.first
			if first == latest {
				first = len(bodies(t, s, "0"))
			}
			c.send("hub/Partitions/0", "late")
			for i := first; i <= max(first, len(e)); i++ {
				m := next(t, r)
				require.EqualValues(t, i, m.Annotations["x-opt-sequence-number"])
				if i < len(e) {
					require.Equal(t, strconv.Itoa(i), string(m.GetData()))
				}
			}
		})
	}
}

func TestStartRefused(t *testing.T) {
	s := serve(t, broker.Options{})
	e := spaced(t, s, 3)
	c := s.open(t)
	for _, selector := range []string{
		"nonsense", "amqp.annotation.x-opt-offset", "amqp.annotation.x-opt-offset = '1'",
		"amqp.annotation.x-opt-offset > 'no offset'",
		"amqp.annotation.x-opt-offset > no offset", "amqp.annotation.x-opt-sequence-number > '@latest'",
		"amqp.annotation.x-opt-offset > ''",
		"amqp.annotation.x-opt-offset > '1' or 1=1", "amqp.annotation.x-opt-offset < '1'",
		"amqp.annotation.x-opt-offset > '1.5'",
		"amqp.annotation.x-opt-offset > '9223372036854775807'", "amqp.annotation.x-opt-offset > '99999999999999999999'",
		"amqp.annotation.x-opt-partition-key > '1'", "xamqp.annotation.x-opt-offset > '1'",
	} {
		_, err := c.reader(group, selector, nil)
		requireCondition(t, err, "com.microsoft:argument-error", strconv.Quote(selector))
	}
	// A position past the last event, such as a checkpoint of another hub.
	for selector, why := range map[string]string{
		fmt.Sprintf("amqp.annotation.x-opt-offset > '%d'", e[2].Offset+1): fmt.Sprintf(
			"The supplied offset '%d' is invalid. The last offset in the system is '%d'", e[2].Offset+1, e[2].Offset,
		),
		fmt.Sprintf("amqp.annotation.x-opt-offset >= '%d'", e[2].Offset+1): "is invalid",
		"amqp.annotation.x-opt-sequence-number > '488'": "The supplied sequence number '488' is " +
			"invalid. The last sequence number in the system is '2'",
		"amqp.annotation.x-opt-sequence-number >= '3'": "is invalid",
	} {
		_, err := c.reader(group, selector, nil)
		requireCondition(t, err, "com.microsoft:argument-error", why)
	}
	_, err := c.reader("hub/ConsumerGroups/$Default/Partitions/1", "amqp.annotation.x-opt-offset > '0'", nil)
	requireCondition(t, err, "com.microsoft:argument-error", "The last offset in the system is '-1'")
	_, err = c.sess.NewReceiver(ctx(t), group, &goamqp.ReceiverOptions{Filters: []goamqp.LinkFilter{
		goamqp.NewLinkFilter("apache.org:selector-filter:string", 0x0000468C00000004, int64(5)),
	}})
	requireCondition(t, err, "amqp:not-allowed", "apache.org:selector-filter:string")
}

// The SDK's start positions work, and so does a reader that comes back with the position of its last event.
func TestStartWithSDK(t *testing.T) {
	s := serve(t, broker.Options{})
	e := spaced(t, s, 4)
	consumer := s.consumer(t, "hub")
	read := func(p azeventhubs.StartPosition) (first *azeventhubs.ReceivedEventData) {
		pc, err := consumer.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: p})
		require.NoError(t, err)
		events, err := pc.ReceiveEvents(ctx(t), 1, nil)
		require.NoError(t, err)
		require.NoError(t, pc.Close(ctx(t)))
		return events[0]
	}
	first := read(azeventhubs.StartPosition{Earliest: ptr(true)})
	require.EqualValues(t, 0, first.SequenceNumber)
	second := read(azeventhubs.StartPosition{Offset: &first.Offset})
	require.EqualValues(t, 1, second.SequenceNumber)
	require.EqualValues(t, 0, read(azeventhubs.StartPosition{Offset: &first.Offset, Inclusive: true}).SequenceNumber)
	require.EqualValues(t, 2, read(azeventhubs.StartPosition{SequenceNumber: &second.SequenceNumber}).SequenceNumber)
	require.EqualValues(
		t, 1, read(azeventhubs.StartPosition{SequenceNumber: &second.SequenceNumber, Inclusive: true}).SequenceNumber,
	)
	require.EqualValues(t, 3, read(azeventhubs.StartPosition{EnqueuedTime: &e[2].Enqueued}).SequenceNumber)
	require.EqualValues(
		t, 2, read(azeventhubs.StartPosition{EnqueuedTime: &e[2].Enqueued, Inclusive: true}).SequenceNumber,
	)
}

// Events beyond the retention bound are dropped, oldest first. A reader that asks for a dropped event begins with the
// oldest stored one.
func TestRetention(t *testing.T) {
	const bound = 20_000
	s := serve(t, broker.Options{RetentionBytes: bound})
	c := s.open(t)
	slow := c.mustRead(group, earliest, map[string]any{"com.microsoft:epoch": int64(1)})
	require.NoError(t, slow.Close(ctx(t)))
	old, err := c.sess.NewReceiver(ctx(t), "hub/ConsumerGroups/Other/Partitions/0", &goamqp.ReceiverOptions{
		Credit: -1, Filters: []goamqp.LinkFilter{goamqp.NewSelectorFilter(earliest)},
	})
	require.NoError(t, err)
	sender := c.sender("hub/Partitions/0")
	const n = 100
	for range n {
		require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage(make([]byte, 1000)), nil))
	}
	events, err := s.Events("hub", "0")
	require.NoError(t, err)
	require.Greater(t, len(events), 10)
	require.LessOrEqual(t, len(events), bound/1000)
	first := events[0].SequenceNumber
	require.EqualValues(t, n-len(events), first)

	for _, selector := range []string{
		earliest, "amqp.annotation.x-opt-sequence-number >= '0'", "amqp.annotation.x-opt-enqueued-time > '0'",
		"amqp.annotation.x-opt-offset > '1'",
	} {
		r := c.mustRead(group, selector, map[string]any{"com.microsoft:epoch": int64(2)})
		for i := first; i < n; i++ {
			require.Equal(t, i, next(t, r).Annotations["x-opt-sequence-number"])
		}
	}
	require.NoError(t, old.IssueCredit(1)) // a reader that fell behind continues with the oldest stored event
	require.Equal(t, first, next(t, old).Annotations["x-opt-sequence-number"])
	p, err := s.producer(t, "hub").GetPartitionProperties(ctx(t), "0", nil)
	require.NoError(t, err)
	require.Equal(t, first, p.BeginningSequenceNumber)
	require.EqualValues(t, n-1, p.LastEnqueuedSequenceNumber)
	// The newest event stays, however large.
	require.NoError(t, sender.Send(ctx(t), goamqp.NewMessage(make([]byte, 2*bound)), nil))
	require.Len(t, bodies(t, s, "0"), 1)
}
