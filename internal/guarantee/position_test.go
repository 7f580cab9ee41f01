package guarantee_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

var positionIsRefused = []aCase{
	{"the event hub is made again while it is read", in(2, madeAgainWhileReading)},
	{"the event hub is made again while a handler runs", in(1, madeAgainWhileHandling)},
	{"the event hub is made again before a restart", madeAgainBefore(4)},
	{"the event hub is made again before a restart, and has outgrown its checkpoints", madeAgainBefore(30)},
	{"the event hub is made again before a restart, and is empty", madeAgainBefore(0)},
	{"raw SDK", in(1, rawMadeAgain)},
}

// reset replaces the event hub by a new one of the same name. No handler may be running.
func reset(s *scene.Scene) {
	s.T.Helper()
	require.NoError(s.T, s.Server.Reset(scene.Hub))
	s.Tally.StartOver()
}

// requireRestarted expects that both partitions were read from their earliest event, that this was logged, and that
// checkpoints are written again.
func requireRestarted(s *scene.Scene) {
	s.T.Helper()
	s.UntilHandled()
	for _, id := range []string{"0", "1"} {
		s.CheckLogged("level=ERROR", "does not exist: reading restarts from the earliest event", "partition="+id)
		require.EqualValues(s.T, 0, s.Tally.Begins(id)[0])
	}
	s.UntilCovered("0", "1")
	s.Check(0)
}

func madeAgainWhileReading(s *scene.Scene) {
	s.Send(10, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.UntilCovered("0", "1")
	reset(s)
	s.Send(4, "0", "1")
	began := time.Now()
	s.UntilHandled()
	require.Less(s.T, time.Since(began), 5*time.Second)
	requireRestarted(s)
	s.Send(30, "0", "1") // further than before
	s.UntilHandled()
	s.UntilCovered("0", "1")
	r.Stop()
	next := s.Receive("next", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.Send(1, "0", "1")
	s.UntilHandled()
	next.Stop()
	s.Check(0)
}

// madeAgainWhileHandling replaces the event hub while a handler has an event of the old one. The tally knows events by
// their sequence numbers, so this test counts bodies.
func madeAgainWhileHandling(s *scene.Scene) {
	send := func(what string, n int) {
		for i := range n {
			e := eventhubs.Event{Body: fmt.Appendf(nil, "%s %d", what, i), PartitionID: "0"}
			require.NoError(s.T, s.Producer().Send(s.T.Context(), e))
		}
	}
	var handledMu sync.Mutex
	var handled []string
	running, release := make(chan struct{}), make(chan struct{})
	r := s.ConsumerWith(s.Config, s.OpenStore(scene.Container), eventhubs.ConsumerOptions{InstanceID: "only"})
	r.ReceiveUncounted(func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if string(e.Body) == "old 5" {
			close(running)
			await(s, release)
		}
		handledMu.Lock()
		defer handledMu.Unlock()
		handled = append(handled, string(e.Body))
		return nil
	})
	send("old", 6)
	<-running
	require.NoError(s.T, s.Server.Reset(scene.Hub))
	send("new", 3)
	time.Sleep(30 * time.Second)
	close(release)
	time.Sleep(30 * time.Second)
	r.Stop()
	want := []string{"old 0", "old 1", "old 2", "old 3", "old 4", "old 5", "new 0", "new 1", "new 2"}
	require.Equal(s.T, want, handled)
	require.EqualValues(s.T, 2, s.Checkpoint("0"))
}

// madeAgainBefore replaces the event hub, so that checkpoints are left of the old one. The new one has so many events.
func madeAgainBefore(events int) func(*testing.T) {
	return in(2, func(s *scene.Scene) {
		s.Send(10, "0", "1")
		r := s.Receive("first", eventhubs.ConsumerOptions{}, scene.Nothing)
		s.UntilHandled()
		r.Stop()
		time.Sleep(time.Minute)
		reset(s)
		if events > 0 {
			s.Send(events, "0", "1")
		}
		time.Sleep(time.Minute)
		r = s.Receive("second", latest(), scene.Nothing) // it ignores Start
		s.UntilHandled()
		synctest.Wait()
		s.Send(1, "0", "1")
		requireRestarted(s)
		r.Stop()
	})
}

// rawMadeAgain records what the SDK does: it tries to begin at a position that doesn't exist until it exists again.
// Events before it are skipped.
func rawMadeAgain(s *scene.Scene) {
	s.Send(10, "0")
	r := s.Raw("reader", scene.Group, s.RawStore(), earliest)
	c := r.Partition()
	for range 10 {
		r.Next(c)
	}
	require.NoError(s.T, s.Server.Reset(scene.Hub))
	s.Send(5, "0")
	ctx, cancel := context.WithTimeout(s.T.Context(), 10*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if events, err := c.ReceiveEvents(ctx, 1, nil); err == nil {
			s.Mended(fmt.Sprintf("an event hub that was made again is read on after the old position (now: %d)",
				events[0].SequenceNumber), "restartRefused in internal/receive")
			return
		}
	}
}

var partitionsAreAdded = []aCase{
	{"while they are read", in(2, addedWhileReading)},
	{"to a group of two", in(2, addedToTwo)},
	{"raw SDK", in(1, rawAdded)},
}

// added adds two partitions, and returns how long it takes until their events are handled.
func added(s *scene.Scene) time.Duration {
	s.T.Helper()
	require.NoError(s.T, s.Server.AddPartitions(scene.Hub, 2))
	s.Send(5, "2", "3")
	began := time.Now()
	s.UntilHandled()
	return time.Since(began)
}

func addedWhileReading(s *scene.Scene) {
	s.Send(5, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	time.Sleep(90 * time.Second)
	require.LessOrEqual(s.T, added(s), time.Minute)
	s.UntilCovered("2", "3")
	r.Stop()
	require.Len(s.T, s.Tally.Holdings(), 4)
	s.Check(0)
}

func addedToTwo(s *scene.Scene) {
	first := s.Receive("first", eventhubs.ConsumerOptions{}, scene.Nothing)
	second := s.Receive("second", eventhubs.ConsumerOptions{}, scene.Nothing)
	time.Sleep(90 * time.Second)
	require.LessOrEqual(s.T, added(s), time.Minute)
	time.Sleep(2 * time.Minute)
	require.Equal(s.T, 2, s.Owned("first"))
	require.Equal(s.T, 2, s.Owned("second"))
	first.Stop()
	second.Stop()
	s.Check(0)
}

// rawAdded records what the SDK does: the Processor asks for the partitions once.
func rawAdded(s *scene.Scene) {
	r := s.Raw("reader", scene.Group, s.RawStore(), earliest)
	r.Partition()
	require.NoError(s.T, s.Server.AddPartitions(scene.Hub, 2))
	time.Sleep(time.Hour)
	select {
	case c := <-r.Clients:
		s.Mended("partition "+c.PartitionID()+", which was added, is never read", "AskPartitions in internal/balance")
	default:
	}
}
