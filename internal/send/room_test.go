package send_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/send"
)

// roomy are options with so many KiB of room, and a server that keeps what is sent.
func roomy(kib int) options {
	return options{
		server:   eventhubstest.Options{RetentionBytes: 1 << 30},
		producer: eventhubs.ProducerOptions{MaxInFlight: kib << 10},
	}
}

// TestMoreThanTheRoom: one call may send any amount, however large each event is and however little room there is.
func TestMoreThanTheRoom(t *testing.T) {
	for name, tc := range map[string]struct {
		room      int
		n, kib    int
		partition string
	}{
		"of 300 KiB to a partition":   {0, 64, 300, "0"},
		"of 300 KiB to anywhere":      {0, 64, 300, ""},
		"of 1,000 KiB":                {0, 20, 1000, "0"},
		"larger than the room":        {100, 5, 300, "0"},
		"smallest room":               {1, 20, 1, "0"},
		"many small ones, small room": {64, 2000, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, roomy(tc.room), func(t *testing.T, s *scene) {
				events := make([]eventhubs.Event, tc.n)
				for i := range events {
					events[i] = sized(tc.kib, tc.partition)
				}
				require.NoError(t, s.Send(t.Context(), events...))
				require.Len(t, s.srv.AllEvents("hub"), tc.n)
			})
		})
	}
}

// TestRoomIsABound: what is on its way is not more than MaxInFlight.
func TestRoomIsABound(t *testing.T) {
	bubble(t, roomy(1000), func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), sized(1, "0"), sized(1, "1")))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Delay: time.Second})
		for _, partition := range []string{"0", "1"} {
			var events []eventhubs.Event
			for range 100 {
				events = append(events, sized(100, partition))
			}
			go func() { _ = s.Send(t.Context(), events...) }()
		}
		synctest.Wait()
		time.Sleep(time.Second / 2)
		bytes := 0
		for _, e := range s.srv.AllEvents("hub") {
			bytes += len(e.Body)
		}
		require.Greater(t, bytes, 100<<10)
		require.LessOrEqual(t, bytes, 1000<<10)
	})
}

// TestSmallEventsDoNotWait: a caller that wants a lot does not hold up others: to the same connection they wait for a
// little to get through, and to another one not at all.
func TestSmallEventsDoNotWait(t *testing.T) {
	bubble(t, roomy(1000), func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), sized(1, "0"), sized(1, "1"), sized(1, "")))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Partition: "0", Delay: time.Second})
		var events []eventhubs.Event
		for range 200 { // half a minute's worth
			events = append(events, sized(100, "0"))
		}
		large := s.start(t.Context(), events...)
		require.LessOrEqual(t, elapsed(func() { require.NoError(t, s.Send(t.Context(), sized(1, "0"))) }), 3*time.Second)
		for _, partition := range []string{"1", ""} {
			took := elapsed(func() { require.NoError(t, s.Send(t.Context(), sized(1, partition), sized(100, partition))) })
			require.LessOrEqual(t, took, 4*roundTrip, "to partition %q", partition)
		}
		require.Greater(t, elapsed(func() { require.NoError(t, <-large) }), 10*time.Second)
	})
}

// TestStuckPartitionLeavesRoom: a partition that doesn't get rid of what it has leaves room for others, even when many
// send to it.
func TestStuckPartitionLeavesRoom(t *testing.T) {
	bubble(t, roomy(1000), func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), sized(1, "0"), sized(1, "1")))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Partition: "0", Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var stuck []<-chan error
		for range 50 {
			stuck = append(stuck, s.start(ctx, sized(10, "0"), sized(200, "0")))
		}
		for range 100 {
			require.LessOrEqual(t, elapsed(func() { require.NoError(t, s.Send(t.Context(), sized(100, "1"))) }), roundTrip)
		}
		for _, err := range stuck {
			require.ErrorIs(t, <-err, context.DeadlineExceeded)
		}
	})
}

