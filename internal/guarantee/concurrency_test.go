package guarantee_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

var handlersRunConcurrently = []aCase{
	{"and the process is killed", in(2, killedConcurrently)},
	{"and a key fails for ever", in(2, keyFailsForEver)},
	{"in order by key, with retries, steals and restarts", in(1, inOrderByKey)},
	{"and ctx is cancelled", in(1, drainedConcurrently)},
}

const mostAhead = 50

// concurrent are the options of a consumer that runs several handlers of a partition, by key.
func concurrent(s *scene.Scene, keys int64) eventhubs.ConsumerOptions {
	return eventhubs.ConsumerOptions{Concurrency: 8, MaxAhead: mostAhead, Key: s.Tally.Key(keys)}
}

// killedConcurrently has a machine fail while one event is not completed, and all events that may be ahead of it are.
func killedConcurrently(s *scene.Scene) {
	o := concurrent(s, 100)
	killed := s.ConsumerOn(s.Host(), "killed", o)
	s.Send(100, "0", "1")
	killed.Receive(func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber == 5 {
			<-ctx.Done()
		}
		return ctx.Err()
	})
	s.Until("handlers are as far ahead as they may be", func() bool {
		return s.Tally.Furthest("0") == 5+mostAhead-1 && s.Tally.Furthest("1") == 5+mostAhead-1
	})
	s.UntilCheckpoint("0", 4)
	s.UntilCheckpoint("1", 4)
	killed.Kill()
	next := s.Receive("next", o, scene.Nothing)
	s.UntilHandled()
	next.Stop()
	require.Equal(s.T, 2*(mostAhead-1), s.Tally.Repeated(), "what was completed beyond the prefix")
	require.EqualValues(s.T, 99, s.Checkpoint("0"))
	s.Check(2 * mostAhead)
}

// keyFailsForEver has the events of one key fail for ever. That holds up the key, then the partition at MaxAhead, and
// no other partition. What is ahead of the key is repeated after a restart.
func keyFailsForEver(s *scene.Scene) {
	o := concurrent(s, 10)
	s.Send(100, "0")
	s.Send(200, "1")
	first := s.Receive("first", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		if e.PartitionID == "0" && e.SequenceNumber%10 == 3 {
			return errors.New("never")
		}
		return nil
	})
	const ahead = mostAhead - mostAhead/10 // events of other keys
	s.Until("the others are handled", func() bool {
		return s.Tally.Furthest("0") == 3+mostAhead-1 && s.Checkpoint("1") == 199
	})
	time.Sleep(5 * time.Minute)
	require.Equal(s.T, 3+mostAhead-1, int(s.Tally.Furthest("0")), "no further")
	require.EqualValues(s.T, 2, s.Checkpoint("0"))
	p := first.Consumer.Partitions()[0]
	require.Equal(s.T, ahead, p.Ahead)
	require.EqualValues(s.T, 3, p.Attempt.SequenceNumber)
	s.CheckLogged("level=WARN", "MaxAhead", "partition=0", "sequence=3")
	first.Stop()
	next := s.Receive("next", o, scene.Nothing)
	s.UntilHandled()
	next.Stop()
	require.Equal(s.T, []int64{0, 3}, s.Tally.Begins("0"))
	s.Check(ahead)
}

// inOrderByKey has a partition move between consumers whose handlers fail now and then.
func inOrderByKey(s *scene.Scene) {
	o := concurrent(s, 7)
	var failedMu sync.Mutex
	failed := map[int64]bool{}
	handler := func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		select {
		case <-time.After(time.Duration(e.SequenceNumber%11) * 100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		failedMu.Lock()
		defer failedMu.Unlock()
		if e.SequenceNumber%3 == 0 && !failed[e.SequenceNumber] {
			failed[e.SequenceNumber] = true
			return errors.New("once")
		}
		return nil
	}
	one := s.Receive("one", o, handler)
	for round := range 6 {
		s.Send(100, "0")
		time.Sleep(5 * time.Second)
		switch round % 3 {
		case 0:
			takeInStore(s, s.Store, "0")
		case 1:
			s.Server.DropConnections()
		case 2:
			one.Stop()
			one = s.Receive("one", o, handler)
		}
	}
	s.UntilHandled()
	one.Stop()
	require.EqualValues(s.T, 599, s.Checkpoint("0"))
	s.Check(2 * 2 * mostAhead) // after both steals: what was ahead, and what no checkpoint covered
}

// drainedConcurrently expects a drain to close the gaps, so that nothing is repeated although much was ahead.
func drainedConcurrently(s *scene.Scene) {
	o := concurrent(s, 10)
	s.Send(100, "0")
	release := make(chan struct{})
	slow := func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber == 3 {
			await(s, release)
		}
		return ctx.Err()
	}
	first := s.Receive("first", o, slow)
	s.Until("others are ahead", func() bool { return s.Tally.Furthest("0") == 3+mostAhead-1 })
	time.AfterFunc(20*time.Second, func() { close(release) })
	first.Stop()
	require.EqualValues(s.T, 3+mostAhead-1, s.Checkpoint("0"))
	next := s.Receive("next", o, scene.Nothing)
	s.UntilHandled()
	next.Stop()
	s.Check(0)
}
