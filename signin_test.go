package eventhubs_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// namesEnv is the environment of a process that knows names and nothing else.
func namesEnv(t *testing.T, srv *eventhubstest.Server) []string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, srv.CA(), 0o600))
	return append(srv.PasswordlessEnv("hub"), "SSL_CERT_FILE="+ca)
}

// passwordlessEnv holds how many events a process sends and receives that knows names and nothing else.
const passwordlessEnv = "EVENTHUBS_TEST_PASSWORDLESS"

// bePasswordless is what a user's program does: it is told the namespace, the event hub and the storage account, and
// signs in with what DefaultAzureCredential finds.
func bePasswordless() int {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	var credentials atomic.Int32
	log.SetEvents(azidentity.EventAuthentication)
	log.SetListener(func(_ log.Event, message string) {
		if strings.Contains(message, "will use AppService managed identity") {
			credentials.Add(1)
		}
	})
	if err := sendAndReceiveByNames(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("credentials:", credentials.Load())
	return 0
}

func sendAndReceiveByNames() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := eventhubs.Config{
		Namespace: os.Getenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE"), EventHub: os.Getenv("EVENT_HUB_NAME"),
	}
	var n int
	if _, err := fmt.Sscan(os.Getenv(passwordlessEnv), &n); err != nil {
		return err
	}
	p, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		return err
	}
	if err := p.Send(ctx, make([]eventhubs.Event, n)...); err != nil {
		return err
	}
	store, err := eventhubs.NewBlobCheckpointStore(ctx,
		eventhubs.BlobConfig{AccountURL: os.Getenv("BLOB_STORAGE_ACCOUNT_URL"), Container: "checkpoints"})
	if err != nil {
		return err
	}
	c, err := eventhubs.NewConsumer(cfg, store, nil)
	if err != nil {
		return err
	}
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	var left atomic.Int32
	left.Store(int32(n))
	err = c.Receive(receiving, func(context.Context, *eventhubs.ReceivedEvent) error {
		if left.Add(-1) == 0 {
			stop()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n := left.Load(); n != 0 {
		return fmt.Errorf("%d events have not come", n)
	}
	if err := p.Close(ctx); err != nil {
		return err
	}
	return c.Close(ctx)
}

// program runs a process that knows names and nothing else, and returns what it has printed.
func program(t *testing.T, events int, env ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = slices.Concat(os.Environ(), env, []string{fmt.Sprintf("%s=%d", passwordlessEnv, events)})
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var twoPartitions = []eventhubstest.Hub{{Name: "hub", Partitions: 2}}

// TestPasswordless sends, receives and writes checkpoints with names and nothing else, and with one credential for all.
func TestPasswordless(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: true, Hubs: twoPartitions})
	out, err := program(t, 5, namesEnv(t, srv)...)
	require.NoError(t, err, out)
	require.Equal(t, "credentials: 1\n", out)
	require.Len(t, srv.AllEvents("hub"), 5)
	store, err := eventhubs.NewBlobCheckpointStore(t.Context(), srv.BlobConfig("checkpoints"))
	require.NoError(t, err)
	list, err := store.ListCheckpoints(t.Context(), "localhost", "hub", "$Default", nil)
	require.NoError(t, err)
	covered := 0
	for _, c := range list {
		covered += int(*c.SequenceNumber) + 1
	}
	require.Equal(t, 5, covered, "checkpoints cover all")
}

// TestPasswordlessSlowStart has the identity endpoint fail at first, as it does while a machine starts.
func TestPasswordlessSlowStart(t *testing.T) {
	t.Parallel()
	srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: true, Hubs: twoPartitions})
	defer srv.IdentityFault(eventhubstest.IdentityFault{Times: 1})()
	out, err := program(t, 1, namesEnv(t, srv)...)
	require.NoError(t, err, out)
	require.Equal(t, "credentials: 1\n", out)
}

