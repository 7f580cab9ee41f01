package eventhubs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
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
		otherHub = "check the shared access signature: it has to be for hub in localhost"
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

// ways are the ways to a server.
var ways = map[string]struct{ tls, webSockets bool }{
	"plaintext": {}, "TLS": {tls: true}, "ws": {webSockets: true}, "wss": {tls: true, webSockets: true},
}

// onEachWay runs a test on each of them.
func onEachWay(t *testing.T, test func(s *scene.Scene)) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			o := eventhubstest.Options{TLS: way.tls, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 2}}}
			inMemory(t, o, func(s *scene.Scene) {
				s.Config.WebSockets = way.webSockets
				test(s)
			})
		})
	}
}

// TestTransports sends large events, which take many frames of AMQP and of WebSocket, and small ones.
func TestTransports(t *testing.T) {
	onEachWay(t, func(s *scene.Scene) {
		large := eventhubs.Event{PartitionID: "1", Body: bytes.Repeat([]byte("x"), 900<<10)}
		require.NoError(s.T, s.Producer().Send(s.T.Context(), large, large))
		s.Send(1000, "0")
		r := s.Receive("only", eventhubs.ConsumerOptions{}, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.PartitionID == "1" && !bytes.Equal(e.Body, large.Body) {
				s.T.Error("the body has changed")
			}
			return nil
		})
		s.UntilHandled()
		r.Stop()
		s.Check(0)
	})
}

// TestTransportsDrop drops connections while handlers run.
func TestTransportsDrop(t *testing.T) {
	onEachWay(t, func(s *scene.Scene) {
		s.Send(200, "0", "1")
		r := s.Receive("only", eventhubs.ConsumerOptions{}, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber%80 == 79 {
				s.Server.DropConnections()
			}
			return nil
		})
		s.UntilHandled()
		s.HangUp()
		s.Send(10, "0", "1")
		s.UntilHandled()
		r.Stop()
		s.Check(0)
	})
}

// TestEndpoint dials an Endpoint, for a namespace that is not there: names are still the namespace's.
func TestEndpoint(t *testing.T) {
	const namespace = "contoso.servicebus.windows.net"
	onEachWay(t, func(s *scene.Scene) {
		cfg := s.Config
		at := s.Server.ConnectionString("hub")
		host, _, _ := strings.Cut(strings.TrimPrefix(at, "Endpoint=sb://"), ";")
		cfg.Endpoint = strings.TrimSuffix(host, "/")
		cfg.ConnectionString = strings.Replace(at, host, namespace, 1)
		var mu sync.Mutex
		var dialled, asked []string
		cfg.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dialled = append(dialled, address)
			return s.Server.DialContext(ctx, network, address)
		}
		if cfg.TLSConfig != nil {
			cfg.TLSConfig = cfg.TLSConfig.Clone()
			cfg.TLSConfig.ServerName = ""
			cfg.TLSConfig.VerifyConnection = func(c tls.ConnectionState) error {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, c.ServerName)
				return nil
			}
		}
		sendAndReceive(s.T, s, cfg, cfg)
		require.NotEmpty(s.T, dialled)
		for _, d := range dialled {
			require.Equal(s.T, cfg.Endpoint, d)
		}
		for _, a := range asked {
			require.Equal(s.T, namespace, a)
		}
		require.Equal(s.T, cfg.TLSConfig != nil, len(asked) > 0)
		how := map[bool]string{true: " over WebSockets"}[cfg.WebSockets]
		require.Equal(s.T, namespace+"/hub (connection string)"+how+" through "+cfg.Endpoint, cfg.String())
	})
}

// TestNothingListens compares how long Receive takes to fail with what doc.go says. After a first success it does not
// fail.
func TestNothingListens(t *testing.T) {
	const down, up = 5 * time.Minute, 35 * time.Minute // when nothing listens after the first success
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, TLS: true})
		cfg := srv.Config("hub")
		dial := cfg.DialContext
		for name, tc := range map[string]struct {
			dial  func(ctx context.Context, network, address string) (net.Conn, error)
			bound time.Duration
		}{
			"refused": {func(_ context.Context, network, _ string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}, 10 * time.Second},
			"no such host": {func(_ context.Context, _, address string) (net.Conn, error) {
				return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
			}, 10 * time.Second},
			"not answered": {func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}, 30 * time.Second},
		} {
			cfg.DialContext = tc.dial
			c, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
			require.NoError(t, err)
			began := time.Now()
			require.Error(t, c.Receive(t.Context(), ignore), name)
			require.Less(t, time.Since(began), tc.bound, name)
			require.NoError(t, c.Close(t.Context()))

			cfg.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if time.Since(began) > down && time.Since(began) < up {
					return tc.dial(ctx, network, address)
				}
				return dial(ctx, network, address)
			}
			c, err = eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
			require.NoError(t, err)
			time.AfterFunc(time.Until(began.Add(down+time.Second)), func() { srv.DropConnections() })
			ctx, cancel := context.WithDeadline(t.Context(), began.Add(up+10*time.Minute))
			require.NoError(t, c.Receive(ctx, ignore), name)
			cancel()
			require.NoError(t, c.Close(t.Context()))
		}
	})
}
