package guarantee_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// The bounds for a partition's link: for opening it, for its silence before it is checked end to end, and for the
// answer to that check (internal/receive).
const (
	openTimeout   = 30 * time.Second
	silence       = time.Minute
	answerTimeout = 10 * time.Second
)

var serviceDoesNotAnswer = []aCase{
	{"one reader's attach, at the start", in(2, attachAtTheStart)},
	{"one reader's attach, after a reconnect", in(2, attachAfterReconnect)},
	{"tokens, at the start", in(2, func(s *scene.Scene) { unansweredAtTheStart(s, eventhubstest.OnToken) })},
	{"$management, at the start", in(2, func(s *scene.Scene) { unansweredAtTheStart(s, eventhubstest.OnManagement) })},
	{"$management, after a first success", in(2, managementLater)},
	{"$management, and Receive has to end", in(1, managementAtTheEnd)},
	{"a link brings nothing more", linkGoesSilent(0)},
	{"a link brings nothing more, and $management is silent too", linkGoesSilent(1)},
	{"connections go silent", in(2, connectionsGoSilent)},
	{"dials", in(2, dialsUnanswered)},
	{"a machine's network goes silent, and comes back", in(2, hostGoesSilent)},
	{"connections go silent, and Receive has to end", in(2, silentAtTheEnd)},
	{"raw SDK: one reader's attach", in(2, rawAttach)},
}

// unansweredAttach makes the attach of partition 0 go unanswered, so many times.
func unansweredAttach(s *scene.Scene, times int) {
	s.Server.Fault(eventhubstest.Fault{
		On: eventhubstest.OnAttach, Partition: "0", ConsumerGroup: scene.Group, Hang: true, Times: times,
	})
}

// attachAtTheStart keeps one partition's link from opening for one and a half minutes. The other partition is read, and
// claims are renewed.
func attachAtTheStart(s *scene.Scene) {
	const times = 3
	unansweredAttach(s, times)
	s.Send(5, "0", "1")
	began := time.Now()
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.Until("the other one is read", func() bool { return s.Tally.Furthest("1") == 4 })
	require.Less(s.T, time.Since(began), time.Second)
	s.During(times*openTimeout-time.Second, func(int) {
		s.Send(1, "1")
		synctest.Wait()
		require.Equal(s.T, s.Last("1"), s.Tally.Furthest("1"), "the other one is still read")
	})
	s.UntilHandled()
	require.Less(s.T, time.Since(began), times*openTimeout+2*time.Second)
	require.Len(s.T, s.Tally.Holdings(), 2, "claims are renewed")
	r.Stop()
	s.CheckLogged("level=WARN", "reading was interrupted", "partition=0", "does not answer")
	s.Check(0)
}

func attachAfterReconnect(s *scene.Scene) {
	const times = 3
	s.Send(5, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	unansweredAttach(s, times)
	s.Server.DropConnections()
	began := time.Now()
	s.Send(5, "0", "1")
	s.Until("the other one is read", func() bool { return s.Tally.Furthest("1") == 9 })
	require.Less(s.T, time.Since(began), time.Second)
	s.UntilHandled()
	require.Less(s.T, time.Since(began), times*openTimeout+2*time.Second)
	require.Len(s.T, s.Tally.Holdings(), 2, "claims are renewed")
	r.Stop()
	s.Check(0)
}

// unansweredAtTheStart loses the first few answers of a kind.
func unansweredAtTheStart(s *scene.Scene, on eventhubstest.Operation) {
	s.Send(5, "0", "1")
	s.Server.Fault(eventhubstest.Fault{On: on, Hang: true, Times: 3})
	began := time.Now()
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	require.Less(s.T, time.Since(began), 3*openTimeout+3*time.Second)
	r.Stop()
	s.CheckLogged("level=WARN", "again_in")
	s.Check(0)
}

// managementLater loses an answer about the event hub while partitions are added. The consumer asks again a minute
// later.
func managementLater(s *scene.Scene) {
	s.Send(5, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnHubProperties, Hang: true, Times: 1})
	require.LessOrEqual(s.T, added(s), 2*time.Minute+answerTimeout+time.Second)
	r.Stop()
	s.CheckLogged("level=WARN", "the partition ids are unknown")
	s.Check(0)
}

// managementAtTheEnd loses the answers that a reader needs to resolve Latest, and then ends Receive.
func managementAtTheEnd(s *scene.Scene) {
	for _, after := range []time.Duration{0, time.Second, 15 * time.Second, 70 * time.Second} {
		for skip := range 3 {
			allow := s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Hang: true, Skip: skip})
			o := latest()
			o.ConsumerGroup = scene.Group
			r := s.Receive("only", o, scene.Nothing)
			time.Sleep(after)
			began := time.Now()
			r.Stop()
			require.Less(s.T, time.Since(began), 5*time.Second)
			allow()
		}
	}
}