// TestPasswordlessRefused tells those what to do who aren't who they should be, or have no role.
func TestPasswordlessRefused(t *testing.T) {
	t.Parallel()
	roles := map[string][]eventhubstest.Role{
		"none":     nil,
		"sender":   {eventhubstest.EventHubsDataSender, eventhubstest.StorageBlobDataContributor},
		"no blobs": {eventhubstest.EventHubsDataOwner},
	}
	o := eventhubstest.Options{TLS: true, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}}
	for id, r := range roles {
		o.Identities = append(o.Identities, eventhubstest.Identity{ClientID: id, Roles: r})
	}
	srv := eventhubstest.Start(t, &o)
	env := slices.Clip(namesEnv(t, srv))
	const (
		newRole   = " (a new role can take 8 minutes)"
		sending   = "eventhubs: send hub: "
		receiving = "eventhubs: receive hub/$Default: "
		giveRole  = "not authorized: give this identity the role "
	)
	for identity, want := range map[string]string{
		"none":   sending + giveRole + `"Azure Event Hubs Data Sender"` + newRole + ": ",
		"sender": receiving + giveRole + `"Azure Event Hubs Data Receiver"` + newRole + ": ",
		"no blobs": `eventhubs: open checkpoint container "checkpoints" at ` + srv.PasswordlessBlobConfig("c").AccountURL +
			": " + giveRole + `"Storage Blob Data Contributor"` + newRole + " [403 AuthorizationPermissionMismatch]",
		"stranger": sending + `signing in failed: on your own machine run "az login"; in Azure give the machine a ` +
			"managed identity; or set Credential or ConnectionString: ",
	} {
		t.Run(identity, func(t *testing.T) {
			t.Parallel()
			out, err := program(t, 1, append(env, "AZURE_CLIENT_ID="+identity)...)
			require.Error(t, err, out)
			require.True(t, strings.HasPrefix(out, want), "%s\nand not:\n%s", out, want)
		})
	}
}

// passwordless runs a test in virtual time, in a scene whose clients sign in as an identity with tokens of one hour.
func passwordless(t *testing.T, test func(s *scene.Scene)) {
	o := eventhubstest.Options{TLS: true, TokenLifetime: time.Hour, Hubs: twoPartitions}
	inMemory(t, o, func(s *scene.Scene) {
		cfg := s.Server.PasswordlessConfig("hub")
		cfg.Logger = s.Config.Logger
		s.Config = cfg
		test(s)
	})
}

// passwordlessStore opens a checkpoint store with an identity.
func passwordlessStore(s *scene.Scene) eventhubs.CheckpointStore {
	cfg := s.Server.PasswordlessBlobConfig(scene.Container)
	cfg.Logger = s.Config.Logger
	store, err := eventhubs.NewBlobCheckpointStore(s.T.Context(), cfg)
	require.NoError(s.T, err)
	return store
}

// rarely looks at claims less often, which is cheaper for tests that take hours and are not about claims.
func rarely() eventhubs.ConsumerOptions {
	return eventhubs.ConsumerOptions{
		InstanceID: "only", UpdateInterval: time.Minute, ExpirationInterval: 10 * time.Minute,
	}
}

// TestPasswordlessRenewal has tokens run out, twice, while Receive and a Producer are at work. Nobody notices.
func TestPasswordlessRenewal(t *testing.T) {
	passwordless(t, func(s *scene.Scene) {
		r := s.ConsumerWith(s.Config, passwordlessStore(s), rarely())
		r.Receive(nothing)
		for range 5 {
			s.Send(1, "0", "1")
			s.UntilHandled()
			time.Sleep(30 * time.Minute)
		}
		s.Check(0)
		require.Len(s.T, s.Tally.Holdings(), 2, "each partition was taken once")
		require.Zero(s.T, s.Log.Count("level=WARN")+s.Log.Count("level=ERROR"))
		r.Stop()
	})
}

// TestPasswordlessIdleRenewal asks the service a first question when the first tokens have run out.
func TestPasswordlessIdleRenewal(t *testing.T) {
	passwordless(t, func(s *scene.Scene) {
		o := rarely()
		o.Start = latest
		r := s.ConsumerWith(s.Config, passwordlessStore(s), o)
		r.Receive(nothing)
		time.Sleep(90 * time.Minute)
		s.Send(1, "0", "1")
		began := time.Now()
		s.UntilHandled()
		require.Less(s.T, time.Since(began), time.Second)
		require.Zero(s.T, s.Log.Count("level=WARN")+s.Log.Count("level=ERROR"))
		r.Stop()
	})
}