// TestRoomInTurn looks at the order in which room is given.
func TestRoomInTurn(t *testing.T) {
	t.Run("the calls of a link in turn", func(t *testing.T) {
		r := send.NewRoom(100)
		require.True(t, r.Take("a", 60))
		large, _ := r.Await("a", 80)
		small, _ := r.Await("a", 5)
		require.False(t, r.Take("a", 1), "others of the link came first")
		r.Release("a", 59)
		require.False(t, large() || small())
		r.Release("a", 1)
		require.True(t, large() && !small(), "a link with nothing may have any amount")
		r.Release("a", 80)
		require.True(t, small())
		require.Equal(t, 95, r.Free())
	})
	t.Run("links in the order in which they came", func(t *testing.T) {
		r := send.NewRoom(100)
		require.True(t, r.Take("a", 75))
		b, _ := r.Await("b", 40)
		c, _ := r.Await("c", 40)
		r.Release("a", 40)
		require.True(t, b() && !c())
		r.Release("b", 40)
		require.True(t, c())
	})
	t.Run("nobody takes away what the first one waits for", func(t *testing.T) {
		r := send.NewRoom(100)
		require.True(t, r.Take("a", 50))
		all, _ := r.Await("b", 1000)
		require.False(t, r.Take("c", 1))
		r.Release("a", 50)
		require.True(t, all(), "more than the room counts as the room")
		require.Zero(t, r.Free())
		r.Release("b", 100)
		require.True(t, r.Take("c", 1))
	})
	t.Run("a link leaves some for others", func(t *testing.T) {
		r := send.NewRoom(100)
		require.True(t, r.Take("a", 75))
		more, _ := r.Await("a", 1)
		require.True(t, r.Take("b", 15), "which don't wait for it")
		require.False(t, more())
		require.False(t, r.Take("b", 5))
		require.True(t, r.Take("c", 5))
	})
	t.Run("who leaves makes room", func(t *testing.T) {
		r := send.NewRoom(100)
		require.True(t, r.Take("a", 50))
		all, leave := r.Await("b", 100)
		next, _ := r.Await("c", 20)
		require.False(t, all() || next())
		leave()
		require.True(t, next())
		require.Equal(t, 30, r.Free())
	})
	t.Run("who leaves as it is granted gives it back", func(t *testing.T) {
		r := send.NewRoom(100)
		require.True(t, r.Take("a", 50))
		all, leave := r.Await("b", 100)
		r.Release("a", 50)
		require.True(t, all())
		leave()
		require.Equal(t, 100, r.Free())
	})
}

// TestLargeEventIsNotStarved: an event that needs all of the room gets it, though others come all the time.
func TestLargeEventIsNotStarved(t *testing.T) {
	bubble(t, roomy(100), func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), sized(1, "0"), sized(1, "1")))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var ended []chan error
		for i := range 3 {
			end := make(chan error, 1)
			ended = append(ended, end)
			go func() {
				time.Sleep(time.Duration(i) * roundTrip / 3)
				for ctx.Err() == nil {
					if err := s.Send(ctx, sized(20, "1")); err != nil && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
				close(end)
			}()
		}
		time.Sleep(time.Second)
		require.LessOrEqual(t, elapsed(func() { require.NoError(t, s.Send(t.Context(), sized(300, "0"))) }), 10*roundTrip)
		cancel()
		for _, end := range ended {
			<-end
		}
	})
}

// TestContextEndsWhileWaitingForRoom: the error says so, and nothing of the room is lost.
func TestContextEndsWhileWaitingForRoom(t *testing.T) {
	bubble(t, roomy(100), func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), toZero))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Delay: 10 * time.Second})
		first := s.start(t.Context(), sized(200, "0"))
		for _, n := range []int{1, 3} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			var events []eventhubs.Event
			for range n {
				events = append(events, sized(1, "0"))
			}
			err := s.Send(ctx, events...)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "there was no room: 102400 bytes are on their way")
			require.Len(t, unacknowledged(t, err), n)
		}
		require.NoError(t, <-first)
		require.NoError(t, s.Send(t.Context(), sized(200, "0")), "all of it is free again")
		require.Len(t, s.stored("0"), 3)
	})
}

// TestLeavingAsRoomIsGranted has callers leave at the very moment at which room becomes free.
func TestLeavingAsRoomIsGranted(t *testing.T) {
	bubble(t, roomy(10), func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), toZero))
		var refused atomic.Int64
		for i := range 90 {
			large := s.start(t.Context(), sized(20, "0"))
			ctx, cancel := context.WithTimeout(t.Context(), roundTrip+time.Duration(i%3-1))
			waiting := s.start(ctx, sized(20, "0"))
			require.NoError(t, <-large)
			if err := <-waiting; err != nil {
				refused.Add(1)
			}
			cancel()
		}
		require.Positive(t, refused.Load())
		require.LessOrEqual(t, elapsed(func() { require.NoError(t, s.Send(t.Context(), sized(20, "0"))) }), 2*roundTrip)
	})
}

// TestRoomOfThoseWhoLeft is free at once, also when what they wanted to send waits behind a batch that is stuck.
func TestRoomOfThoseWhoLeft(t *testing.T) {
	bubble(t, roomy(1000), func(t *testing.T, s *scene) {
		require.NoError(t, s.Send(t.Context(), sized(1, "0")))
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, Hang: true})
		stuck := s.start(t.Context(), sized(1, "0"))
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			leaving := s.start(ctx, sized(200, "0"), sized(200, "0"))
			cancel()
			err := <-leaving
			require.ErrorIs(t, err, context.Canceled)
			require.NotContains(t, err.Error(), "room")
		}
		require.NoError(t, <-stuck)
	})
}
