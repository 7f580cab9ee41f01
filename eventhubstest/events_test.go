package eventhubstest_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func TestEvents(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	p, err := eventhubs.NewProducer(s.Config("hub"), nil)
	require.NoError(t, err)
	defer p.Close(ctx(t))
	before := time.Now().Truncate(time.Millisecond)
	sent := []eventhubs.Event{
		{
			Body: []byte("all"), PartitionKey: "sOdeEAsyQoEuEFPGerWO",
			Properties:  map[string]any{"a": int64(1), "b": "two", "c": true},
			ContentType: "text/plain", MessageID: "m", CorrelationID: uint64(7),
		},
		{Body: []byte("to one"), PartitionID: "1", MessageID: "n"},
		{Body: []byte{}, PartitionID: "1", MessageID: "o"},
	}
	require.NoError(t, p.Send(ctx(t), sent...))
	got := s.AllEvents("HUB") // partition 1 comes before 3, to which the key belongs
	require.Len(t, got, 3)
	sent[0].PartitionID = "3"
	require.Equal(t, sent[0], got[2].Event)
	require.Equal(t, sent[1], got[0].Event)
	require.Equal(t, sent[2], got[1].Event)
	require.Equal(t, got[2:], s.Events("hub", "3"))
	for i, e := range s.Events("hub", "1") {
		require.EqualValues(t, i, e.SequenceNumber)
		require.False(t, e.EnqueuedTime.Before(before))
		_, err := strconv.ParseInt(e.Offset, 10, 64)
		require.NoError(t, err)
	}
	got[0].Body[0] = 'X' // the caller may change what Events returned
	require.Equal(t, "to one", string(s.Events("hub", "1")[0].Body))

	require.Nil(t, s.Events("none", "0"))
	require.Nil(t, s.Events("hub", "4"))
	require.Nil(t, s.AllEvents("none"))
	require.Empty(t, s.Events("hub", "0"))
}

// Events returns what the SDK reads.
func TestEventsAsReceived(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	require.NoError(t, send(ctx(t), producer(t, s.Config("hub")), "2", "a", "b", "c"))
	read, err := partition(t, consumer(t, s.Config("hub")), "2").ReceiveEvents(ctx(t), 3, nil)
	require.NoError(t, err)
	for i, e := range s.Events("hub", "2") {
		require.Equal(t, read[i].Body, e.Body)
		require.Equal(t, read[i].SequenceNumber, e.SequenceNumber)
		require.Equal(t, read[i].Offset, e.Offset)
		require.True(t, read[i].EnqueuedTime.Equal(e.EnqueuedTime))
	}
}

// A body that is not one piece of binary is nil, as it is in the SDK.
func TestEventsWithOtherBodies(t *testing.T) {
	s := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}})
	p := producer(t, s.Config("hub"))
	batch, err := p.NewEventDataBatch(ctx(t), nil)
	require.NoError(t, err)
	for _, body := range []azeventhubs.AMQPAnnotatedMessageBody{
		{Value: "v"}, {Sequence: [][]any{{"s"}}}, {Data: [][]byte{{1}, {2}}},
	} {
		require.NoError(t, batch.AddAMQPAnnotatedMessage(&azeventhubs.AMQPAnnotatedMessage{
			Body: body, ApplicationProperties: map[string]any{"a": "b"},
			Properties: &azeventhubs.AMQPAnnotatedMessageProperties{MessageID: uint64(5)}, // not a string: no MessageID
		}, nil))
	}
	require.NoError(t, p.SendEventDataBatch(ctx(t), batch, nil))
	events := s.AllEvents("hub")
	require.Len(t, events, 3)
	for _, e := range events {
		require.Nil(t, e.Body)
		require.Empty(t, e.MessageID)
		require.Equal(t, map[string]any{"a": "b"}, e.Properties)
	}
}
