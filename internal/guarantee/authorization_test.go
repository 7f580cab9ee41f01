package guarantee_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

const (
	receiver    = "Azure Event Hubs Data Receiver"
	contributor = "Storage Blob Data Contributor"
	// patience is how long a right that has worked may be refused before that is an error.
	patience = time.Minute
)

var authorizationFails = []aCase{
	{"a role is taken away, and given back", roleComesBack},
	{"a role is taken away", roleIsTakenAway},
	{"the identity service is down when a token is due", identityIsDown},
	{"checkpoints may not be listed", checkpointsRefused},
	{"a key is refused for a while", in(2, func(s *scene.Scene) { refusedForAWhile(s, "amqp:unauthorized-access") })},
	{"a key is refused", in(2, func(s *scene.Scene) {
		refusedForGood(s, "amqp:unauthorized-access", "not authorized")
	})},
	{"the consumer group is deleted, and made again", in(2, func(s *scene.Scene) {
		refusedForAWhile(s, "amqp:not-found")
	})},
	{"the consumer group is deleted", in(2, func(s *scene.Scene) {
		refusedForGood(s, "amqp:not-found", "there is no such event hub or consumer group")
	})},
}

// passwordless runs a test with identities whose tokens last an hour.
func passwordless(t *testing.T, test func(s *scene.Scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := scene.Open(t, eventhubstest.Options{
			InMemory: true, TLS: true, TokenLifetime: time.Hour,
			Hubs: []eventhubstest.Hub{{Name: scene.Hub, Partitions: 2}},
		})
		cfg := s.Server.PasswordlessConfig(scene.Hub)
		cfg.Logger = s.Config.Logger
		s.Config = cfg
		test(s)
	})
}

// roles gives the identity these roles, and no others.
func roles(s *scene.Scene, roles ...eventhubstest.Role) {
	s.T.Helper()
	require.NoError(s.T, s.Server.SetRoles("", roles...))
}

func roleComesBack(t *testing.T) {
	passwordless(t, func(s *scene.Scene) {
		s.Send(5, "0", "1")
		r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
		s.UntilHandled()
		roles(s, eventhubstest.EventHubsDataSender, eventhubstest.StorageBlobDataContributor)
		s.During(50*time.Second, func(int) { s.Send(1, "0", "1") })
		s.CheckLogged("level=WARN", receiver)
		roles(s, eventhubstest.EventHubsDataOwner, eventhubstest.StorageBlobDataContributor)
		began := time.Now()
		s.UntilHandled()
		require.Less(s.T, time.Since(began), 40*time.Second)
		require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
		r.Stop()
		s.Check(0)
	})
}

func roleIsTakenAway(t *testing.T) {
	passwordless(t, func(s *scene.Scene) {
		s.Send(5, "0", "1")
		r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
		s.UntilHandled()
		roles(s, eventhubstest.EventHubsDataSender, eventhubstest.StorageBlobDataContributor)
		began := time.Now()
		require.ErrorContains(s.T, r.Result(), `not authorized: give this identity the role "`+receiver+`"`)
		requireMinute(s, time.Since(began))
		require.EqualValues(s.T, 4, s.Checkpoint("0"), "checkpoints are written all the same")
		require.Empty(s.T, s.Owner("0"))
		s.CheckLogged("level=WARN", receiver)
		s.Check(0)
	})
}

// requireMinute expects that something was tried for a minute, and then given up.
func requireMinute(s *scene.Scene, took time.Duration) {
	s.T.Helper()
	require.GreaterOrEqual(s.T, took, patience)
	require.Less(s.T, took, patience+40*time.Second, "the last pause is at most 30 s, give or take a quarter")
}

// passwordlessReceiver is a consumer whose checkpoint store uses an identity too.
func passwordlessReceiver(s *scene.Scene) *scene.Receiver {
	s.T.Helper()
	store, err := eventhubs.NewBlobCheckpointStore(s.T.Context(), s.Server.PasswordlessBlobConfig(scene.Container))
	require.NoError(s.T, err)
	return s.ConsumerWith(s.Config, store, eventhubs.ConsumerOptions{InstanceID: "only"})
}

