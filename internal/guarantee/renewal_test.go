package guarantee_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// renewalFails are ways in which the renewal of a token fails once, over a link that has worked with the token before.
// The ways that are left out are handled like one of these: see put-token in the matrix.
func renewalFails() (cases []aCase) {
	tried := []string{"hang", "cut-before", "silent", "server-busy", "unauthorized-access"}
	for _, link := range []eventhubstest.LinkKind{eventhubstest.ReaderLink, eventhubstest.SenderLink} {
		for _, f := range namespaceFailures() {
			if slices.Contains(tried, f.name) {
				name := "the token of a " + string(link) + "'s link is renewed, and that fails: " + f.name
				cases = append(cases, aCase{name, func(t *testing.T) { renewalFailsOnce(t, link, f) }})
			}
		}
	}
	return cases
}

// renewalFailsOnce has tokens last a quarter of an hour. The SDK renews them ten minutes before they expire
// (azeventhubs, internal/namespace.go), and the service closes a link whose token has expired.
func renewalFailsOnce(t *testing.T, link eventhubstest.LinkKind, f failure) {
	const tokenLife, between = 15 * time.Minute, 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := scene.Open(t, eventhubstest.Options{
			InMemory: true, TLS: true, TokenLifetime: tokenLife,
			Hubs: []eventhubstest.Hub{{Name: scene.Hub, Partitions: 2}},
		})
		logger := s.Config.Logger
		s.Config = s.Server.PasswordlessConfig(scene.Hub)
		s.Config.Logger = logger
		var longestMu sync.Mutex
		var longest time.Duration // that an event has waited, or a call of Send has taken
		wait := func(since time.Time) {
			longestMu.Lock()
			defer longestMu.Unlock()
			longest = max(longest, time.Since(since))
		}
		r := s.ConsumerWith(s.Config, eventhubs.NewMemoryCheckpointStore(), eventhubs.ConsumerOptions{InstanceID: "only"})
		r.Receive(func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			wait(*e.EnqueuedTime)
			return nil
		})
		s.Send(1, "0", "1")
		s.UntilHandled()
		var happened atomic.Int64
		aim := f.fault
		aim.On, aim.Link, aim.Partition, aim.Times, aim.Happened = eventhubstest.OnToken, link, "0", 1, &happened
		s.Server.Fault(aim)
		for began := time.Now(); time.Since(began) < tokenLife+2*time.Minute; time.Sleep(between) {
			sent := time.Now()
			s.Send(1, "0", "1")
			wait(sent)
		}
		s.UntilHandled()
		require.EqualValues(t, 1, happened.Load())
		bound, warnings := promptly, 0
		switch {
		case f.kind == silent && link == eventhubstest.ReaderLink:
			bound, warnings = silence+promptly, 1
		case f.kind == silent:
			bound, warnings = answeredWithin+promptly, 1
		}
		require.LessOrEqual(t, longest, bound)
		require.Equal(t, warnings, s.Log.Count("level=WARN"))
		require.Zero(t, s.Log.Count("level=ERROR"))
		require.Len(t, s.Tally.Holdings(), 2, "the partitions are kept")
		r.Stop()
		s.Check(0)
	})
}
