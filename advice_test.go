package eventhubs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

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
					"127.0.0.1, and its policy needs the claim Listen: …"},
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
				"eventhubs: send none: there is no such event hub or consumer group: check the name none in namespace 127.0.0.1, " +
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
