package eventhubs_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

func TestSmoke(t *testing.T) {
	for _, tls := range []bool{false, true} {
		start := time.Now()
		srv := eventhubstest.Start(t, &eventhubstest.Options{TLS: tls})
		t.Log("start", time.Since(start))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		p, err := eventhubs.NewProducer(srv.Config("hub"), nil)
		require.NoError(t, err)
		require.NoError(t, p.Send(ctx, eventhubs.Event{Body: []byte("one")}, eventhubs.Event{Body: []byte("two"), PartitionKey: "k"}))
		props, err := p.Client().GetEventHubProperties(ctx, nil)
		require.NoError(t, err)
		t.Log(props)
		for _, e := range srv.AllEvents("hub") {
			t.Logf("%+v", e)
		}
		require.NoError(t, p.Close(ctx))
		srv.Close()
	}
}
