package guarantee_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

const key = "a2V5LW9mLWEtdGVzdA=="

const (
	askListen   = "not authorized: check the key in the connection string, and that its policy has the claim Listen"
	askSend     = "not authorized: check the key in the connection string, and that its policy has the claim Send"
	askReceiver = `not authorized: give this identity the role "` + receiver + `"`
	askSender   = `not authorized: give this identity the role "Azure Event Hubs Data Sender"`
	askName     = "there is no such event hub or consumer group"
)

var somethingIsMissing = []aCase{
	{"a rule without the right to listen", withRight(eventhubstest.RightSend, func(s *scene.Scene) {
		endsWith(s, s.Config, "", "eventhubs: receive hub/$Default: "+askListen)
	})},
	{"a rule without the right to send", withRight(eventhubstest.RightListen, func(s *scene.Scene) {
		sendEndsWith(s, s.Config, "eventhubs: send hub: "+askSend)
	})},
	{"an identity without a role", func(t *testing.T) {
		passwordless(t, func(s *scene.Scene) {
			roles(s, eventhubstest.StorageBlobDataContributor)
			endsWith(s, s.Config, "", "eventhubs: receive hub/$Default: "+askReceiver)
			sendEndsWith(s, s.Config, "eventhubs: send hub: "+askSender)
		})
	}},
	{"no such event hub", in(1, func(s *scene.Scene) {
		cfg := s.Server.Config("nowhere")
		sendEndsWith(s, cfg, "eventhubs: send nowhere: "+askName+": check the name nowhere")
		endsWith(s, cfg, "", "eventhubs: receive nowhere/$Default: "+askName+": check the name nowhere")
	})},
	{"no such consumer group", in(1, func(s *scene.Scene) {
		endsWith(s, s.Config, "nobody", "eventhubs: receive hub/nobody: "+askName)
	})},
	{"no such container", in(1, func(s *scene.Scene) {
		containerMissing(s, "ContainerNotFound", "the container does not exist")
	})},
	{"no right to the container", in(1, func(s *scene.Scene) {
		containerMissing(s, "AuthorizationPermissionMismatch", "not authorized: check the account name and key")
	})},
	{"no such host", in(1, func(s *scene.Scene) {
		cfg := s.Config
		cfg.ConnectionString = "Endpoint=sb://nowhere.invalid;SharedAccessKeyName=x;SharedAccessKey=" + key
		cfg.EventHub = scene.Hub
		endsWith(s, cfg, "", "the name does not resolve: check the namespace nowhere.invalid")
	})},
	{"nobody listens on the port", in(1, func(s *scene.Scene) {
		cfg := s.Config
		cfg.ConnectionString = "Endpoint=sb://127.0.0.1:1;EntityPath=hub;SharedAccessKeyName=x;SharedAccessKey=" + key +
			";UseDevelopmentEmulator=true"
		endsWith(s, cfg, "", "nothing listens there")
	})},
	{"TLS that isn't trusted", func(t *testing.T) {
		passwordless(t, func(s *scene.Scene) {
			cfg := s.Config
			cfg.TLSConfig = nil
			endsWith(s, cfg, "", "the server's certificate is not trusted")
		})
	}},
	{"raw SDK", in(1, rawUnknownGroup)},
}

// withRight makes a test that runs in a scene whose connection strings have this right alone.
func withRight(right eventhubstest.Right, test func(s *scene.Scene)) func(*testing.T) {
	return func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(scene.Open(t, eventhubstest.Options{
				InMemory: true, Hubs: []eventhubstest.Hub{{Name: scene.Hub, Partitions: 1}},
				Rules: []eventhubstest.Rule{{Name: "rule", Key: key, Rights: []eventhubstest.Right{right}}},
			}))
		})
	}
}

// atOnce bounds how soon an error comes that waiting can't mend, with the default Config.Retry.
const atOnce = 10 * time.Second

// endsWith expects Receive to end by itself and say why.
func endsWith(s *scene.Scene, cfg eventhubs.Config, group, want string) {
	s.T.Helper()
	cfg.Logger = s.Config.Logger
	r := s.ConsumerWith(cfg, eventhubs.NewMemoryCheckpointStore(), eventhubs.ConsumerOptions{ConsumerGroup: group})
	began := time.Now()
	r.Receive(scene.Nothing)
	err := r.Result()
	require.ErrorContains(s.T, err, want)
	require.NotContains(s.T, err.Error(), key)
	require.LessOrEqual(s.T, time.Since(began), atOnce)
}

func sendEndsWith(s *scene.Scene, cfg eventhubs.Config, want string) {
	s.T.Helper()
	p, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(s.T, err)
	defer func() { require.NoError(s.T, p.Close(s.T.Context())) }()
	began := time.Now()
	err = p.Send(s.T.Context(), eventhubs.Event{})
	require.ErrorContains(s.T, err, want)
	require.NotContains(s.T, err.Error(), key)
	require.LessOrEqual(s.T, time.Since(began), atOnce)
}

// containerMissing has the storage account refuse calls for a reason that somebody has to mend.
func containerMissing(s *scene.Scene, code, want string) {
	r := s.Consumer("only", eventhubs.ConsumerOptions{})
	s.Server.BlobFault(eventhubstest.BlobFault{Code: code})
	began := time.Now()
	r.Receive(scene.Nothing)
	require.ErrorContains(s.T, r.Result(), want)
	require.LessOrEqual(s.T, time.Since(began), atOnce)
	_, err := eventhubs.NewBlobCheckpointStore(s.T.Context(), s.Server.BlobConfig(scene.Container))
	require.ErrorContains(s.T, err, want)
}

// rawUnknownGroup records what the SDK does: Run continues, nothing arrives, and there is no error.
func rawUnknownGroup(s *scene.Scene) {
	s.Send(1, "0")
	r := s.Raw("reader", "nobody", s.RawStore(), earliest)
	r.Rounds("nobody", "0", 5)
	select {
	case <-r.Ended:
		s.Mended(fmt.Sprintf("the Processor doesn't end for an unknown consumer group (now: %v)", r.Err),
			"recover in internal/receive")
	case <-r.Clients:
		s.T.Fatal("the Processor has opened a partition for an unknown consumer group")
	default:
	}
}
