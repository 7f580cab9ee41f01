package receive_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func ptr[T any](v T) *T { return &v }

func latest() azeventhubs.StartPositions {
	return azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Latest: ptr(true)}}
}

// restarted is what is logged when a position turns out not to exist.
const restarted = "reading restarts from the earliest event"

// replace has the event hub be made anew at the same address, without events: the old one's connections are lost.
func (s *scene) replace(partitions int) {
	s.Helper()
	old := s.srv
	s.srv = s.newServer(eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: partitions}}})
	old.DropConnections()
}

func TestCheckpointIsWhereReadingBegins(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		s.send("0", 5)
		s.send("1", 5)
		s.setCheckpoint("0", 2, s.srv.Events("hub", "0")[2].Offset)
		s.setCheckpoint("1", 4, s.srv.Events("hub", "1")[4].Offset)
		s.receive("one", eventhubs.ConsumerOptions{Start: latest()}, nothing)
		time.Sleep(10 * time.Minute)
		require.Equal(s, sequences(3, 5), s.handledOf("0"))
		require.Empty(s, s.handledOf("1"))
		require.Zero(s, s.log.count(restarted))
	})
}

// TestCheckpointAfterTheEnd has a checkpoint lie after the end of its partition, as when the event hub was made anew,
// or a namespace has failed over to one without events.
func TestCheckpointAfterTheEnd(t *testing.T) {
	for name, events := range map[string]int{"some events": 3, "no event": 0} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				s.setCheckpoint("0", 700, "70000")
				s.send("0", events)
				s.send("1", 1)
				r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
				s.untilHandled(margin, "1", 1)
				s.send("0", 5)
				s.untilHandled(margin, "0", events+5)
				require.Equal(s, sequences(0, int64(events+5)), s.handledOf("0"))
				reason := "the checkpoint is at sequence number 700"
				require.Equal(s, 1, s.log.count("level=ERROR", restarted, "partition=0", reason))
				require.Zero(s, s.log.count("level=ERROR", "partition=1"))
				time.Sleep(time.Minute)
				require.EqualValues(s, events+4, s.checkpoint("0"), "checkpoints are written again")
				r.stop()

				s.send("0", 1)
				s.receive("two", eventhubs.ConsumerOptions{}, nothing)
				s.untilHandled(margin, "0", events+6)
				require.Equal(s, 1, s.log.count("level=ERROR"))
			})
		})
	}
}

// TestCheckpointOfAnEarlierHub has the event hub be made anew, and outgrow the checkpoint before anybody looks.
func TestCheckpointOfAnEarlierHub(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 10)
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.untilHandled(margin, "0", 10)
		r.stop()
		require.EqualValues(s, 9, s.checkpoint("0"))
		time.Sleep(time.Minute)

		s.replace(1)
		s.send("0", 20)
		s.handled = nil
		s.receive("two", eventhubs.ConsumerOptions{}, nothing)
		s.untilHandled(margin, "0", 20)
		require.Equal(s, sequences(0, 20), s.handledOf("0"))
		require.Equal(s, 1, s.log.count("level=ERROR", restarted, "partition=0", "the event hub created at"))
		time.Sleep(time.Minute)
		require.EqualValues(s, 19, s.checkpoint("0"))
	})
}

// TestHubIsReplacedWhileReading has a namespace fail over to one without events, while a consumer is at work.
func TestHubIsReplacedWhileReading(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.send("0", 10)
		s.untilHandled(margin, "0", 10)
		time.Sleep(10 * time.Second)
		require.EqualValues(s, 9, s.checkpoint("0"))

		s.replace(2)
		s.until(margin, "the position is refused", func() bool { return s.log.count(restarted) == 1 })
		require.Equal(s, 1, s.log.count("level=ERROR", restarted, "partition=0", "the service refuses it"))
		s.handled = nil
		s.send("0", 5)
		s.send("1", 5)
		s.untilHandled(margin, "0", 5)
		s.untilHandled(margin, "1", 5)
		require.Equal(s, sequences(0, 5), s.handledOf("0"))
		require.Equal(s, sequences(0, 5), s.handledOf("1"))
		time.Sleep(time.Minute)
		require.EqualValues(s, 4, s.checkpoint("0"), "checkpoints are written again")
		require.EqualValues(s, 4, s.checkpoint("1"))
		require.Equal(s, 1, s.log.count("level=ERROR"))
		require.Less(s, r.stop(), margin)
	})
}

// TestHubIsReplacedWhileStorageFails has the old checkpoint not be replaced at first: reading waits for that, so that
// none of the new hub's events is covered by it.
func TestHubIsReplacedWhileStorageFails(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.send("0", 10)
		s.untilHandled(margin, "0", 10)
		time.Sleep(time.Minute)
		heal := s.srv.BlobFault(eventhubstest.BlobFault{NameContains: "/checkpoint/", Status: 503})
		s.replace(1)
		s.send("0", 5)
		s.handled = nil
		time.Sleep(10 * time.Second)
		require.Empty(s, s.handledOf("0"))
		heal()
		s.untilHandled(30*time.Second, "0", 5)
		require.Equal(s, sequences(0, 5), s.handledOf("0"))
	})
}

