package eventhubs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

var leastRights = []eventhubstest.Rule{
	{Name: "all", Key: secret, Rights: []eventhubstest.Right{eventhubstest.RightManage}},
	{Name: "sender", Key: "c2VuZGVyLWtleQ==", Rights: []eventhubstest.Right{eventhubstest.RightSend}},
	{Name: "listener", Key: "bGlzdGVuZXIta2V5", Rights: []eventhubstest.Right{eventhubstest.RightListen}},
}

// Every form of connection string works, over TLS and without, and allows what its rule does.
func TestConnectionString(t *testing.T) {
	for transport, tls := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := newSceneOn(t, eventhubstest.Options{TLS: tls, Rules: leastRights, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}})
			hour := time.Now().Add(time.Hour)
			for name, tc := range map[string]struct{ send, receive eventhubs.Config }{
				"EntityPath":    {eventhubs.Config{ConnectionString: s.srv.ConnectionString("hub")}, eventhubs.Config{ConnectionString: s.srv.ConnectionString("hub")}},
				"no EntityPath": {eventhubs.Config{ConnectionString: s.srv.ConnectionString(""), EventHub: "hub"}, eventhubs.Config{ConnectionString: s.srv.ConnectionString(""), EventHub: "hub"}},
				"both":          {eventhubs.Config{ConnectionString: s.srv.ConnectionString("hub"), EventHub: "hub"}, eventhubs.Config{ConnectionString: s.srv.ConnectionString("hub"), EventHub: "Hub"}},
				"least rights":  {eventhubs.Config{ConnectionString: s.srv.RuleConnectionString("sender", "hub")}, eventhubs.Config{ConnectionString: s.srv.RuleConnectionString("listener", "hub")}},
				"signatures":    {eventhubs.Config{ConnectionString: s.srv.SASConnectionString("sender", "hub", hour)}, eventhubs.Config{ConnectionString: s.srv.SASConnectionString("listener", "hub", hour)}},
			} {
				t.Run(name, func(t *testing.T) {
					for _, cfg := range []*eventhubs.Config{&tc.send, &tc.receive} {
						cfg.TLSConfig, cfg.Retry, cfg.Logger = s.cfg.TLSConfig, s.cfg.Retry, s.cfg.Logger
					}
					require.NoError(t, newProducer(t, tc.send).Send(t.Context(), eventhubs.Event{Body: []byte(name)}))
					got := &received{}
					receiveUntil(t, newConsumer(t, tc.receive, memory(), nil), got.handle, func() bool { return got.has(name) })
				})
			}
		})
	}
}

// What a connection string doesn't allow, or no longer, is refused at once, with what to do.
func TestConnectionStringRefused(t *testing.T) {
	t.Parallel()
	s := newSceneOn(t, eventhubstest.Options{Rules: leastRights})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, tc := range map[string]struct{ connection, send, receive string }{
		"may only send": {s.srv.RuleConnectionString("sender", "hub"), "",
			"eventhubs: receive hub/$Default: not authorized: check the key in the connection string, and that its policy has the claim Listen: "},
		"may only listen": {s.srv.RuleConnectionString("listener", "hub"),
			"eventhubs: send hub: not authorized: check the key in the connection string, and that its policy has the claim Send: ", ""},
		"wrong key": {strings.Replace(s.srv.ConnectionString("hub"), secret, "d3Jvbmc=", 1),
			"eventhubs: send hub: not authorized: check the key in the connection string, and that its policy has the claim Send: ",
			"eventhubs: receive hub/$Default: not authorized: check the key in the connection string, and that its policy has the claim Listen: "},
		"expired": {s.srv.SASConnectionString("all", "hub", time.Now().Add(-time.Second)),
			"eventhubs: send hub: not authorized: the shared access signature has expired: make a new one, or use a key or Credential, which renew theirs: ",
			"eventhubs: receive hub/$Default: not authorized: the shared access signature has expired: make a new one, or use a key or Credential, which renew theirs: "},
		"for another event hub": {strings.Replace(s.srv.SASConnectionString("all", "other", time.Now().Add(time.Hour)), "EntityPath=other", "EntityPath=hub", 1),
			"eventhubs: send hub: not authorized: check the shared access signature: it has to be for hub in 127.0.0.1:", "eventhubs: receive hub/$Default: not authorized: check the shared access signature: it has to be for hub in 127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := eventhubs.Config{ConnectionString: tc.connection, Retry: quickRetry, Logger: s.cfg.Logger}
			if err := newProducer(t, cfg).Send(ctx, eventhubs.Event{}); tc.send == "" {
				require.NoError(t, err)
			} else {
				requireFirstLine(t, err, tc.send)
			}
			if tc.receive != "" {
				requireFirstLine(t, newConsumer(t, cfg, memory(), nil).Receive(ctx, nothing), tc.receive)
			}
		})
	}
}

// requireFirstLine checks how an error begins, and that it holds no secret. What the SDK and the service say comes after that.
func requireFirstLine(t *testing.T, err error, want string) {
	t.Helper()
	require.Error(t, err)
	line, _, _ := strings.Cut(err.Error(), "\n")
	require.True(t, strings.HasPrefix(line, want), "%s\nand not:\n%s", line, want)
	for _, r := range leastRights {
		require.NotContains(t, err.Error(), r.Key)
	}
	require.NotContains(t, err.Error(), "sig=")
}
