package eventhubs_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// often has the service be asked all the time.
func often(c *eventhubs.Consumer) { c.SetAsking(10*time.Millisecond, 50*time.Millisecond) }

// TestBehindIsKeptUpToDate has events come that nobody handles.
func TestBehindIsKeptUpToDate(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 1)
	release := make(chan struct{})
	c := s.consumer(calm(), often)
	s.receiveWith(c, func(context.Context, *eventhubs.ReceivedEvent) error { <-release; return nil })
	defer close(release)
	before := s.untilStatus(c, "0", "the event is behind", func(p eventhubs.PartitionStatus) bool { return p.Behind == 1 && p.Attempt == 1 })
	s.send("0", 5)
	after := s.untilStatus(c, "0", "the others are too", func(p eventhubs.PartitionStatus) bool { return p.Behind == 6 })
	require.True(t, after.BehindAsOf.After(before.BehindAsOf))
}

// TestBehindIsForgotten has the service answer no more: what it has said before would make a partition look well.
func TestBehindIsForgotten(t *testing.T) {
	s := newScene(t, 1)
	c := s.consumer(calm(), func(c *eventhubs.Consumer) {
		often(c)
		c.SetEndKnownFor(time.Second)
	})
	s.receiveWith(c, nothing)
	s.untilStatus(c, "0", "the end is known", func(p eventhubs.PartitionStatus) bool { return p.Behind == 0 })
	s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Partition: "0", Condition: "com.microsoft:server-busy"})
	p := s.untilStatus(c, "0", "the end is not known", func(p eventhubs.PartitionStatus) bool { return p.Behind == -1 })
	require.Zero(t, p.BehindAsOf)
}

// TestNobodyAsksUnlessPartitionsIsCalled has faults wait for the question, just enough of them for one.
func TestNobodyAsksUnlessPartitionsIsCalled(t *testing.T) {
	s := newScene(t, 1)
	s.send("0", 1)
	s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Partition: "0", Times: 1 + int(quickRetry.MaxRetries), Condition: "com.microsoft:server-busy"})
	c := s.consumer(calm(), often)
	s.receiveWith(c, nothing)
	s.untilCheckpoint("0", 0)
	_, err := c.Client().GetPartitionProperties(t.Context(), "0", nil)
	require.Error(t, err, "the faults have happened to nobody else")
}

// TestBehindOutlastsFaults has the service not answer, or refuse.
func TestBehindOutlastsFaults(t *testing.T) {
	for name, f := range map[string]eventhubstest.Fault{
		"busy":            {Condition: "com.microsoft:server-busy", Times: 8},
		"link lost":       {Condition: "amqp:link:detach-forced", Times: 2},
		"connection lost": {DropConnection: true, Times: 2},
		"answer lost":     {After: true, Times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 2)
			f.On, f.Partition = eventhubstest.OnManagement, "0"
			s.srv.Fault(f)
			c := s.consumer(calm(), often)
			r := s.receiveWith(c, nothing)
			for _, id := range []string{"0", "1"} {
				s.untilStatus(c, id, "the end of partition "+id+" is known", func(p eventhubs.PartitionStatus) bool { return p.Behind == 0 })
			}
			r.stop()
			require.NoError(t, c.Close(t.Context()))
		})
	}
}

// TestBehindWithoutAnswers has no answer come, until the connection is lost. Only so many are waited for.
func TestBehindWithoutAnswers(t *testing.T) {
	s := newScene(t, 1)
	answer := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Partition: "0", After: true})
	c := s.consumer(calm(), often)
	r := s.receiveWith(c, nothing)
	s.untilStatus(c, "0", "the partition is read", func(p eventhubs.PartitionStatus) bool { return p.Open })
	unanswered := func() int {
		return s.log.count("level=DEBUG", "the service doesn't answer where the partition ends", "partition=0")
	}
	s.until("four questions are not answered", func() bool { return unanswered() == 4 })
	answer()
	s.send("0", 1)
	s.untilCheckpoint("0", 0)
	require.Equal(t, 4, unanswered())
	for _, p := range c.Partitions() {
		require.EqualValues(t, -1, p.Behind, "nobody asks any more")
	}
	s.srv.DropConnections()
	s.untilStatus(c, "0", "the end is known", func(p eventhubs.PartitionStatus) bool { return p.Behind == 0 })
	r.stop()
}

// TestCloseEndsQuestions has an answer not come at all: Receive and Close return all the same, and nothing is left behind.
func TestCloseEndsQuestions(t *testing.T) {
	s := newScene(t, 1)
	s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Partition: "0", After: true})
	c := s.consumer(calm(), func(c *eventhubs.Consumer) { c.SetAsking(time.Hour, time.Hour) })
	r := s.receiveWith(c, nothing)
	s.until("the question is asked", func() bool { return len(c.Partitions()) == 1 && c.Questions() == 1 })
	r.stop()
	require.EqualValues(t, 1, c.Questions())
	require.NoError(t, c.Close(t.Context()))
	require.Zero(t, c.Questions())
}
