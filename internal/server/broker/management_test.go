package broker_test

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/broker"
)

func TestProperties(t *testing.T) {
	started := time.Now().Truncate(time.Millisecond)
	s := serve(t, broker.Options{Hubs: []broker.Hub{{Name: "My-Hub", Partitions: 12}}})
	consumer, producer := s.consumer(t, "my-HUB"), s.producer(t, "My-Hub")
	hub, err := consumer.GetEventHubProperties(ctx(t), nil)
	require.NoError(t, err)
	require.Equal(t, "My-Hub", hub.Name)
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}, hub.PartitionIDs)
	require.False(t, hub.CreatedOn.Before(started) || hub.CreatedOn.After(time.Now()), hub.CreatedOn)
	require.False(t, hub.GeoReplicationEnabled)

	empty, err := producer.GetPartitionProperties(ctx(t), "11", nil)
	require.NoError(t, err)
	require.Equal(t, azeventhubs.PartitionProperties{
		EventHubName: "My-Hub", PartitionID: "11", IsEmpty: true, LastEnqueuedSequenceNumber: -1, LastEnqueuedOffset: "-1",
		LastEnqueuedOn: time.Time{}.UTC(),
	}, utc(empty))

	for range 3 {
		sendBatch(t, producer, batchOf{partition: "11", bodies: []string{"x"}})
	}
	events, err := s.Events("My-Hub", "11")
	require.NoError(t, err)
	got, err := consumer.GetPartitionProperties(ctx(t), "11", nil)
	require.NoError(t, err)
	pc, err := consumer.NewPartitionClient("11", &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{Earliest: ptr(true)},
	})
	require.NoError(t, err)
	read, err := pc.ReceiveEvents(ctx(t), 3, nil)
	require.NoError(t, err)
	require.NoError(t, pc.Close(ctx(t)))
	require.Equal(t, azeventhubs.PartitionProperties{
		EventHubName: "My-Hub", PartitionID: "11", LastEnqueuedSequenceNumber: 2, LastEnqueuedOffset: read[2].Offset,
		LastEnqueuedOn: events[2].Enqueued,
	}, utc(got))
}

func utc(p azeventhubs.PartitionProperties) azeventhubs.PartitionProperties {
	p.LastEnqueuedOn = p.LastEnqueuedOn.UTC()
	return p
}

func TestPropertiesOfWhatIsNotThere(t *testing.T) {
	s := serve(t, broker.Options{})
	_, err := s.consumer(t, "none").GetEventHubProperties(ctx(t), nil)
	notFound := "status code 404 and description: The messaging entity 'sb://" + s.addr + "/none' could not be found"
	require.ErrorContains(t, err, "rpc: failed, "+notFound)
	_, err = s.consumer(t, "none").GetPartitionProperties(ctx(t), "0", nil)
	require.ErrorContains(t, err, notFound)
	c := s.open(t) // a token for the whole namespace lets the client ask the node itself
	m := readRequest("com.microsoft:eventhub")
	m.ApplicationProperties["name"] = "none"
	answer := c.request("$management", m)
	code, description := statusOf(answer)
	require.Equal(t, int32(404), code)
	require.Contains(t, description, "The messaging entity 'none' could not be found")
	requireErrorCondition(t, answer, 404)
	for _, id := range []string{"4", "-1", "x", "00"} {
		_, err = s.consumer(t, "hub").GetPartitionProperties(ctx(t), id, nil)
		require.ErrorContains(t, err, "status code 400 and description: The specified partition is invalid for an EventHub "+
			"partition sender or receiver.")
		m := readRequest("com.microsoft:partition")
		m.ApplicationProperties["partition"] = id
		answer := c.request("$management", m)
		require.EqualValues(t, "com.microsoft:argument-out-of-range", answer.ApplicationProperties["error-condition"])
	}
}