// storageRoleComesBack takes away the role for storage, and gives it back. A store that refuses every call counts as
// one that is down. Nobody can take a partition that is held, so reading continues, and the other calls are tried until
// the role is back.
func storageRoleComesBack(t *testing.T) {
	passwordless(t, func(s *scene.Scene) {
		s.Send(5, "0", "1")
		r := passwordlessReceiver(s)
		r.Receive(scene.Nothing)
		s.UntilHandled()
		s.UntilCovered("0", "1")
		roles(s, eventhubstest.EventHubsDataOwner)
		s.During(outage, func(int) { // which is longer than patience
			s.Send(1, "0", "1")
			s.CheckReading()
		})
		s.CheckLogged("level=WARN", "the checkpoint store fails", contributor)
		status := r.Consumer.Status()
		require.Equal(s.T, eventhubs.StateStoreUnreachable, status.State)
		require.Contains(s.T, status.Store.Error, contributor)
		roles(s, eventhubstest.EventHubsDataOwner, eventhubstest.StorageBlobDataContributor)
		s.Send(1, "0", "1")
		s.UntilHandled()
		s.UntilCovered("0", "1")
		require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
		r.Stop()
		s.Check(0)
	})
}

// checkpointsRefused lets owners be listed and partitions be claimed, but no reader ever learns where to begin.
func checkpointsRefused(t *testing.T) {
	passwordless(t, func(s *scene.Scene) {
		s.Send(5, "0", "1")
		s.Server.BlobFault(eventhubstest.BlobFault{
			Operation: "ListBlobs", NameContains: "/checkpoint/", Code: "AuthorizationPermissionMismatch",
		})
		r := passwordlessReceiver(s)
		began := time.Now()
		r.Receive(scene.Nothing)
		require.ErrorContains(s.T, r.Result(), `not authorized: give this identity the role "`+contributor+`"`)
		requireMinute(s, time.Since(began))
		s.CheckLogged("level=WARN", "checkpoints can't be listed", "role=\""+contributor)
		require.Empty(s.T, s.Owner("0"))
	})
}

// moody is a credential that can fail.
type moody struct {
	azcore.TokenCredential
	down   *atomic.Bool
	failed *atomic.Int32
}

func (m moody) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if m.down.Load() {
		m.failed.Add(1)
		return azcore.AccessToken{}, errors.New("the identity service is down")
	}
	return m.TokenCredential.GetToken(ctx, o)
}

// identityIsDown makes tokens unavailable while the SDK renews them, and breaks the links then.
func identityIsDown(t *testing.T) {
	passwordless(t, func(s *scene.Scene) {
		s.Send(5, "0", "1")
		var down atomic.Bool
		var failed atomic.Int32
		cfg := s.Config
		cfg.Credential = moody{cfg.Credential, &down, &failed}
		o := eventhubs.ConsumerOptions{InstanceID: "only"}
		r := s.ConsumerWith(cfg, eventhubs.NewMemoryCheckpointStore(), o)
		r.Receive(scene.Nothing)
		for range 6 { // the SDK renews a token some minutes before it expires
			down.Store(false)
			s.During(10*time.Minute-40*time.Second, func(i int) {
				if i%30 == 0 {
					s.Send(1, "0", "1")
				}
			})
			down.Store(true)
			s.Server.DropConnections()
			time.Sleep(40 * time.Second)
		}
		down.Store(false)
		s.Send(5, "0", "1")
		s.UntilHandled()
		require.NotZero(t, failed.Load())
		require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
		r.Stop()
		s.Check(0)
		s.Leave() // a client that gets no token is not closed cleanly (internal/connection, CloseConsumer)
	})
}

func refuse(s *scene.Scene, condition string) (allow func()) {
	s.T.Helper()
	allow = s.Server.Fault(eventhubstest.Fault{
		On: eventhubstest.OnAttach, ConsumerGroup: scene.Group, Condition: condition,
	})
	s.Server.DropConnections()
	return allow
}

func refusedForAWhile(s *scene.Scene, condition string) {
	s.Send(10, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	allow := refuse(s, condition)
	s.Send(10, "0", "1")
	time.Sleep(50 * time.Second)
	allow()
	s.UntilHandled()
	require.Len(s.T, s.Tally.Holdings(), 2, "the partitions are kept")
	r.Stop()
	s.CheckLogged("level=WARN", "reading is refused", receiver)
	s.Check(0)
}

func refusedForGood(s *scene.Scene, condition, want string) {
	s.Send(10, "0", "1")
	r := s.Receive("only", eventhubs.ConsumerOptions{}, scene.Nothing)
	s.UntilHandled()
	refuse(s, condition)
	began := time.Now()
	require.ErrorContains(s.T, r.Result(), want)
	requireMinute(s, time.Since(began))
	for _, id := range []string{"0", "1"} {
		require.EqualValues(s.T, 9, s.Checkpoint(id), "checkpoints are written all the same")
		require.Empty(s.T, s.Owner(id))
	}
	s.Check(0)
}
