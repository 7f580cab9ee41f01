package eventhubs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

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