func TestManagementRequests(t *testing.T) {
	s := serve(t, broker.Options{})
	c := s.open(t)
	read := func(name, value any) map[string]any {
		m := map[string]any{"operation": "READ", "type": "com.microsoft:partition", "name": "hub", "partition": "0"}
		if name != nil {
			m[name.(string)] = value
		}
		return m
	}
	for name, tt := range map[string]struct {
		properties map[string]any
		code       int32
	}{
		"good":              {read(nil, nil), 200},
		"nothing":           {nil, 400},
		"another operation": {read("operation", "WRITE"), 400},
		"operation no text": {read("operation", int64(1)), 400},
		"another type":      {read("type", "com.microsoft:queue"), 400},
		"type no text":      {read("type", []byte("com.microsoft:eventhub")), 400},
		"name no text":      {read("name", true), 404},
		"no name":           {read("name", ""), 404},
		"partition no text": {read("partition", int32(0)), 400},
	} {
		t.Run(name, func(t *testing.T) {
			for _, m := range []*goamqp.Message{{Value: "", ApplicationProperties: tt.properties}, {
				Data: [][]byte{{1}}, ApplicationProperties: tt.properties,
			}} {
				answer := c.request("$management", m)
				code, description := statusOf(answer)
				require.Equal(t, tt.code, code, description)
				requireErrorCondition(t, answer, tt.code)
			}
		})
	}
	for rule, key := range map[string]string{"sender": "s", "listener": "l"} { // any right is enough
		c := s.dial(t)
		answer := c.request("$management", &goamqp.Message{ApplicationProperties: read(nil, nil)})
		code, _ := statusOf(answer)
		require.Equal(t, int32(401), code)
		requireErrorCondition(t, answer, 401)
		c.authorize("sb://host/hub/$management", rule, key) // the Go SDK asks for a token for this
		code, _ = statusOf(c.request("$management", &goamqp.Message{ApplicationProperties: read(nil, nil)}))
		require.Equal(t, int32(200), code)
	}
	// Java's client puts no token on $cbs, but sends one with each request.
	for key, want := range map[string]int32{"s": 200, "wrong": 401} {
		properties := read("security_token", sas("sb://host/hub", "sender", key, time.Now().Add(time.Hour)))
		code, _ := statusOf(s.dial(t).request("$management", &goamqp.Message{ApplicationProperties: properties}))
		require.Equal(t, want, code)
	}
	// Bytes that are not a message are refused.
	m := &goamqp.Message{
		Format: 1, Data: [][]byte{{1}}, Header: &goamqp.MessageHeader{},
		Properties: &goamqp.MessageProperties{MessageID: goamqp.UUID{1}},
	}
	require.NoError(t, c.sender("$management").Send(ctx(t), m, nil))
}

// A peer that asks and never reads loses its connection before it fills the memory.
func TestAnswersUnread(t *testing.T) {
	s := serve(t, broker.Options{Hubs: []broker.Hub{{Name: "hub", Partitions: 10_000}}})
	c := s.open(t)
	sender := c.sender("$management")
	_, err := c.sess.NewReceiver(ctx(t), "$management", &goamqp.ReceiverOptions{TargetAddress: "answers", Credit: -1})
	require.NoError(t, err)
	asked := 0
	for ; err == nil && asked < 1000; asked++ {
		err = sender.Send(ctx(t), ask("answers"), nil)
	}
	require.Error(t, err, "an answer has more than 80 KB, and there are %d", asked)
	require.Equal(t, goamqp.ErrCondResourceLimitExceeded, lost(t, c).RemoteErr.Condition)
}

// ask returns a request whose answer is large if the hub has many partitions.
func ask(replyTo string) *goamqp.Message {
	return &goamqp.Message{
		Value:                 "",
		Properties:            &goamqp.MessageProperties{MessageID: "x", ReplyTo: &replyTo},
		ApplicationProperties: map[string]any{"operation": "READ", "type": "com.microsoft:eventhub", "name": "hub"},
	}
}

// Answers that nobody reads do not count once their link is gone. Without a link there are none.
func TestAnswersForgotten(t *testing.T) {
	s := serve(t, broker.Options{Hubs: []broker.Hub{{Name: "hub", Partitions: 10_000}}})
	c := s.open(t)
	sender := c.sender("$management")
	for range 12 {
		receiver, err := c.sess.NewReceiver(
			ctx(t), "$management", &goamqp.ReceiverOptions{TargetAddress: "answers", Credit: -1},
		)
		require.NoError(t, err)
		for range 12 { // of more than 80 KB each
			require.NoError(t, sender.Send(ctx(t), ask("answers"), nil))
		}
		require.NoError(t, receiver.Close(ctx(t)))
		require.NoError(t, sender.Send(ctx(t), ask("nowhere"), nil))
	}
	c.send("hub", "still here")
}

// A link for answers need not have a target. JavaScript's client puts the link's name in reply-to. Python's leaves
// reply-to out, and reads from the link that it opened last.
func TestAnswersToLinkWithoutTarget(t *testing.T) {
	for name, replyTo := range map[string]*string{"by name": ptr("the link"), "the newest": nil} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, broker.Options{}).open(t)
			receiver, err := c.sess.NewReceiver(ctx(t), "$management", &goamqp.ReceiverOptions{Name: "the link"})
			require.NoError(t, err)
			m := ask("")
			m.Properties.ReplyTo = replyTo
			require.NoError(t, c.sender("$management").Send(ctx(t), m, nil))
			code, description := statusOf(next(t, receiver))
			require.Equal(t, int32(200), code, description)
		})
	}
}
