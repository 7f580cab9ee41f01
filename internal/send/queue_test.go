package send_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/dial"
	"github.com/go-eventhubs/eventhubs/internal/send"
)

// keys are events for the engine, by the key of each. An event that is "bad" can't be encoded.
type keys []string

func (k keys) Len() int { return len(k) }
func (k keys) To(i int) send.Destination {
	return send.Destination{Key: strings.TrimPrefix(k[i], "bad ")}
}
func (k keys) Cost(int) int { return 1000 }
func (k keys) Data(i int, d *azeventhubs.EventData) {
	*d = azeventhubs.EventData{}
	if strings.HasPrefix(k[i], "bad ") {
		d.Properties = map[string]any{"p": struct{}{}}
	}
}

func (k keys) Raw(int) *azeventhubs.AMQPAnnotatedMessage { return nil }

// withEngine runs a test with an engine and no producer.
func withEngine(t *testing.T, test func(*testing.T, *send.Engine, *eventhubstest.Server)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := eventhubstest.Start(t, &eventhubstest.Options{InMemory: true, RoundTrip: roundTrip})
		defer srv.Close()
		parsed, err := azeventhubs.ParseConnectionString(srv.ConnectionString("hub"))
		require.NoError(t, err)
		e := send.New(send.Options{
			New: func() (*azeventhubs.ProducerClient, *dial.Dialer, error) {
				d := dial.New(dial.Options{
					Namespace: parsed.FullyQualifiedNamespace, Plaintext: true, DialContext: srv.DialContext,
				})
				o := &azeventhubs.ProducerClientOptions{NewWebSocketConn: d.Dial}
				o.RetryOptions.MaxRetries = -1
				c, err := azeventhubs.NewProducerClientFromConnectionString(srv.ConnectionString("hub"), "", o)
				return c, d, err
			},
			EventHub: "hub", Room: 1 << 20, AnswerTimeout: time.Minute, RetryFor: time.Minute, Logger: slog.Default(),
			Explain: func(err error) error { return err },
		})
		defer func() { require.NoError(t, e.Close(context.Background())) }()
		test(t, e, srv)
	})
}

// TestKeysLeaveNothingBehind: a queue goes when its last batch is sent.
func TestKeysLeaveNothingBehind(t *testing.T) {
	withEngine(t, func(t *testing.T, e *send.Engine, srv *eventhubstest.Server) {
		require.NoError(t, e.Send(t.Context(), keys{"first"}))
		for i := range 100 {
			go func() { _ = e.Send(t.Context(), keys{fmt.Sprint(i)}) }()
		}
		synctest.Wait()
		require.Equal(t, 100, e.Queues())
		time.Sleep(roundTrip)
		synctest.Wait()
		require.Zero(t, e.Queues())
		require.Len(t, srv.AllEvents("hub"), 101)
	})
}

// TestEventThatCannotBeEncoded fails, and with it what must not overtake it.
func TestEventThatCannotBeEncoded(t *testing.T) {
	withEngine(t, func(t *testing.T, e *send.Engine, srv *eventhubstest.Server) {
		for want, events := range map[*[]int]keys{
			{1}:       {"", "bad ", "", ""},
			{1, 2, 3}: {"key", "bad key", "key", "key"},
			{1, 3}:    {"key", "bad key", "other", "key"},
			{0}:       {"bad "},
		} {
			err := e.Send(t.Context(), events)
			var failed *send.Error
			require.ErrorAs(t, err, &failed)
			require.Equal(t, *want, failed.Unacknowledged)
			var bad *send.EncodeError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, (*want)[0], bad.Index)
		}
		require.Len(t, srv.AllEvents("hub"), 3+1+2)
	})
}
