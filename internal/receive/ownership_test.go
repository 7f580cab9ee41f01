package receive_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// outside starts a reader that doesn't look at ownership records, as a tool for monitoring may be one.
func (s *scene) outside(name, partition string, epoch int64) (closeIt func()) {
	s.Helper()
	client, err := azeventhubs.NewConsumerClientFromConnectionString(s.cfg.ConnectionString, "", "$Default",
		&azeventhubs.ConsumerClientOptions{
			InstanceID: name,
			NewWebSocketConn: func(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
				return s.srv.DialContext(ctx, "tcp", address)
			},
		})
	require.NoError(s, err)
	p, err := client.NewPartitionClient(partition, &azeventhubs.PartitionClientOptions{OwnerLevel: &epoch})
	require.NoError(s, err)
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	_, err = p.ReceiveEvents(ctx, 1, nil)
	require.ErrorIs(s, err, context.DeadlineExceeded, "it is open, and at the latest event")
	closeIt = func() {
		_ = p.Close(context.Background()) // its link may be gone
		_ = client.Close(context.Background())
	}
	s.Cleanup(closeIt)
	return closeIt
}

// steal claims a partition without asking its owner.
func (s *scene) steal(partition string) {
	s.Helper()
	list, err := s.store.ListOwnership(s.Context(), s.namespace(), "hub", "$Default", nil)
	require.NoError(s, err)
	for _, o := range list {
		if o.PartitionID == partition {
			o.OwnerID = "a thief"
			claimed, err := s.store.ClaimOwnership(s.Context(), []azeventhubs.Ownership{o}, nil)
			require.NoError(s, err)
			require.Len(s, claimed, 1)
		}
	}
}

// TestTwins gives two consumers the same InstanceID. Each takes the partition's link from the other, and says why.
func TestTwins(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		const twins = "level=WARN eventhubs: another consumer with the same InstanceID has taken the partition"
		s.receive("twin", eventhubs.ConsumerOptions{}, nothing)
		time.Sleep(time.Minute)
		require.Zero(s, s.log.count(twins))
		s.receive("twin", eventhubs.ConsumerOptions{}, nothing)
		time.Sleep(10 * time.Minute)
		told := s.log.find(twins, "partition=0", "instance_id=twin", "give each running consumer its own")
		require.NotEmpty(s, told)
		require.LessOrEqual(s, len(told), 20, "at growing intervals")
	})
}

// TestDifferentNamesAreNoTwins has a consumer be replaced by another one, and one by itself.
func TestDifferentNamesAreNoTwins(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.receive("two", eventhubs.ConsumerOptions{}, nothing)
		time.Sleep(time.Minute)
		s.srv.SilenceConnections() // the new link takes the place of the old one, which the service thinks is open
		s.send("0", 1)
		s.send("1", 1)
		s.untilHandled(2*silence, "0", 1)
		s.untilHandled(2*silence, "1", 1)
		time.Sleep(10 * time.Minute)
		require.Zero(s, s.log.count("same InstanceID"))
	})
}

// TestLinkIsTaken has a reader with the same epoch, and no ownership record, take the link. It is named, and the
// partition is taken back.
func TestLinkIsTaken(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		s.send("0", 1)
		s.untilHandled(margin, "0", 1)
		s.until(soon+margin, "the event is covered", func() bool { return s.checkpoint("0") == 0 })
		since := r.partition("0").Since
		s.outside("a tool", "0", 0)
		s.send("0", 1)
		s.untilHandled(time.Minute, "0", 2)
		require.NotZero(s, s.log.count("level=INFO", "another reader has taken the partition", "partition=0", "by=a tool"))
		require.True(s, r.partition("0").Since.After(since), "it was lost in between")
		require.Equal(s, sequences(0, 2), s.handledOf("0"))
		require.Zero(s, s.log.count("level=ERROR"))
	})
}

// TestLinkIsKeptAway has a reader with a higher epoch: the service lets nobody else read. Nobody else in the group can
// do better, so the partition is kept.
func TestLinkIsKeptAway(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		r := s.receive("one", eventhubs.ConsumerOptions{}, nothing)
		time.Sleep(time.Minute)
		since := r.partition("0").Since
		closeIt := s.outside("a monitor", "0", 7)
		time.Sleep(20 * time.Minute)
		told := s.log.count("level=WARN", "a reader with a higher epoch", "partition=0", "by=a monitor", "epoch=7")
		require.InDelta(s, 6, told, 1, "at growing intervals")
		require.NotNil(s, r.partition("0").Reading)
		require.Equal(s, since, r.partition("0").Since)
		s.send("0", 1)
		closeIt()
		s.untilHandled(time.Minute, "0", 1)
		require.Zero(s, s.log.count("partition lost"))
		require.Less(s, r.stop(), margin)
	})
}

// TestHandOver has a consumer join: the owner finishes what is at hand, and nothing is handled twice.
func TestHandOver(t *testing.T) {
	for name, c := range map[string]struct {
		takes     time.Duration // the handler, with the event at hand
		completes bool
	}{
		"a handler that is quick":    {0, true},
		"a handler that takes time":  {10 * time.Second, true},
		"a handler that is too slow": {time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 2, func(s *scene) {
				o := eventhubs.ConsumerOptions{DrainTimeout: 15 * time.Second, CheckpointInterval: time.Hour}
				slow := func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
					if e.SequenceNumber != 20 {
						return nil
					}
					select {
					case <-time.After(c.takes):
						return nil
					case <-ctx.Done():
						require.Equal(t, eventhubs.ErrDraining, context.Cause(ctx))
						return ctx.Err()
					}
				}
				s.receive("one", o, slow)
				for _, id := range []string{"0", "1"} {
					s.send(id, 20)
					s.untilHandled(margin, id, 20)
				}
				for _, id := range []string{"0", "1"} {
					s.send(id, 1) // which the handler is at when it is asked
				}
				s.receive("two", o, nothing)
				s.until(time.Minute, "each has one", func() bool {
					a, b := s.owner("0"), s.owner("1")
					return a != b && a != "" && b != ""
				})
				time.Sleep(time.Minute)
				moved := "0"
				if s.owner("1") == "two" {
					moved = "1"
				}
				s.send(moved, 5)
				s.untilHandled(margin, moved, 26)
				require.Equal(s, sequences(0, 26), s.handledOf(moved))
				calls := s.calls(moved)
				require.Equal(s, "two", calls[25].who)
				require.Equal(s, c.completes, calls[20].who == "one")
			})
		})
	}
}
