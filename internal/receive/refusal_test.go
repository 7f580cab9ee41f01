package receive_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// TestRefusedAtOnce ends Receive when a link is refused before any was open.
func TestRefusedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		on              eventhubstest.Operation
		condition, want string
	}{
		"no right": {eventhubstest.OnAttach, "amqp:unauthorized-access",
			"not authorized: check the key in the connection string, and that its policy has the claim Listen: "},
		"no consumer group": {eventhubstest.OnAttach, "amqp:not-found", "there is no such event hub or consumer group: "},
		"token refused": {eventhubstest.OnToken, "amqp:unauthorized-access",
			"not authorized: check the key in the connection string, and that its policy has the claim Listen: "},
		"question refused": {eventhubstest.OnManagement, "amqp:unauthorized-access",
			"not authorized: check the key in the connection string, and that its policy has the claim Listen: "},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				s.srv.Fault(eventhubstest.Fault{On: c.on, Condition: c.condition})
				o := eventhubs.ConsumerOptions{InstanceID: "one"}
				consumer, err := eventhubs.NewConsumer(s.cfg, s.store, &o)
				require.NoError(s, err)
				defer func() { require.NoError(s, consumer.Close(s.Context())) }()
				began := time.Now()
				err = consumer.Receive(s.Context(), nothing)
				require.Less(s, time.Since(began), margin)
				require.ErrorContains(s, err, "eventhubs: receive hub/$Default")
				require.ErrorContains(s, err, ": "+c.want)
				require.Empty(s, s.owner("0")+s.owner("1"))
			})
		})
	}
}

// TestRefusedForAWhile refuses what has worked for less than a minute, as when a token is renewed late.
func TestRefusedForAWhile(t *testing.T) {
	for name, fault := range refusals {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
				s.send("0", 1)
				s.untilHandled(margin, "0", 1)
				heal := s.srv.Fault(fault)
				s.srv.DropConnections()
				time.Sleep(50 * time.Second)
				require.NotZero(s, s.log.count("level=WARN", "has worked before", "partition=0", `Azure Event Hubs Data Receiver`))
				failing := r.partition("0").Reading
				require.NotNil(s, failing)
				require.InDelta(s, 50*time.Second, time.Since(failing.Since), float64(time.Second))
				heal()
				s.send("0", 1)
				s.untilHandled(40*time.Second, "0", 2)
				require.Nil(s, r.partition("0").Reading)
				require.Less(s, r.stop(), margin)
			})
		})
	}
}

// TestRefusedForGood ends Receive after a minute.
func TestRefusedForGood(t *testing.T) {
	for name, fault := range refusals {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
				s.send("0", 1)
				s.untilHandled(margin, "0", 1)
				s.srv.Fault(fault)
				s.srv.DropConnections()
				began := time.Now()
				<-r.ended
				require.ErrorContains(s, r.err, "eventhubs: receive hub/$Default: ")
				require.GreaterOrEqual(s, time.Since(began), time.Minute)
				require.Less(s, time.Since(began), time.Minute+40*time.Second)
				require.Empty(s, s.owner("0")+s.owner("1"), "the partitions were given back")
			})
		})
	}
}

var refusals = map[string]eventhubstest.Fault{
	"no right":  {On: eventhubstest.OnAttach, ConsumerGroup: "$Default", Condition: "amqp:unauthorized-access"},
	"not found": {On: eventhubstest.OnAttach, ConsumerGroup: "$Default", Condition: "amqp:not-found"},
}

// TestBusyAtTheStart has the service be busy, or not answer, when it is asked for the partitions.
func TestBusyAtTheStart(t *testing.T) {
	for name, fault := range map[string]eventhubstest.Fault{
		"busy":      {Condition: "com.microsoft:server-busy"},
		"no answer": {After: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", 1)
				fault.On = eventhubstest.OnManagement
				heal := s.srv.Fault(fault)
				r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
				time.Sleep(5 * time.Minute)
				require.Equal(s, eventhubs.StateStarting, r.Status().State)
				require.NotZero(s, s.log.count("level=WARN", "does not say which partitions there are"))
				heal()
				s.untilHandled(40*time.Second, "0", 1) // the pause between two tries is half a minute, and a quarter at most
				require.Less(s, r.stop(), margin)
			})
		})
	}
}

// TestUnreachableAtTheStart has nothing listen, or nothing answer dials.
func TestUnreachableAtTheStart(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(s *scene)
		within time.Duration
	}{
		"refused":   {func(s *scene) { s.srv.DropConnections(); s.cfg.Endpoint = "127.0.0.1:1" }, 10 * time.Second},
		"no answer": {func(s *scene) { s.srv.IgnoreDials() }, openTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				c.spoil(s)
				consumer, err := eventhubs.NewConsumer(s.cfg, s.store, nil)
				require.NoError(s, err)
				defer func() { require.NoError(s, consumer.Close(s.Context())) }()
				began := time.Now()
				err = consumer.Receive(s.Context(), nothing)
				require.ErrorContains(s, err, "eventhubs: receive hub/$Default: ")
				require.LessOrEqual(s, time.Since(began), c.within)
			})
		})
	}
}
