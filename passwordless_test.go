package eventhubs_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// passwordless is a scene whose clients sign in as the machine's own identity, with tokens that hold for so long.
func passwordless(t *testing.T, lifetime time.Duration) *scene {
	t.Helper()
	s := newSceneOn(t, eventhubstest.Options{TLS: true, TokenLifetime: lifetime, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 2}}})
	cfg := s.srv.PasswordlessConfig("hub")
	cfg.Retry, cfg.Logger = s.cfg.Retry, s.cfg.Logger
	s.cfg = cfg
	return s
}

// Tokens that run out while Receive and a Producer are at work are renewed, and nobody notices.
func TestPasswordlessRenewal(t *testing.T) {
	t.Parallel()
	const lifetime = 2 * time.Second
	s := passwordless(t, lifetime)
	p := newProducer(t, s.cfg)
	r := s.receive("reader", calm(), nothing)
	for began := time.Now(); time.Since(began) < 3*lifetime; {
		require.NoError(t, p.Send(t.Context(), eventhubs.Event{Body: []byte("event"), PartitionID: "0"}, eventhubs.Event{Body: []byte("event"), PartitionID: "1"}))
		s.untilAll()
	}
	r.stop()
	require.Zero(t, s.repeated())
	require.Zero(t, s.log.count("level=ERROR"))
}

// A role that is taken away ends Receive and Send with an error that says which one it is.
func TestPasswordlessRevoked(t *testing.T) {
	t.Parallel()
	s := passwordless(t, time.Hour)
	p := newProducer(t, s.cfg)
	r := s.receive("reader", calm(), nothing)
	require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0"}, eventhubs.Event{PartitionID: "1"}))
	s.untilAll()
	require.NoError(t, s.srv.SetRoles("", eventhubstest.StorageBlobDataContributor))
	require.ErrorContains(t, r.result(), `not authorized: give this identity the role "Azure Event Hubs Data Receiver" (a new role can take 8 minutes)`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorContains(t, p.Send(ctx, eventhubs.Event{PartitionID: "0"}),
		`eventhubs: send hub: not authorized: give this identity the role "Azure Event Hubs Data Sender" (a new role can take 8 minutes)`)
}
