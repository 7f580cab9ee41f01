package receive_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// openTimeout, silence, silenceMost and answerTimeout are the engine's bounds. margin is for the few round trips, and
// the pause before something is tried again, that come on top.
const (
	openTimeout, silence, silenceMost, answerTimeout = 30 * time.Second, time.Minute, 8 * time.Minute, 10 * time.Second
	margin                                           = 2 * time.Second
)

// TestAttachIsNotAnswered holds up one partition, for a while or for good, and no other.
func TestAttachIsNotAnswered(t *testing.T) {
	for name, times := range map[string]int{"once": 1, "ever": 0} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				heal := s.srv.Fault(eventhubstest.Fault{
					On: eventhubstest.OnAttach, ConsumerGroup: "$Default", Partition: "0", Times: times, Delay: 100 * time.Hour,
				})
				s.send("0", 1)
				s.send("1", 1)
				r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
				s.untilHandled(margin, "1", 1)
				if times == 0 {
					time.Sleep(10 * time.Minute)
					failing := r.partition("0").Reading
					require.NotNil(s, failing)
					require.InDelta(s, 10*time.Minute, time.Since(failing.Since), float64(time.Minute))
					require.Contains(s, failing.Error, "the service does not answer")
					require.Nil(s, r.partition("1").Reading)
					require.Equal(s, "one", s.owner("0"), "the claim is renewed")
					s.send("1", 1)
					s.untilHandled(margin, "1", 2)
					heal()
				}
				s.untilHandled(openTimeout+retry.Longest*5/4+margin, "0", 1)
				why := "the service does not answer"
				require.NotZero(s, s.log.count("level=WARN", "reading was interrupted", "partition=0", why))
				require.NotZero(s, s.log.count("level=INFO", "reading works again", "partition=0"))
				require.Nil(s, r.partition("0").Reading)
				require.Less(s, r.stop(), margin)
			})
		})
	}
}

// TestStopWhileNothingIsAnswered ends a reader whose link is being opened.
func TestStopWhileNothingIsAnswered(t *testing.T) {
	for name, fault := range map[string]eventhubstest.Fault{
		"attach":   {On: eventhubstest.OnAttach, ConsumerGroup: "$Default", Delay: 100 * time.Hour},
		"token":    {On: eventhubstest.OnToken, Skip: 1, After: true},
		"question": {On: eventhubstest.OnManagement, Partition: "0", After: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.srv.Fault(fault)
				s.setCheckpoint("0", -1, "-1")
				r := s.receive("one", eventhubs.ConsumerOptions{Start: latest()}, nothing)
				s.until(margin, "the partition is held", func() bool { return len(r.Partitions()) == 1 })
				time.Sleep(5 * time.Second)
				require.LessOrEqual(s, r.stop(), closeTimeout+margin)
				require.Empty(s, s.owner("0"), "it was given back")
			})
		})
	}
}

// TestTokenIsNotAnswered loses the answer to one reader's token.
func TestTokenIsNotAnswered(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnToken, Skip: 3, Times: 1, After: true}) // 2 are of sending
		s.send("0", 1)
		s.send("1", 1)
		s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.until(margin, "one partition is read", func() bool { return len(s.calls("0"))+len(s.calls("1")) == 1 })
		s.until(openTimeout+margin, "the other one is too", func() bool { return len(s.calls("0"))+len(s.calls("1")) == 2 })
	})
}

// TestConnectionsGoSilent has events come that no connection brings any more.
func TestConnectionsGoSilent(t *testing.T) {
	for name, c := range map[string]struct{ idle, within time.Duration }{
		"soon":  {time.Second, silence},
		"later": {20 * time.Minute, silenceMost},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
				s.send("0", 1)
				s.untilHandled(margin, "0", 1)
				time.Sleep(c.idle)
				s.srv.SilenceConnections()
				s.send("0", 5)
				s.send("1", 5)
				s.untilHandled(c.within+answerTimeout+margin, "0", 6)
				s.untilHandled(c.within+answerTimeout+margin, "1", 5)
				require.Equal(s, sequences(0, 6), s.handledOf("0"))
				require.Equal(s, sequences(0, 5), s.handledOf("1"))
				require.Equal(s, 1, s.log.count("level=WARN", "reading was interrupted", "partition=0"))
				require.Less(s, r.stop(), margin)
			})
		})
	}
}

// TestLinkBringsNothing has a link be open and its connection work, while the service keeps events back.
func TestLinkBringsNothing(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.send("0", 1)
		s.untilHandled(margin, "0", 1)
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Times: 1, Delay: 100 * time.Hour})
		s.send("0", 3)
		took := s.untilHandled(silence+margin, "0", 4)
		require.Greater(s, took, silence-margin)
		require.Equal(s, sequences(0, 4), s.handledOf("0"))
		require.Equal(s, 1, s.log.count("level=WARN", "reading was interrupted", "partition=0", "the link brings none"))
	})
}

// TestCheckFails has the question whether a silent partition has events fail. No such failure ends Receive.
func TestCheckFails(t *testing.T) {
	for name, fault := range map[string]eventhubstest.Fault{
		"400":              {Condition: "amqp:not-allowed"},
		"401":              {Condition: "amqp:unauthorized-access"},
		"403":              {Condition: "amqp:resource-limit-exceeded"},
		"404":              {Condition: "amqp:not-found"},
		"500":              {Condition: "amqp:internal-error"},
		"busy":             {Condition: "com.microsoft:server-busy"},
		"link detached":    {Condition: "amqp:link:detach-forced"},
		"connection lost":  {DropConnection: true},
		"answer lost":      {After: true},
		"answer too late":  {Delay: 90 * time.Second},
		"connection ended": {Condition: "amqp:connection:forced"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				fault.On, fault.Partition = eventhubstest.OnManagement, "0"
				heal := s.srv.Fault(fault)
				r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
				time.Sleep(4 * time.Minute)
				require.NotZero(s, s.log.count("level=WARN", "a partition is silent", "partition=0"))
				s.send("0", 1)
				s.untilHandled(openTimeout+margin, "0", 1)
				heal()
				time.Sleep(4 * time.Minute)
				require.Nil(s, r.partition("0").Reading)
				s.send("0", 1)
				s.untilHandled(margin, "0", 2)
				require.Less(s, r.stop(), margin)
			})
		})
	}
}

// TestIdlePartition counts what a partition costs that gets no events.
func TestIdlePartition(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.receive("one", rarely, nothing)
		time.Sleep(time.Hour)
		first := s.questions.Load()
		require.LessOrEqual(s, first, int64(10))
		require.GreaterOrEqual(s, first, int64(8))
		time.Sleep(time.Hour)
		require.InDelta(s, 7.5, s.questions.Load()-first, 0.5)
		s.send("0", 1)
		s.untilHandled(margin, "0", 1)
		before := s.questions.Load()
		time.Sleep(silence + margin)
		require.Equal(s, before+1, s.questions.Load(), "after an event the first check comes soon again")
	})
}

// TestBusyPartitionIsNotAskedAbout has an event come every few seconds.
func TestBusyPartitionIsNotAskedAbout(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		send := s.steady()
		for range 100 {
			send("0")
			time.Sleep(silence / 2)
		}
		require.Zero(s, s.questions.Load())
	})
}
