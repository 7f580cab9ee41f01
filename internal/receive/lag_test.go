package receive_test

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// lagInterval is how often tests ask. knownFor is how long an answer counts.
const lagInterval, knownFor = 30 * time.Second, 5 * time.Minute

func withLag() eventhubs.ConsumerOptions { return eventhubs.ConsumerOptions{LagInterval: lagInterval} }

// TestLagIsKeptUpToDate has events come that nobody handles.
func TestLagIsKeptUpToDate(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 1)
		r := s.receive("one", withLag(), func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(margin)
		before := r.partition("0").Lag
		require.NotNil(s, before)
		require.EqualValues(s, 1, before.Events)
		s.send("0", 5)
		time.Sleep(lagInterval + margin)
		after := r.partition("0").Lag
		require.EqualValues(s, 6, after.Events)
		require.EqualValues(s, 5, after.LastEnqueuedSequenceNumber)
		require.InDelta(s, lagInterval, after.AsOf.Sub(before.AsOf), float64(time.Second))
	})
}

// TestLagCostsOneQuestionAnInterval counts them, with events coming, so that no link is silent.
func TestLagCostsOneQuestionAnInterval(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		s.receive("one", withLag(), nothing)
		time.Sleep(margin)
		before := s.questions.Load()
		send := s.steady()
		began := time.Now()
		for range 60 {
			send("0")
			send("1")
			time.Sleep(lagInterval / 3)
		}
		require.InDelta(s, 2*float64(time.Since(began))/float64(lagInterval), s.questions.Load()-before, 3)
	})
}

// TestLagIsForgotten has the service answer no more: what it has said before would make a partition look well.
func TestLagIsForgotten(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		r := s.receive("one", withLag(), nothing)
		time.Sleep(margin)
		require.Zero(s, r.partition("0").Lag.Events)
		heal := s.srv.Fault(eventhubstest.Fault{
			On: eventhubstest.OnManagement, Partition: "0", Condition: "com.microsoft:server-busy",
		})
		time.Sleep(knownFor - margin)
		require.NotNil(s, r.partition("0").Lag)
		time.Sleep(lagInterval)
		require.Nil(s, r.partition("0").Lag)
		heal()
		time.Sleep(time.Minute)
		require.NotNil(s, r.partition("0").Lag)
	})
}

// TestLagOfLongIntervals counts an answer for two intervals.
func TestLagOfLongIntervals(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		r := s.receive("one", eventhubs.ConsumerOptions{LagInterval: 20 * time.Minute}, nothing)
		time.Sleep(margin)
		for range 20 {
			require.NotNil(s, r.partition("0").Lag)
			time.Sleep(4 * time.Minute)
		}
	})
}

// TestNobodyAsksForLagUnlessTold reads the status all the time.
func TestNobodyAsksForLagUnlessTold(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		send := s.steady()
		for range 20 {
			send("0")
			time.Sleep(silence / 4)
			require.Nil(s, r.partition("0").Lag)
		}
		require.Zero(s, s.questions.Load())
	})
}

// TestLagOutlastsFaults has the service not answer, or refuse, a few times. Others than the one asked for are not held
// up for long.
func TestLagOutlastsFaults(t *testing.T) {
	for name, f := range map[string]eventhubstest.Fault{
		"busy":            {Condition: "com.microsoft:server-busy", Times: 8},
		"refused":         {Condition: "amqp:not-allowed", Times: 2},
		"link lost":       {Condition: "amqp:link:detach-forced", Times: 2},
		"connection lost": {DropConnection: true, Times: 2},
		"answer lost":     {After: true, Times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				f.On, f.Partition = eventhubstest.OnManagement, "0"
				s.srv.Fault(f)
				r := s.receive("one", withLag(), nothing)
				time.Sleep(2*answerTimeout + margin)
				require.NotNil(s, r.partition("1").Lag)
				time.Sleep(5 * time.Minute)
				require.NotNil(s, r.partition("0").Lag)
				require.Less(s, r.stop(), margin)
			})
		})
	}
}

// TestLagBeforeTheFirstEvent holds events up, so that all that is known is where reading began.
func TestLagBeforeTheFirstEvent(t *testing.T) {
	const unknown, noCheckpoint = -1, -1
	fromTime := azeventhubs.StartPosition{EnqueuedTime: ptr(time.Unix(0, 0))}
	for name, c := range map[string]struct {
		events     int
		start      azeventhubs.StartPosition
		checkpoint int64
		want       int64
	}{
		"the earliest event":              {5, azeventhubs.StartPosition{}, noCheckpoint, 5},
		"the latest event":                {5, latest().Default, noCheckpoint, 0},
		"a sequence number":               {5, azeventhubs.StartPosition{SequenceNumber: ptr(int64(2))}, noCheckpoint, 2},
		"a checkpoint":                    {5, azeventhubs.StartPosition{}, 1, 3},
		"a time":                          {5, fromTime, noCheckpoint, unknown},
		"a time, where there is no event": {0, fromTime, noCheckpoint, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", c.events)
				if c.checkpoint >= 0 {
					s.setCheckpoint("0", c.checkpoint, s.srv.Events("hub", "0")[c.checkpoint].Offset)
				}
				s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Delay: time.Hour})
				o := withLag()
				o.Start.Default = c.start
				r := s.receive("one", o, nothing)
				time.Sleep(margin)
				lag := r.partition("0").Lag
				if c.want == unknown {
					require.Nil(s, lag)
					return
				}
				require.Equal(s, c.want, lag.Events)
				require.EqualValues(s, c.events-1, lag.LastEnqueuedSequenceNumber)
			})
		})
	}
}

// TestLagAtTheFirstEvent begins where only the first event tells where that is.
func TestLagAtTheFirstEvent(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 5)
		o := withLag()
		o.Start.Default = azeventhubs.StartPosition{EnqueuedTime: ptr(time.Unix(0, 0))}
		r := s.receive("one", o, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 3 {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		s.untilHandled(margin, "0", 3)
		time.Sleep(margin)
		require.EqualValues(s, 2, r.partition("0").Lag.Events)
	})
}

// little is a server that keeps few events.
var little = eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}, RetentionBytes: 1 << 10}

// TestLagDoesNotCountWhatHasExpired begins at the earliest event, which isn't the first that there was.
func TestLagDoesNotCountWhatHasExpired(t *testing.T) {
	bubbleOn(t, little, func(s *scene) {
		s.send("0", 100)
		left := len(s.srv.Events("hub", "0"))
		require.Less(s, left, 100)
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Delay: time.Hour})
		r := s.receive("one", withLag(), nothing)
		time.Sleep(margin)
		require.EqualValues(s, left, r.partition("0").Lag.Events)
	})
}

// TestCloseEndsQuestions has an answer not come at all.
func TestCloseEndsQuestions(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Partition: "0", After: true})
		r := s.receive("one", withLag(), nothing)
		s.until(margin, "the question is asked", func() bool { return s.questions.Load() == 1 })
		began := time.Now()
		require.NoError(s, r.Close(s.Context()))
		require.Less(s, time.Since(began), margin)
	})
}
