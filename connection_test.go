package eventhubs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

var leastRights = []eventhubstest.Rule{
	{Name: "all", Key: secret, Rights: []eventhubstest.Right{eventhubstest.RightManage}},
	{Name: "sender", Key: "c2VuZGVyLWtleQ==", Rights: []eventhubstest.Right{eventhubstest.RightSend}},
	{Name: "listener", Key: "bGlzdGVuZXIta2V5", Rights: []eventhubstest.Right{eventhubstest.RightListen}},
}

// TestConnectionString connects with every form of one, over TLS and without, and with the least rights.
func TestConnectionString(t *testing.T) {
	both := func(connection, hub string) (send, receive eventhubs.Config) {
		cfg := eventhubs.Config{ConnectionString: connection, EventHub: hub}
		return cfg, cfg
	}
	for name, configs := range map[string]func(srv *eventhubstest.Server) (send, receive eventhubs.Config){
		"EntityPath": func(srv *eventhubstest.Server) (send, receive eventhubs.Config) {
			return both(srv.ConnectionString("hub"), "")
		},
		"no EntityPath": func(srv *eventhubstest.Server) (send, receive eventhubs.Config) {
			return both(srv.ConnectionString(""), "hub")
		},
		"both": func(srv *eventhubstest.Server) (send, receive eventhubs.Config) {
			return both(srv.ConnectionString("hub"), "Hub")
		},
		"least rights": func(srv *eventhubstest.Server) (send, receive eventhubs.Config) {
			return eventhubs.Config{ConnectionString: srv.RuleConnectionString("sender", "hub")},
				eventhubs.Config{ConnectionString: srv.RuleConnectionString("listener", "hub")}
		},
		"signatures": func(srv *eventhubstest.Server) (send, receive eventhubs.Config) {
			hour := time.Now().Add(time.Hour)
			return eventhubs.Config{ConnectionString: srv.SASConnectionString("sender", "hub", hour)},
				eventhubs.Config{ConnectionString: srv.SASConnectionString("listener", "hub", hour)}
		},
	} {
		for transport, tls := range map[string]bool{"plain": false, "TLS": true} {
			t.Run(name+", "+transport, func(t *testing.T) {
				inMemory(t, eventhubstest.Options{TLS: tls, Rules: leastRights}, func(s *scene.Scene) {
					send, receive := configs(s.Server)
					for _, cfg := range []*eventhubs.Config{&send, &receive} {
						cfg.TLSConfig, cfg.DialContext, cfg.Logger = s.Config.TLSConfig, s.Config.DialContext, s.Config.Logger
					}
					sendAndReceive(s.T, s, send, receive)
				})
			})
		}
	}
}

// TestConnectionStringRefused says at once what a connection string doesn't allow, or no longer, and what to do.
func TestConnectionStringRefused(t *testing.T) {
	const (
		sending   = "eventhubs: send hub: not authorized: "
		receiving = "eventhubs: receive hub/$Default: not authorized: "
		checkSend = "check the key in the connection string, and that its policy has the claim Send: "
		checkRead = "check the key in the connection string, and that its policy has the claim Listen: "
		expired   = "the shared access signature has expired: make a new one, or use a key or Credential, which renew " +
			"theirs: "
		otherHub = "check the shared access signature: it has to be for hub in 127.0.0.1"
	)
	for name, c := range map[string]struct {
		connection    func(srv *eventhubstest.Server) string
		send, receive string // "": it works
	}{
		"may only send": {
			func(srv *eventhubstest.Server) string { return srv.RuleConnectionString("sender", "hub") },
			"", receiving + checkRead,
		},
		"may only listen": {
			func(srv *eventhubstest.Server) string { return srv.RuleConnectionString("listener", "hub") },
			sending + checkSend, "",
		},
		"wrong key": {func(srv *eventhubstest.Server) string {
			return strings.Replace(srv.ConnectionString("hub"), secret, "d3Jvbmc=", 1)
		}, sending + checkSend, receiving + checkRead},
		"expired": {func(srv *eventhubstest.Server) string {
			return srv.SASConnectionString("all", "hub", time.Now().Add(-time.Second))
		}, sending + expired, receiving + expired},
		"for another event hub": {func(srv *eventhubstest.Server) string {
			other := srv.SASConnectionString("all", "other", time.Now().Add(time.Hour))
			return strings.Replace(other, "EntityPath=other", "EntityPath=hub", 1)
		}, sending + otherHub, receiving + otherHub},
	} {
		t.Run(name, func(t *testing.T) {
			inMemory(t, eventhubstest.Options{Rules: leastRights}, func(s *scene.Scene) {
				cfg := s.Config
				cfg.ConnectionString = c.connection(s.Server)
				p, err := eventhubs.NewProducer(cfg, nil)
				require.NoError(s.T, err)
				defer func() { require.NoError(s.T, p.Close(s.T.Context())) }()
				began := time.Now()
				if err = p.Send(s.T.Context(), eventhubs.Event{}); c.send == "" {
					require.NoError(s.T, err)
				} else {
					requireFirstLine(s.T, err, c.send)
				}
				if c.receive != "" {
					r := s.ConsumerWith(cfg, memory(), eventhubs.ConsumerOptions{})
					r.Receive(nothing)
					requireFirstLine(s.T, r.Result(), c.receive)
				}
				require.Less(s.T, time.Since(began), time.Second)
			})
		})
	}
}

// requireFirstLine checks how an error begins, and that it holds no secret. What the SDK and the service say comes
// after that.
func requireFirstLine(t testing.TB, err error, want string) {
	t.Helper()
	require.Error(t, err)
	line, _, _ := strings.Cut(err.Error(), "\n")
	require.True(t, strings.HasPrefix(line, want), "%s\nand not:\n%s", line, want)
	for _, r := range leastRights {
		require.NotContains(t, err.Error(), r.Key)
	}
	require.NotContains(t, err.Error(), "sig=")
}
