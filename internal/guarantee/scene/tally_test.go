package scene_test

import (
	"context"
	"errors"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// hold is a holding of partition 0.
func hold(who string, which int) scene.Holding {
	return scene.Holding{Who: who, Partition: "0", Which: which}
}

// handle hands events to a holding's handler, which completes them.
func handle(t *scene.Tally, h scene.Holding, sequences ...int64) {
	for _, n := range sequences {
		t.Comes(h, n, 1)
		t.Ends(h, n, 1, true)
	}
}

func places(sequences ...int64) (all []scene.Place) {
	for _, n := range sequences {
		all = append(all, scene.Place{Partition: "0", Sequence: n})
	}
	return all
}

func TestTallyCounts(t *testing.T) {
	t.Parallel()
	c := scene.NewTally()
	a, b := hold("a", 1), hold("b", 1)
	handle(c, a, 0, 1, 2)
	c.Comes(a, 3, 1)
	c.Ends(a, 3, 1, false)
	handle(c, b, 1, 2) // from a checkpoint
	require.Equal(t, places(3, 4), c.Lost(places(0, 1, 2, 3, 4)))
	require.Equal(t, 2, c.Repeated())
	require.Empty(t, c.OutOfOrder())
	require.Equal(t, []int64{0, 1}, c.Begins("0"))
	require.EqualValues(t, 2, c.Furthest("0"))
	require.EqualValues(t, -1, c.Furthest("1"))
	came, handled := c.Times("0", 3)
	require.Equal(t, [2]int{1, 0}, [2]int{came, handled})
}

func TestTallyFindsWhatIsOutOfOrder(t *testing.T) {
	t.Parallel()
	a, b := hold("a", 1), hold("a", 2)
	for name, happens := range map[string]func(c *scene.Tally){
		"an event is left out":              func(c *scene.Tally) { handle(c, a, 0, 2) },
		"an event comes again":              func(c *scene.Tally) { handle(c, a, 0, 0) },
		"a holding begins too late":         func(c *scene.Tally) { handle(c, a, 0, 1); handle(c, b, 3) },
		"two handlers of one partition run": func(c *scene.Tally) { c.Comes(a, 0, 1); c.Comes(b, 0, 1) },
		"after a failure, the next one": func(c *scene.Tally) {
			c.Comes(a, 0, 1)
			c.Ends(a, 0, 1, false)
			c.Comes(a, 1, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := scene.NewTally()
			happens(c)
			require.Len(t, c.OutOfOrder(), 1)
		})
	}
}

func TestTallySkips(t *testing.T) {
	t.Parallel()
	c := scene.NewTally()
	handle(c, hold("a", 1), 0, 1)
	c.Skip("0", 2)
	c.Skip("0", 3)
	handle(c, hold("a", 1), 4)
	handle(c, hold("b", 1), 5)
	require.Empty(t, c.Lost(places(0, 1, 2, 3, 4, 5)))
	require.Empty(t, c.OutOfOrder())
}

func TestTallyOfTheDead(t *testing.T) {
	t.Parallel()
	c := scene.NewTally()
	handle(c, hold("a", 1), 0)
	c.Comes(hold("a", 1), 1, 1)
	c.Kill("a")
	c.Ends(hold("a", 1), 1, 1, true)
	handle(c, hold("a", 1), 7)
	handle(c, hold("b", 1), 1)
	require.Empty(t, c.OutOfOrder())
	require.Zero(t, c.Repeated())
}

func TestTallyStartsOver(t *testing.T) {
	t.Parallel()
	c := scene.NewTally()
	handle(c, hold("a", 1), 0, 1, 2, 2)
	c.StartOver()
	require.Equal(t, places(0), c.Lost(places(0)))
	handle(c, hold("a", 1), 0)
	require.Zero(t, c.Repeated())
	require.Len(t, c.OutOfOrder(), 1, "it remembers what was wrong")
}

// TestTallyHandlers wraps handlers that fail, and that panic.
func TestTallyHandlers(t *testing.T) {
	t.Parallel()
	c := scene.NewTally()
	event := func(n int64) *eventhubs.ReceivedEvent {
		data := &azeventhubs.ReceivedEventData{SequenceNumber: n}
		return &eventhubs.ReceivedEvent{PartitionID: "0", ReceivedEventData: data}
	}
	var result error
	h := c.Handler("a", func(context.Context, *eventhubs.ReceivedEvent) error { return result })
	require.NoError(t, h(t.Context(), event(0)))
	result = errors.New("no")
	require.ErrorIs(t, h(t.Context(), event(1)), result)
	require.Equal(t, places(1), c.Lost(places(0, 1)))
	batches := c.BatchHandler("a", func(context.Context, []*eventhubs.ReceivedEvent) error { panic("oh no") })
	require.Panics(t, func() { _ = batches(t.Context(), []*eventhubs.ReceivedEvent{event(1), event(2)}) })
	require.Equal(t, places(1, 2), c.Lost(places(0, 1, 2)))
	result = nil
	require.NoError(t, h(t.Context(), event(1)))
	require.Empty(t, c.OutOfOrder())
}