// linkGoesSilent makes an open link deliver nothing, on a connection that is alive. Only asking reveals that. So many
// questions are not answered.
func linkGoesSilent(unanswered int) func(*testing.T) {
	return in(2, func(s *scene.Scene) {
		s.Send(5, "0", "1")
		r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
		s.UntilHandled()
		s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Partition: "0", Hang: true, Times: 1})
		if unanswered > 0 {
			s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnPartitionProperties, Hang: true, Times: unanswered})
		}
		known := silence + time.Duration(unanswered)*(answerTimeout+silence)
		began := time.Now()
		s.During(known-time.Second, func(int) {
			s.Send(1, "0", "1")
			synctest.Wait()
			require.Equal(s.T, s.Last("1"), s.Tally.Furthest("1"), "the other one is still read")
		})
		require.EqualValues(s.T, 4, s.Tally.Furthest("0"))
		s.UntilHandled()
		require.LessOrEqual(s.T, time.Since(began), known+time.Second)
		require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
		r.Stop()
		s.CheckLogged("level=WARN", "reading was interrupted", "partition=0", "the link brings none")
		s.Check(0)
	})
}

// connectionsGoSilent loses the state of all connections, and nobody is told.
func connectionsGoSilent(s *scene.Scene) {
	s.Send(5, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.Silence()
	s.Send(5, "0", "1")
	began := time.Now()
	s.UntilHandled()
	require.LessOrEqual(s.T, time.Since(began), silence+answerTimeout+2*time.Second)
	require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
	r.Stop()
	s.CheckLogged("level=WARN", "partition=0", "reading was interrupted")
	s.Check(0)
}

// dialsUnanswered leaves dials unanswered for a while, as a firewall does.
func dialsUnanswered(s *scene.Scene) {
	s.Send(5, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.HangUp()
	resume := s.Server.IgnoreDials()
	s.Server.DropConnections()
	time.Sleep(10 * time.Minute)
	s.CheckLogged("level=WARN", "partition=0", "reading was interrupted")
	resume()
	s.Send(5, "0", "1")
	began := time.Now()
	s.UntilHandled()
	require.Less(s.T, time.Since(began), 45*time.Second, "the longest pause, and a dial")
	require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
	r.Stop()
	s.Check(0)
}

// hostGoesSilent loses the network to everything, storage too, for longer than claims last.
func hostGoesSilent(s *scene.Scene) {
	r := s.ConsumerOn(s.Host(), "only", eventhubs.ConsumerOptions{})
	r.Receive(scene.Nothing)
	s.Send(5, "0", "1")
	s.UntilHandled()
	s.UntilCovered("0", "1")
	r.Host.Silence()
	s.During(5*time.Minute, func(int) { s.Send(1, "0", "1") })
	r.Host.Heal()
	began := time.Now()
	s.UntilHandled()
	require.Less(s.T, time.Since(began), 2*time.Minute)
	r.Stop()
	require.Equal(s.T, s.Last("0"), s.Checkpoint("0"))
	s.Check(0)
}

// silentAtTheEnd ends Receive when nothing is answered any more, and then closes the consumer.
func silentAtTheEnd(s *scene.Scene) {
	s.Send(5, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	s.Silence()
	began := time.Now()
	r.Stop()
	require.LessOrEqual(s.T, time.Since(began), 5*time.Second)
	require.EqualValues(s.T, 4, s.Checkpoint("0"))
	require.Empty(s.T, s.Owner("0"))
	require.Empty(s.T, s.Owner("1"))
	began = time.Now()
	ctx, cancel := context.WithTimeout(s.T.Context(), time.Second)
	defer cancel()
	_ = r.Consumer.Close(ctx) // it can't say goodbye
	require.LessOrEqual(s.T, time.Since(began), time.Second)
	s.Check(0)
}

// rawAttach records what the SDK does: one attach that is never answered keeps all claims from being renewed.
func rawAttach(s *scene.Scene) {
	unansweredAttach(s, 1)
	r := s.Raw("reader", scene.Group, s.RawStore(), earliest)
	s.Until("both are claimed", func() bool { return len(s.Ownership(r.Store, scene.Group)) == 2 })
	time.Sleep(5 * time.Minute)
	for id, o := range s.Ownership(r.Store, scene.Group) {
		if time.Since(o.LastModifiedTime) < time.Minute {
			s.Mended("the claim of partition "+id+" is not renewed while an attach is not answered",
				"a client for each reader")
		}
	}
}
