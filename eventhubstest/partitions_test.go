package eventhubstest_test

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The SDK finds partitions that are added, and sends to them.
func TestAddPartitions(t *testing.T) {
	s := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}})
	p := producer(t, s.Config("hub"))
	require.NoError(t, send(ctx(t), p, "0", "before"))
	require.Error(t, send(ctx(t), p, "1", "too early"))
	require.NoError(t, s.AddPartitions("hub", 2))
	require.NoError(t, send(ctx(t), p, "2", "after"))
	require.Equal(t, []string{"after"}, bodies(s.Events("hub", "2")))
	properties, err := p.GetEventHubProperties(ctx(t), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"0", "1", "2"}, properties.PartitionIDs)
	require.EqualError(t, s.AddPartitions("none", 1), `eventhubstest: add partitions: no event hub "none"`)
}

// After a Reset, the SDK opens new links with the token that it has. A position of the old hub is refused.
func TestReset(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	p, c := producer(t, s.Config("hub")), consumer(t, s.Config("hub"))
	for range 3 {
		require.NoError(t, send(ctx(t), p, "0", "old"))
	}
	before, err := c.GetEventHubProperties(ctx(t), nil)
	require.NoError(t, err)
	old := s.Events("hub", "0")
	require.NoError(t, s.Reset("hub"))
	require.Empty(t, s.AllEvents("hub"))
	require.NoError(t, send(ctx(t), p, "0", "new"))
	after, err := c.GetEventHubProperties(ctx(t), nil)
	require.NoError(t, err)
	require.False(t, after.CreatedOn.Before(before.CreatedOn))
	events := s.Events("hub", "0")
	require.Equal(t, []string{"new"}, bodies(events))
	require.Zero(t, events[0].SequenceNumber)

	pc, err := c.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{Offset: &old[2].Offset},
	})
	require.NoError(t, err)
	_, err = pc.ReceiveEvents(ctx(t), 1, nil)
	require.ErrorContains(t, err, "com.microsoft:argument-error")
	require.NoError(t, pc.Close(ctx(t)))
	require.EqualError(t, s.Reset("none"), `eventhubstest: reset: no event hub "none"`)
}
