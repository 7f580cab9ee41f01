package guarantee_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

const updateInterval = 10 * time.Second // which is the default

var anotherJoins = []aCase{
	{"while events come", in(4, joinsAndLeaves)},
	{"32 partitions", in(32, joinsMany)},
	{"a third one", in(6, joinsThird)},
	{"a handler is running", in(2, func(s *scene.Scene) { joinsDuringHandler(s, 20*time.Second) })},
	{"a handler runs for longer than DrainTimeout", in(2, func(s *scene.Scene) { joinsDuringHandler(s, time.Hour) })},
}

// pauses measures for how long no event of a partition is handled. An event comes every second.
type pauses struct {
	pausesMu sync.Mutex
	last     map[string]time.Time
	longest  time.Duration
}

func (p *pauses) handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	p.pausesMu.Lock()
	defer p.pausesMu.Unlock()
	if p.last == nil {
		p.last = map[string]time.Time{}
	}
	if last, some := p.last[e.PartitionID]; some {
		p.longest = max(p.longest, time.Since(last))
	}
	p.last[e.PartitionID] = time.Now()
	return nil
}

// joinsAndLeaves has a consumer come and go while events come. Nothing is handled twice.
func joinsAndLeaves(s *scene.Scene) {
	ids := []string{"0", "1", "2", "3"}
	var p pauses
	stays := s.Receive("stays", eventhubs.ConsumerOptions{}, p.handle)
	s.During(5*time.Second, func(int) { s.Send(3, ids...) })
	for i := range 3 {
		guest := s.Receive(fmt.Sprintf("guest %d", i), eventhubs.ConsumerOptions{}, p.handle)
		s.During(2*updateInterval, func(int) { s.Send(3, ids...) })
		require.Equal(s.T, 2, s.Owned(guest.Who), "it has its share")
		s.During(5*time.Second, func(int) { s.Send(3, ids...) })
		guest.Stop()
		s.During(2*updateInterval, func(int) { s.Send(3, ids...) })
		require.Equal(s.T, 4, s.Owned(stays.Who))
	}
	s.UntilHandled()
	stays.Stop()
	require.LessOrEqual(s.T, p.longest, updateInterval+time.Second, "reading pauses for a hand-over only")
	s.Check(0)
}

func joinsMany(s *scene.Scene) {
	var ids []string
	for i := range 32 {
		ids = append(ids, fmt.Sprint(i))
	}
	var p pauses
	first := s.Receive("first", eventhubs.ConsumerOptions{}, p.handle)
	s.During(5*time.Second, func(int) { s.Send(1, ids...) })
	second := s.Receive("second", eventhubs.ConsumerOptions{}, p.handle)
	s.During(2*updateInterval, func(int) { s.Send(1, ids...) })
	require.Equal(s.T, 16, s.Owned("first"))
	require.Equal(s.T, 16, s.Owned("second"))
	s.UntilHandled()
	first.Stop()
	second.Stop()
	require.LessOrEqual(s.T, p.longest, 3*time.Second, "reading pauses for a hand-over only")
	s.Check(0)
}

func joinsThird(s *scene.Scene) {
	ids := []string{"0", "1", "2", "3", "4", "5"}
	var p pauses
	var all []*scene.Receiver
	for i := range 3 {
		all = append(all, s.Receive(fmt.Sprint("consumer ", i), eventhubs.ConsumerOptions{}, p.handle))
		s.During(3*updateInterval, func(int) { s.Send(2, ids...) })
	}
	for _, r := range all {
		require.Equal(s.T, 2, s.Owned(r.Who), r.Who)
	}
	s.UntilHandled()
	for _, r := range all {
		r.Stop()
	}
	require.LessOrEqual(s.T, p.longest, 3*time.Second, "reading pauses for a hand-over only")
	s.Check(0)
}

// joinsDuringHandler has another consumer join while a handler of each of the owner's partitions is running.
func joinsDuringHandler(s *scene.Scene, running time.Duration) {
	s.Send(10, "0", "1")
	busy := func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if e.SequenceNumber != 5 {
			return nil
		}
		select {
		case <-time.After(running):
			return nil
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), eventhubs.ErrDraining) {
				return eventhubs.Stop(context.Cause(ctx))
			}
			return ctx.Err()
		}
	}
	first := s.Receive("first", eventhubs.ConsumerOptions{}, busy)
	s.Until("handlers are running", func() bool { return s.Tally.HasCome("0", 5) && s.Tally.HasCome("1", 5) })
	began := time.Now()
	second := s.Receive("second", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.Until("it has its share", func() bool { return s.Owned("second") == 1 })
	took := time.Since(began)
	require.LessOrEqual(s.T, took, min(running, drainTimeout)+updateInterval+2*time.Second)
	moved := "0"
	if s.Owner("1") == "second" {
		moved = "1"
	}
	s.Until("it has handled what the first one left", func() bool { return s.Tally.Furthest(moved) == 9 })
	finished := int64(5)
	if running > drainTimeout {
		finished = 4
	}
	require.Equal(s.T, []int64{0, finished + 1}, s.Tally.Begins(moved))
	first.Stop()
	s.UntilHandled()
	second.Stop()
	s.Check(0)
}
