package eventhubs_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// withAndWithoutTLS runs a test over wss and over ws.
func withAndWithoutTLS(t *testing.T, test func(t *testing.T, s *scene)) {
	for name, secure := range map[string]bool{"wss": true, "ws": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSceneOn(t, eventhubstest.Options{TLS: secure, Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 2}}})
			s.cfg.WebSockets = true
			test(t, s)
		})
	}
}

func TestWebSocketsSendAndReceive(t *testing.T) {
	withAndWithoutTLS(t, func(t *testing.T, s *scene) {
		large := eventhubs.Event{PartitionID: "1", Body: bytes.Repeat([]byte("x"), 900<<10)} // many frames, of AMQP and of WebSocket
		p := newProducer(t, s.cfg)
		require.NoError(t, p.Send(t.Context(), large, large))
		s.send("0", 1000)
		r := s.receive("only", calm(), func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.PartitionID == "1" && !bytes.Equal(e.Body, large.Body) {
				t.Error("the body has changed")
			}
			return nil
		})
		s.untilAll()
		r.stop()
		s.require(t, 0, 0, 0)
	})
}

// Connections that drop while handlers run lose nothing.
func TestWebSocketsDrop(t *testing.T) {
	withAndWithoutTLS(t, func(t *testing.T, s *scene) {
		s.send("0", 200)
		s.send("1", 200)
		var n atomic.Int32
		r := s.receive("only", calm(), func(context.Context, *eventhubs.ReceivedEvent) error {
			if n.Add(1)%80 == 0 {
				s.srv.DropConnections()
			}
			return nil
		})
		s.untilAll()
		s.send("0", 10)
		s.untilAll()
		r.stop()
		s.require(t, 0, 0, 0)
	})
}

// contoso is a connection string for a namespace that is not there: whoever gets through to the server has been told where it is.
func contoso(srv *eventhubstest.Server) string {
	return "Endpoint=sb://contoso.servicebus.windows.net" + strings.TrimPrefix(srv.ConnectionString("hub"), "Endpoint=sb://"+namespaceOf(srv))
}

// exchange sends an event and receives it.
func exchange(t *testing.T, cfg eventhubs.Config) {
	t.Helper()
	require.NoError(t, newProducer(t, cfg).Send(t.Context(), eventhubs.Event{PartitionID: "0", Body: []byte("event")}))
	require.NoError(t, receiveOne(t.Context(), cfg))
}

// receiveOne receives until an event comes.
func receiveOne(ctx context.Context, cfg eventhubs.Config) error {
	c, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	came := false
	err = c.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error {
		came = true
		stop()
		return nil
	})
	if err == nil && !came {
		err = context.Cause(ctx)
	}
	if closing := c.Close(context.WithoutCancel(ctx)); err == nil {
		err = closing
	}
	return err
}
