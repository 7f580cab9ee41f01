package receive_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

const undecodable = "an event can't be decoded"

// TestUnreadableEventHoldsUpItsPartition says which event it is, at growing intervals.
func TestUnreadableEventHoldsUpItsPartition(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		s.send("0", 2)
		s.sendDecimals("0", 1)
		s.send("0", 2)
		s.send("1", 1)
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.untilHandled(margin, "0", 2)
		s.untilHandled(margin, "1", 1)
		time.Sleep(20 * time.Minute)
		require.Equal(s, sequences(0, 2), s.handledOf("0"))
		told := s.log.find("level=ERROR", undecodable, "partition=0", "sequence=2", "decimal128")
		require.InDelta(s, 6, len(told), 1, "2^5 tries fit into twenty minutes")
		failing := r.partition("0").Reading
		require.NotNil(s, failing)
		require.Greater(s, time.Since(failing.Since), 15*time.Minute)
		require.Contains(s, failing.Error, "decimal128")
		s.send("1", 1)
		s.untilHandled(margin, "1", 2)
		require.EqualValues(s, 1, s.checkpoint("0"))
		require.Less(s, r.stop(), margin)
	})
}

// asked notes what Unreadable was asked.
type asked struct {
	mu        sync.Mutex
	sequences []int64
}

// skips returns an Unreadable that refuses so many times before it skips.
func (a *asked) skips(t *testing.T, refuse int) func(string, int64, error) error {
	return func(partition string, sequence int64, err error) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if partition != "0" || err == nil {
			t.Errorf("asked about partition %s, error %v", partition, err)
		}
		a.sequences = append(a.sequences, sequence)
		if len(a.sequences) <= refuse {
			return errors.New("not yet")
		}
		return nil
	}
}

func (a *asked) list() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sequences)
}

// TestUnreadableEventsAreSkipped has the events around them be handled once, and in order.
func TestUnreadableEventsAreSkipped(t *testing.T) {
	for name, c := range map[string]struct {
		send   func(s *scene)
		refuse int
		asked  []int64
		want   []int64
	}{
		"one": {send: func(s *scene) { s.send("0", 20); s.sendDecimals("0", 1); s.send("0", 20) },
			asked: []int64{20}, want: append(sequences(0, 20), sequences(21, 41)...)},
		"two in a row": {send: func(s *scene) { s.send("0", 2); s.sendDecimals("0", 2); s.send("0", 2) },
			asked: []int64{2, 3}, want: []int64{0, 1, 4, 5}},
		"every second": {send: func(s *scene) {
			for range 3 {
				s.send("0", 1)
				s.sendDecimals("0", 1)
			}
		}, asked: []int64{1, 3, 5}, want: []int64{0, 2, 4}},
		"the first": {send: func(s *scene) { s.sendDecimals("0", 1); s.send("0", 2) },
			asked: []int64{0}, want: []int64{1, 2}},
		"the only ones": {send: func(s *scene) { s.sendDecimals("0", 3) }, asked: []int64{0, 1, 2}},
		"refused, then skipped": {send: func(s *scene) { s.send("0", 1); s.sendDecimals("0", 1); s.send("0", 1) },
			refuse: 3, asked: []int64{1, 1, 1, 1}, want: []int64{0, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				c.send(s)
				var a asked
				r := s.receive("one", eventhubs.ConsumerOptions{Unreadable: a.skips(t, c.refuse)}, nothing)
				s.untilHandled(5*time.Second, "0", len(c.want))
				time.Sleep(time.Minute)
				require.Equal(s, c.want, s.handledOf("0"))
				require.Equal(s, c.asked, a.list())
				skipped := len(c.asked) - c.refuse
				require.Equal(s, skipped, s.log.count("level=WARN", "was skipped", "partition=0"))
				require.Nil(s, r.partition("0").Reading)
				s.send("0", 1)
				s.untilHandled(margin, "0", len(c.want)+1)
				time.Sleep(time.Minute)
				require.EqualValues(s, len(c.want)+skipped, s.checkpoint("0"))
			})
		})
	}
}

// TestUnreadableAfterATime begins at a time, where no sequence number is known before the first event.
func TestUnreadableAfterATime(t *testing.T) {
	for name, c := range map[string]struct {
		earlier, later int
		inclusive      bool
		refuse         int
	}{
		"in the middle":         {earlier: 30, later: 30},
		"the only event":        {},
		"the first event":       {later: 2, inclusive: true},
		"the last event":        {earlier: 3, inclusive: true},
		"refused, then skipped": {earlier: 5, later: 5, refuse: 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				s.send("0", c.earlier)
				time.Sleep(time.Minute)
				o := eventhubs.ConsumerOptions{}
				o.Start.Default = azeventhubs.StartPosition{EnqueuedTime: ptr(time.Now()), Inclusive: c.inclusive}
				time.Sleep(time.Minute)
				s.sendDecimals("0", 1)
				s.send("0", c.later)
				var a asked
				o.Unreadable = a.skips(t, c.refuse)
				s.receive("one", o, nothing)
				s.untilHandled(30*time.Second, "0", c.later)
				s.until(30*time.Second, "it is skipped", func() bool { return s.log.count("was skipped") == 1 })
				s.send("0", 1)
				s.untilHandled(margin, "0", c.later+1)
				bad := int64(c.earlier)
				require.Equal(s, sequences(bad+1, bad+2+int64(c.later)), s.handledOf("0"))
				require.Len(s, a.list(), c.refuse+1)
				for _, sequence := range a.list() {
					require.Equal(s, bad, sequence)
				}
			})
		})
	}
}

// TestUnreadableAtACheckpoint begins at the event that can't be read.
func TestUnreadableAtACheckpoint(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 3)
		s.sendDecimals("0", 1)
		s.send("0", 1)
		s.setCheckpoint("0", 2, s.srv.Events("hub", "0")[2].Offset)
		var a asked
		s.receive("one", eventhubs.ConsumerOptions{Unreadable: a.skips(t, 0)}, nothing)
		s.untilHandled(margin, "0", 1)
		require.Equal(s, []int64{4}, s.handledOf("0"))
		require.Equal(s, []int64{3}, a.list())
	})
}

// TestUnreadableAfterWhatHasExpired begins at the earliest event that is left, which can't be read.
func TestUnreadableAfterWhatHasExpired(t *testing.T) {
	bubbleOn(t, little, func(s *scene) {
		s.send("0", 20)
		for s.srv.Events("hub", "0")[0].SequenceNumber < 20 {
			s.sendDecimals("0", 1)
		}
		first := s.srv.Events("hub", "0")[0].SequenceNumber
		var a asked
		s.receive("one", eventhubs.ConsumerOptions{Unreadable: a.skips(t, 1)}, nothing)
		s.until(margin, "it is asked about twice", func() bool { return len(a.list()) >= 2 })
		require.Equal(s, []int64{first, first}, a.list()[:2])
	})
}