// latest begins at the latest event.
var latest = azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Latest: ptr(true)}}

// TestPasswordlessRevoked takes a role away: that ends Receive and Send after a while, with an error that says which
// one.
func TestPasswordlessRevoked(t *testing.T) {
	passwordless(t, func(s *scene.Scene) {
		r := s.ConsumerWith(s.Config, passwordlessStore(s), eventhubs.ConsumerOptions{InstanceID: "only"})
		r.Receive(nothing)
		s.Send(1, "0", "1")
		s.UntilHandled()
		require.NoError(s.T, s.Server.SetRoles("", eventhubstest.StorageBlobDataContributor))
		began := time.Now()
		require.ErrorContains(s.T, r.Result(), "eventhubs: receive hub/$Default: not authorized: give this identity the "+
			`role "Azure Event Hubs Data Receiver" (a new role can take 8 minutes)`)
		require.InDelta(s.T, time.Minute, time.Since(began), float64(40*time.Second))
		err := s.Producer().Send(s.T.Context(), eventhubs.Event{PartitionID: "0"})
		require.ErrorContains(s.T, err, "eventhubs: send hub: not authorized: give this identity the role "+
			`"Azure Event Hubs Data Sender" (a new role can take 8 minutes)`)
	})
}

// TestAdvice is what somebody reads at three in the morning: the whole of it, where the text is ours; what comes before
// "…" where the service's own words follow. What can't be reached is tested in internal/dial.
func TestAdvice(t *testing.T) {
	const (
		give    = "not authorized: give this identity the role "
		newRole = " (a new role can take 8 minutes)"
	)
	o := eventhubstest.Options{TLS: true, Rules: leastRights, Identities: []eventhubstest.Identity{{ClientID: "nobody"}}}
	inMemory(t, o, func(s *scene.Scene) {
		srv := s.Server
		connection := func(c string) eventhubs.Config {
			cfg := s.Config
			cfg.ConnectionString = c
			return cfg
		}
		nobody := srv.PasswordlessConfig("hub")
		other, err := eventhubstest.New(&eventhubstest.Options{TLS: true, InMemory: true}) // another tenant, so to speak
		require.NoError(s.T, err)
		defer other.Close()
		none := srv.PasswordlessConfig("none")
		none.Credential = other.Credential()
		foreign := srv.SASConnectionString("all", "other", time.Now().Add(time.Hour))
		account := srv.PasswordlessBlobConfig("checkpoints").AccountURL
		withContainer := srv.PasswordlessBlobConfig("checkpoints")
		withContainer.AccountURL += "/checkpoints"
		wrongKey := srv.BlobConfig("checkpoints")
		wrongKey.ConnectionString = strings.Replace(wrongKey.ConnectionString, "Eby8", "Abcd", 1)

		for name, c := range map[string]struct {
			err  error
			want string
		}{
			"wrong key": {trySend(s, connection(strings.Replace(srv.ConnectionString("hub"), secret, "d3Jvbmc=", 1))),
				"eventhubs: send hub: not authorized: check the key in the connection string, and that its policy has the " +
					"claim Send: …"},
			"expired SAS": {trySend(s, connection(srv.SASConnectionString("all", "hub", time.Now().Add(-time.Minute)))),
				"eventhubs: send hub: not authorized: the shared access signature has expired: make a new one, or use a key or " +
					"Credential, which renew theirs: …"},
			"SAS for another hub": {tryReceive(s, connection(strings.Replace(foreign, "EntityPath=other", "EntityPath=hub", 1))),
				"eventhubs: receive hub/$Default: not authorized: check the shared access signature: it has to be for hub in " +
					"localhost, and its policy needs the claim Listen: …"},
			"no role to send": {trySend(s, nobody),
				"eventhubs: send hub: " + give + `"Azure Event Hubs Data Sender"` + newRole + ": …"},
			"no role to receive": {tryReceive(s, nobody),
				"eventhubs: receive hub/$Default: " + give + `"Azure Event Hubs Data Receiver"` + newRole + ": …"},
			"token not taken": {trySend(s, none),
				"eventhubs: send none: not authorized: the namespace does not accept this identity's token: check that it is of " +
					"the namespace's tenant, and this machine's clock: …"},
			"no role for blobs": {tryOpen(s, srv.PasswordlessBlobConfig("checkpoints")),
				`eventhubs: open checkpoint container "checkpoints" at ` + account + ": " + give +
					`"Storage Blob Data Contributor"` + newRole + " [403 AuthorizationPermissionMismatch]"},
			"wrong key for blobs": {tryOpen(s, wrongKey),
				`eventhubs: open checkpoint container "checkpoints" at ` + account + ": not authorized: check the account name " +
					"and key in the connection string, and this machine's clock [403 AuthenticationFailed]"},
			"container in the URL": {tryOpen(s, withContainer),
				`eventhubs: blob config: AccountURL "` + account + `/checkpoints" has a container in it: name it in Container`},
			"no domain": {trySend(s, eventhubs.Config{Namespace: "contoso", EventHub: "orders"}),
				`eventhubs: config: Namespace "contoso" has no domain: did you mean "contoso.servicebus.windows.net"?`},
			"hub in both places": {
				trySend(s, eventhubs.Config{ConnectionString: keyed + ";EntityPath=orders", EventHub: "audit"}),
				`eventhubs: config: EventHub is "audit", but ConnectionString has EntityPath "orders": they have to be equal, or ` +
					"one of them empty (Config.Hub makes the Config of another event hub)"},
			"connection string as hub": {
				trySend(s, eventhubs.Config{Namespace: "contoso.servicebus.windows.net", EventHub: keyed}),
				"eventhubs: config: EventHub is a connection string: it belongs in ConnectionString"},
			"unknown hub": {trySend(s, connection(srv.ConnectionString("none"))),
				"eventhubs: send none: there is no such event hub or consumer group: check the name none in namespace localhost, " +
					"and the consumer group: …"},
		} {
			if begins, open := strings.CutSuffix(c.want, "…"); open {
				requireFirstLine(s.T, c.err, begins)
			} else {
				require.EqualError(s.T, c.err, c.want, name)
			}
		}
	})
}

