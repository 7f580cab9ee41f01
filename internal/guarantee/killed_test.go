package guarantee_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

var processIsKilled = []aCase{
	{"while its handlers run", killedWhileHandling},
	{"while events come", killedWhileReading},
	{"its machine loses power", in(2, losesPower)},
}

func killedWhileHandling(t *testing.T) {
	s := onSockets(t, 2)
	s.Send(40, "0", "1")
	killed := start(s, childOptions{Name: "killed", CheckpointCount: 10, BlockAt: 25})
	s.Until("handlers run in both", func() bool { return s.Tally.HasCome("0", 25) && s.Tally.HasCome("1", 25) })
	s.Until("what was handled is covered", func() bool { return s.Checkpoint("0") >= 19 && s.Checkpoint("1") >= 19 })
	killed.kill()
	takenOver(s, quick())
}

func killedWhileReading(t *testing.T) {
	s := onSockets(t, 2)
	s.Send(400, "0", "1")
	killed := start(s, childOptions{Name: "killed", CheckpointCount: 10, BlockAt: -1})
	s.Until("some events are handled", func() bool { return s.Tally.HasCome("0", 100) && s.Tally.HasCome("1", 100) })
	killed.kill()
	s.Send(1, "0", "1") // it may have handled everything
	takenOver(s, quick())
}

// losesPower has one machine of two fail while events come, with default options. The other one takes over once the
// claims have expired.
func losesPower(s *scene.Scene) {
	killed := s.ConsumerOn(s.Host(), "killed", eventhubs.ConsumerOptions{})
	killed.Receive(scene.Nothing)
	s.During(25*time.Second, func(int) { s.Send(10, "0", "1") })
	s.UntilHandled()
	killed.Kill()
	began := time.Now()
	takenOver(s, eventhubs.ConsumerOptions{})
	require.Less(s.T, time.Since(began), 75*time.Second, "an expiration, an interval, and a little")
	require.LessOrEqual(s.T, s.Tally.Repeated(), 2*110, "what was sent in a CheckpointInterval, and a little")
}

// takenOver has a consumer continue after another one was killed.
func takenOver(s *scene.Scene, o eventhubs.ConsumerOptions) {
	repeated := 0
	stored := map[string]int64{}
	for _, id := range []string{"0", "1"} {
		stored[id] = s.Checkpoint(id)
		repeated += int(max(s.Tally.Furthest(id)-stored[id], 0))
	}
	require.Equal(s.T, "killed", s.Owner("0"), "nobody has given it back")
	var begunMu sync.Mutex
	begun := map[string]bool{}
	r := s.Receive("next", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		begunMu.Lock()
		defer begunMu.Unlock()
		begun[e.PartitionID] = true
		return nil
	})
	s.Until("all that was not covered is handled", func() bool {
		begunMu.Lock()
		defer begunMu.Unlock()
		return len(s.Tally.Lost(s.Sent())) == 0 && begun["0"] && begun["1"]
	})
	r.Stop()
	for _, id := range []string{"0", "1"} {
		require.Equal(s.T, []int64{0, stored[id] + 1}, s.Tally.Begins(id), "from the last checkpoint")
		require.Equal(s.T, s.Last(id), s.Checkpoint(id))
	}
	s.Check(repeated)
}
