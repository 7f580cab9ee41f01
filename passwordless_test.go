package eventhubs_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
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
	s.env = s.passwordlessEnv()
	return s
}

// passwordlessEnv is that of processes which know names and nothing else.
func (s *scene) passwordlessEnv() []string {
	ca := filepath.Join(s.t.TempDir(), "ca.pem")
	require.NoError(s.t, os.WriteFile(ca, s.srv.CA(), 0o600))
	return append(s.srv.PasswordlessEnv("hub"), "SSL_CERT_FILE="+ca)
}

// passwordlessEnv holds how many events a process sends and receives that knows names and nothing else.
const passwordlessEnv = "EVENTHUBS_TEST_PASSWORDLESS"

// bePasswordless is what a user's program does: it is told the namespace, the event hub and the storage account, and signs in with what DefaultAzureCredential finds.
func bePasswordless() int {
	var credentials atomic.Int32
	log.SetEvents(azidentity.EventAuthentication)
	log.SetListener(func(_ log.Event, message string) {
		if strings.Contains(message, "will use AppService managed identity") {
			credentials.Add(1)
		}
	})
	if err := sendAndReceive(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("credentials:", credentials.Load())
	return 0
}

func sendAndReceive() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := eventhubs.Config{Namespace: os.Getenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE"), EventHub: os.Getenv("EVENT_HUB_NAME")}
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
	store, err := eventhubs.NewBlobCheckpointStore(ctx, eventhubs.BlobConfig{AccountURL: os.Getenv("BLOB_STORAGE_ACCOUNT_URL"), Container: "checkpoints"})
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
func (s *scene) program(events int, env ...string) (string, error) {
	s.t.Helper()
	program, err := os.Executable()
	require.NoError(s.t, err)
	cmd := exec.Command(program)
	cmd.Env = append(append(os.Environ(), s.env...), fmt.Sprintf("%s=%d", passwordlessEnv, events))
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// With names and nothing else, sending, receiving and checkpoints work, with one credential for all.
func TestPasswordless(t *testing.T) {
	t.Parallel()
	s := passwordless(t, time.Hour)
	out, err := s.program(5)
	require.NoError(t, err, out)
	require.Equal(t, "credentials: 1\n", out)
	require.Len(t, s.srv.AllEvents("hub"), 5)
	list, err := s.store.ListCheckpoints(t.Context(), "localhost", "hub", "$Default", nil)
	require.NoError(t, err)
	covered := 0
	for _, c := range list {
		covered += int(*c.SequenceNumber) + 1
	}
	require.Equal(t, 5, covered, "all are behind checkpoints")
}

// An identity endpoint that fails at first, as it does while a machine starts, is asked again.
func TestPasswordlessSlowStart(t *testing.T) {
	t.Parallel()
	s := passwordless(t, time.Hour)
	defer s.srv.IdentityFault(eventhubstest.IdentityFault{Times: 1})()
	out, err := s.program(1)
	require.NoError(t, err, out)
	require.Equal(t, "credentials: 1\n", out)
}

// Who isn't who it should be, or has no role, is told what to do.
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
	s := newSceneOn(t, o)
	s.env = s.passwordlessEnv()
	for name, tc := range map[string]struct {
		env  []string
		want string
	}{
		"no role": {[]string{"AZURE_CLIENT_ID=none"}, `eventhubs: send hub: not authorized: give this identity the role "Azure Event Hubs Data Sender" (a new role can take 8 minutes): `},
		"may only send": {[]string{"AZURE_CLIENT_ID=sender"},
			`eventhubs: receive hub/$Default: not authorized: give this identity the role "Azure Event Hubs Data Receiver" (a new role can take 8 minutes): `},
		"no role for blobs": {[]string{"AZURE_CLIENT_ID=no blobs"},
			`eventhubs: open checkpoint container "checkpoints" at ` + s.srv.PasswordlessBlobConfig("c").AccountURL + `: not authorized: give this identity the role "Storage Blob Data Contributor" (a new role can take 8 minutes) [403 AuthorizationPermissionMismatch]`},
		"unknown identity": {[]string{"AZURE_CLIENT_ID=stranger"},
			`eventhubs: send hub: signing in failed: on your own machine run "az login"; in Azure give the machine a managed identity; or set Credential or ConnectionString: `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := s.program(1, tc.env...)
			require.Error(t, err, out)
			require.True(t, strings.HasPrefix(out, tc.want), "%s\nand not:\n%s", out, tc.want)
		})
	}
}

// Tokens that run out while Receive and a Producer are at work are renewed, and nobody notices.
func TestPasswordlessRenewal(t *testing.T) {
	t.Parallel()
	const lifetime = 2 * time.Second
	s := passwordless(t, lifetime)
	p := newProducer(t, s.cfg)
	reader := s.process(childOptions{Name: "reader", BlockAt: -1}) // with DefaultAzureCredential
	for began := time.Now(); time.Since(began) < 3*lifetime; {
		require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0"}, eventhubs.Event{PartitionID: "1"}))
		s.untilAll()
	}
	reader.end()
	require.Zero(t, s.repeated())
	require.Equal(t, 2, s.holdings(), "each partition was taken once")
}

// A token for $management that has run out, and is not renewed in time, doesn't end Receive.
func TestPasswordlessManagementToken(t *testing.T) {
	t.Parallel()
	const lifetime = 2 * time.Second // the SDK renews tokens two minutes before they run out at the latest
	s := passwordless(t, lifetime)
	o := quick()
	o.ExpirationInterval = shortExpiration
	r := s.receive("reader", o, nothing)
	p := newProducer(t, s.cfg)
	for began := time.Now(); time.Since(began) < lifetime+time.Second; {
		require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0"}, eventhubs.Event{PartitionID: "1"}))
		s.untilAll()
	}
	// A partition that has to be opened anew, and can't be, is for a new Processor, which begins with a call to $management.
	repair := s.srv.BlobFault(eventhubstest.BlobFault{Operation: "ListBlobs", NameContains: "/checkpoint/", Status: 503})
	s.srv.Fault(eventhubstest.Fault{On: eventhubstest.OnReceive, Condition: "amqp:link:stolen", Times: 1})
	require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0"}))
	s.until("a new Processor is made", func() bool { return s.log.count("reading has to begin anew") > 0 })
	repair()
	require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "0"}, eventhubs.Event{PartitionID: "1"}))
	s.untilAll()
	r.stop()
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