func trySend(s *scene.Scene, cfg eventhubs.Config) error {
	p, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		return err
	}
	defer p.Close(s.T.Context())
	return p.Send(s.T.Context(), eventhubs.Event{})
}

func tryReceive(s *scene.Scene, cfg eventhubs.Config) error {
	c, err := eventhubs.NewConsumer(cfg, memory(), nil)
	if err != nil {
		return err
	}
	defer c.Close(s.T.Context())
	return c.Receive(s.T.Context(), nothing)
}

func tryOpen(s *scene.Scene, cfg eventhubs.BlobConfig) error {
	_, err := eventhubs.NewBlobCheckpointStore(s.T.Context(), cfg)
	return err
}

// TestAdviceStorage uses a storage account with settings that Microsoft advises against. It works, and says so.
func TestAdviceStorage(t *testing.T) {
	const instead = "use a storage account without it for checkpoints"
	for name, c := range map[string]struct {
		storage eventhubstest.Storage
		want    string
	}{
		"hierarchical namespace": {eventhubstest.Storage{HierarchicalNamespace: true},
			"the storage account has a hierarchical namespace: " + instead},
		"soft delete": {eventhubstest.Storage{SoftDelete: true},
			"the storage account keeps each checkpoint that is overwritten, for soft delete is on: it costs space and time: " +
				instead},
		"as it should be": {eventhubstest.Storage{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, eventhubstest.Options{TLS: true, Storage: c.storage}, func(s *scene.Scene) {
				for range 2 { // soft delete shows once something was overwritten
					store := passwordlessStore(s)
					for sequence := range int64(2) {
						require.NoError(s.T, store.SetCheckpoint(s.T.Context(), azeventhubs.Checkpoint{
							FullyQualifiedNamespace: "localhost", EventHubName: "hub", ConsumerGroup: "$Default", PartitionID: "0",
							SequenceNumber: &sequence,
						}, nil))
					}
				}
				if c.want == "" {
					require.Zero(s.T, s.Log.Count("storage account"))
					return
				}
				require.NotZero(s.T, s.Log.Count("level=WARN", c.want, "container=checkpoints"))
			})
		})
	}
}
