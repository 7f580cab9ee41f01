package eventhubs_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// What somebody reads at three in the morning: the whole of it, where the text is ours; what comes before "…" where the service's own words follow. What can't be
// reached is in TestAdviceUnreachable.
func TestAdvice(t *testing.T) {
	o := eventhubstest.Options{TLS: true, Rules: leastRights, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}, Identities: []eventhubstest.Identity{
		{ClientID: "nobody"},
	}}
	srv := eventhubstest.Start(t, &o)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	connection := func(c string) eventhubs.Config {
		return eventhubs.Config{ConnectionString: c, TLSConfig: srv.Config("hub").TLSConfig, Retry: quickRetry}
	}
	nobody := srv.PasswordlessConfig("hub")
	nobody.Retry = quickRetry
	send := func(cfg eventhubs.Config) error {
		p, err := eventhubs.NewProducer(cfg, nil)
		if err != nil {
			return err
		}
		defer p.Close(ctx)
		return p.Send(ctx, eventhubs.Event{})
	}
	receive := func(cfg eventhubs.Config) error {
		c, err := eventhubs.NewConsumer(cfg, memory(), nil)
		if err != nil {
			return err
		}
		defer c.Close(ctx)
		return c.Receive(ctx, nothing)
	}
	open := func(cfg eventhubs.BlobConfig) error {
		cfg.ClientOptions.Retry = policy.RetryOptions{MaxRetries: -1}
		_, err := eventhubs.NewBlobCheckpointStore(ctx, cfg)
		return err
	}
	account := srv.PasswordlessBlobConfig("checkpoints").AccountURL
	withContainer := srv.PasswordlessBlobConfig("checkpoints")
	withContainer.AccountURL += "/checkpoints"
	wrongKey := srv.BlobConfig("checkpoints")
	wrongKey.ConnectionString = strings.Replace(wrongKey.ConnectionString, "Eby8", "Abcd", 1)
	none := srv.PasswordlessConfig("none")
	none.Credential = eventhubstest.Start(t, &eventhubstest.Options{TLS: true}).Credential() // of another tenant, so to speak
	none.Retry = quickRetry

	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"wrong key": {send(connection(strings.Replace(srv.ConnectionString("hub"), secret, "d3Jvbmc=", 1))),
			"eventhubs: send hub: not authorized: check the key in the connection string, and that its policy has the claim Send: …"},
		"expired SAS": {send(connection(srv.SASConnectionString("all", "hub", time.Now().Add(-time.Minute)))),
			"eventhubs: send hub: not authorized: the shared access signature has expired: make a new one, or use a key or Credential, which renew theirs: …"},
		"SAS for another hub": {receive(connection(strings.Replace(srv.SASConnectionString("all", "other", time.Now().Add(time.Hour)), "EntityPath=other", "EntityPath=hub", 1))),
			"eventhubs: receive hub/$Default: not authorized: check the shared access signature: it has to be for hub in 127.0.0.1, and its policy needs the claim Listen: …"},
		"no role to send":      {send(nobody), `eventhubs: send hub: not authorized: give this identity the role "Azure Event Hubs Data Sender" (a new role can take 8 minutes): …`},
		"no role to receive":   {receive(nobody), `eventhubs: receive hub/$Default: not authorized: give this identity the role "Azure Event Hubs Data Receiver" (a new role can take 8 minutes): …`},
		"token not taken":      {send(none), "eventhubs: send none: not authorized: the namespace does not accept this identity's token: check that it is of the namespace's tenant, and this machine's clock: …"},
		"no role for blobs":    {open(srv.PasswordlessBlobConfig("checkpoints")), `eventhubs: open checkpoint container "checkpoints" at ` + account + `: not authorized: give this identity the role "Storage Blob Data Contributor" (a new role can take 8 minutes) [403 AuthorizationPermissionMismatch]`},
		"wrong key for blobs":  {open(wrongKey), `eventhubs: open checkpoint container "checkpoints" at ` + account + `: not authorized: check the account name and key in the connection string, and this machine's clock [403 AuthenticationFailed]`},
		"container in the URL": {open(withContainer), `eventhubs: blob config: AccountURL "` + account + `/checkpoints" has a container in it: name it in Container`},
		"no domain": {send(eventhubs.Config{Namespace: "contoso", EventHub: "orders"}),
			`eventhubs: config: Namespace "contoso" has no domain: did you mean "contoso.servicebus.windows.net"?`},
		"hub in both places": {send(eventhubs.Config{ConnectionString: keyed + ";EntityPath=orders", EventHub: "audit"}),
			`eventhubs: config: EventHub is "audit", but ConnectionString has EntityPath "orders": they have to be equal, or one of them empty`},
		"connection string as hub": {send(eventhubs.Config{Namespace: "contoso.servicebus.windows.net", EventHub: keyed}),
			`eventhubs: config: EventHub "Endpoint…" is not the name of an event hub: it has letters, digits, and the characters . - _`},
		"unknown hub": {send(connection(srv.ConnectionString("none"))),
			"eventhubs: send none: there is no such event hub or consumer group: check the name none in namespace 127.0.0.1, and the consumer group: …"},
	} {
		t.Run(name, func(t *testing.T) {
			begins, open := strings.CutSuffix(tc.want, "…")
			if !open {
				require.EqualError(t, tc.err, tc.want)
				return
			}
			requireFirstLine(t, tc.err, begins)
		})
	}
}

// A storage account with settings that Microsoft advises against works, and says so, where it can be seen.
func TestAdviceStorage(t *testing.T) {
	for name, tc := range map[string]struct {
		storage eventhubstest.Storage
		want    string
	}{
		"hierarchical namespace": {eventhubstest.Storage{HierarchicalNamespace: true}, "the storage account has a hierarchical namespace: use a storage account without it for checkpoints"},
		"soft delete":            {eventhubstest.Storage{SoftDelete: true}, "the storage account keeps each checkpoint that is overwritten, for soft delete is on: it costs space and time: use a storage account without it for checkpoints"},
		"as it should be":        {eventhubstest.Storage{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: true, Storage: tc.storage})
			log := &logs{}
			cfg := srv.PasswordlessBlobConfig("checkpoints")
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			for range 2 { // soft delete shows once something was overwritten
				store, err := eventhubs.NewBlobCheckpointStore(t.Context(), cfg)
				require.NoError(t, err)
				for sequence := range int64(2) {
					require.NoError(t, store.SetCheckpoint(t.Context(), azeventhubs.Checkpoint{
						FullyQualifiedNamespace: "localhost", EventHubName: "hub", ConsumerGroup: "$Default", PartitionID: "0", SequenceNumber: &sequence,
					}, nil))
				}
			}
			if tc.want == "" {
				require.Zero(t, log.count("storage account"))
				return
			}
			require.NotZero(t, log.count("level=WARN", tc.want, "container=checkpoints"), "%s", log)
		})
	}
}