// TestLatestIsStored has what Latest has resolved to outlast failures, restarts and connections.
func TestLatestIsStored(t *testing.T) {
	for name, before := range map[string]int{"some events": 3, "no event": 0} {
		first := int64(before)
		t.Run(name+", a first event that fails", func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", before)
				o := eventhubs.ConsumerOptions{Start: latest()}
				r := s.receive("one", o, func(context.Context, *eventhubs.ReceivedEvent) error { return errors.New("not yet") })
				s.until(margin, "the position is stored", func() bool { return s.checkpoint("0") == first-1 })
				s.send("0", 1)
				s.until(margin, "the event comes", func() bool { return s.log.count("the handler failed") > 0 })
				r.stop()
				require.Equal(s, first-1, s.checkpoint("0"))
				s.send("0", 1)
				s.receive("two", o, nothing)
				s.untilHandled(margin, "0", 2)
				require.Equal(s, sequences(first, first+2), s.handledOf("0"))
			})
		})
		t.Run(name+", a connection that is lost before the first event", func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", before)
				s.receive("one", eventhubs.ConsumerOptions{Start: latest()}, nothing)
				time.Sleep(time.Minute)
				ignored := s.srv.IgnoreDials()
				s.srv.DropConnections()
				time.AfterFunc(time.Second, ignored)
				s.send("0", 3)
				s.untilHandled(time.Minute, "0", 3)
				require.Equal(s, sequences(first, first+3), s.handledOf("0"))
			})
		})
	}
}

// TestLatestIsNotStored has storage fail when the position is to be stored: nothing is read before it is.
func TestLatestIsNotStored(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 3)
		s.failCheckpoints(eventhubstest.BlobFault{Status: 503})
		r := s.receive("one", eventhubs.ConsumerOptions{Start: latest()}, nothing)
		time.Sleep(10 * time.Second)
		require.NotNil(s, r.partition("0").Reading)
		require.Contains(s, r.partition("0").Reading.Error, "store the position that Latest has resolved to")
		require.Less(s, r.stop(), finishTimeout+margin)
	})
}

// TestLatestWithoutAnAnswer has the service not say where the partition ends.
func TestLatestWithoutAnAnswer(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Partition: "0", Times: 1, After: true})
		r := s.receive("one", eventhubs.ConsumerOptions{Start: latest()}, nothing)
		s.until(answerTimeout+margin, "the position is stored", func() bool { return s.checkpoint("0") == -1 })
		time.Sleep(time.Second)
		require.Nil(s, r.partition("0").Reading, "without an event too")
		s.send("0", 1)
		s.untilHandled(margin, "0", 1)
		require.NotZero(s, s.log.count("level=WARN", "where to begin is not known", "partition=0"))
		require.Less(s, r.stop(), margin)
	})
}

// TestStart begins where it is told to, and stays there when the connection is lost before the first event.
func TestStart(t *testing.T) {
	for name, c := range map[string]struct {
		start func(s *scene) azeventhubs.StartPosition
		first int64
	}{
		"earliest": {func(*scene) azeventhubs.StartPosition { return azeventhubs.StartPosition{} }, 0},
		"sequence number": {func(*scene) azeventhubs.StartPosition {
			return azeventhubs.StartPosition{SequenceNumber: ptr(int64(2))}
		}, 3},
		"sequence number, inclusive": {func(*scene) azeventhubs.StartPosition {
			return azeventhubs.StartPosition{SequenceNumber: ptr(int64(2)), Inclusive: true}
		}, 2},
		"offset": {func(s *scene) azeventhubs.StartPosition {
			return azeventhubs.StartPosition{Offset: &s.srv.Events("hub", "0")[2].Offset}
		}, 3},
		"time": {func(s *scene) azeventhubs.StartPosition {
			return azeventhubs.StartPosition{EnqueuedTime: ptr(s.srv.Events("hub", "0")[2].EnqueuedTime)}
		}, 3},
		"time, inclusive": {func(s *scene) azeventhubs.StartPosition {
			return azeventhubs.StartPosition{EnqueuedTime: ptr(s.srv.Events("hub", "0")[2].EnqueuedTime), Inclusive: true}
		}, 2},
		"latest": {func(*scene) azeventhubs.StartPosition { return latest().Default }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				for range 5 {
					s.send("0", 1)
					time.Sleep(time.Second)
				}
				remove := s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, DropConnection: true})
				o := eventhubs.ConsumerOptions{}
				o.Start.PerPartition = map[string]azeventhubs.StartPosition{"0": c.start(s)}
				s.receive("one", o, nothing)
				time.Sleep(10 * time.Second)
				s.send("0", 5)
				remove()
				s.untilHandled(openTimeout+margin, "0", int(10-c.first))
				require.Equal(s, sequences(c.first, 10), s.handledOf("0"))
			})
		})
	}
}

// TestStartIsRefused names a position that the partition doesn't have.
func TestStartIsRefused(t *testing.T) {
	for name, start := range map[string]azeventhubs.StartPosition{
		"sequence number": {SequenceNumber: ptr(int64(700))}, "offset": {Offset: ptr("70000")},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", 3)
				o := eventhubs.ConsumerOptions{}
				o.Start.Default = start
				s.receive("one", o, nothing)
				s.untilHandled(margin, "0", 3)
				require.Equal(s, 1, s.log.count("level=ERROR", restarted, "partition=0", "the service refuses it"))
			})
		})
	}
}
