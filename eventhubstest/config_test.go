package eventhubstest_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The server's configs are what the SDK and this library need, and its environment is what programs need.
func TestConfigs(t *testing.T) {
	for name, tlsToo := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := eventhubstest.Start(t, &eventhubstest.Options{
				TLS: tlsToo, Hubs: []eventhubstest.Hub{{Name: "first"}, {Name: "second", Partitions: 1}},
			})
			require.NoError(t, send(ctx(t), producer(t, s.Config("second")), "0", "SDK"))

			p, err := eventhubs.NewProducer(s.Config("second"), nil)
			require.NoError(t, err)
			require.NoError(t, p.Send(ctx(t), eventhubs.Event{Body: []byte("library")}))
			require.NoError(t, p.Close(ctx(t)))
			require.Equal(t, []string{"SDK", "library"}, bodies(s.AllEvents("second")))
			require.Empty(t, s.AllEvents("first"))

			store, err := eventhubs.NewBlobCheckpointStore(ctx(t), s.BlobConfig("checkpoints"))
			require.NoError(t, err)
			checkpoint := azeventhubs.Checkpoint{
				FullyQualifiedNamespace: "ns", EventHubName: "second", ConsumerGroup: "g", PartitionID: "0", Offset: ptr("5"),
				SequenceNumber: ptr(int64(1)),
			}
			require.NoError(t, store.SetCheckpoint(ctx(t), checkpoint, nil))
			list, err := store.ListCheckpoints(ctx(t), "ns", "second", "g", nil)
			require.NoError(t, err)
			require.Equal(t, []azeventhubs.Checkpoint{checkpoint}, list)
		})
	}
}

func TestEnv(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	for _, entry := range s.Env("hub") {
		name, value, ok := strings.Cut(entry, "=")
		require.True(t, ok)
		t.Setenv(name, value)
	}
	cfg, err := eventhubs.ConfigFromEnv()
	require.NoError(t, err)
	p, err := eventhubs.NewProducer(cfg, nil)
	require.NoError(t, err)
	require.NoError(t, p.Send(ctx(t), eventhubs.Event{Body: []byte("x")}))
	require.NoError(t, p.Close(ctx(t)))
	require.Equal(t, []string{"x"}, bodies(s.AllEvents("hub")))
	blobs, err := eventhubs.BlobConfigFromEnv()
	require.NoError(t, err)
	require.Equal(t, "checkpoints", blobs.Container)
	_, err = eventhubs.NewBlobCheckpointStore(ctx(t), blobs)
	require.NoError(t, err)
}

// The connection string is for the first rule, and allows what the rule allows.
func TestRules(t *testing.T) {
	s := eventhubstest.Start(t, &eventhubstest.Options{Rules: []eventhubstest.Rule{
		{Name: "listen", Key: "k1", Rights: []eventhubstest.Right{eventhubstest.RightListen}},
		{Name: "send", Key: "a+b/c==", Rights: []eventhubstest.Right{eventhubstest.RightSend}},
	}})
	listen := s.Config("hub")
	require.Contains(t, listen.ConnectionString, "SharedAccessKeyName=listen;SharedAccessKey=k1;")
	var refused *azeventhubs.Error
	require.ErrorAs(t, send(ctx(t), producer(t, listen), "0", "x"), &refused)
	require.Equal(t, azeventhubs.ErrorCodeUnauthorizedAccess, refused.Code)
	mayS := listen
	mayS.ConnectionString = strings.Replace(
		listen.ConnectionString, "SharedAccessKeyName=listen;SharedAccessKey=k1;",
		"SharedAccessKeyName=send;SharedAccessKey=a+b/c==;", 1,
	)
	require.NoError(t, send(ctx(t), producer(t, mayS), "0", "x"))
	_, err := partition(t, consumer(t, mayS), "0").ReceiveEvents(ctx(t), 1, nil)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, azeventhubs.ErrorCodeUnauthorizedAccess, refused.Code)
	events, err := partition(t, consumer(t, listen), "0").ReceiveEvents(ctx(t), 1, nil)
	require.NoError(t, err)
	require.Equal(t, "x", string(events[0].Body))
}

func TestCA(t *testing.T) {
	require.Nil(t, eventhubstest.Start(t, nil).CA())
	s := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	block, rest := pem.Decode(s.CA())
	require.NotNil(t, block)
	require.Empty(t, rest)
	ca, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	require.True(t, ca.IsCA)
	require.NotContains(t, s.ConnectionString("hub"), "UseDevelopmentEmulator")

	cfg := s.Config("hub")
	cfg.TLSConfig = nil // the system doesn't trust it
	soon, cancel := context.WithCancel(ctx(t))
	defer cancel()
	require.Error(t, send(soon, producer(t, cfg), "0", "x"))
	require.Empty(t, s.AllEvents("hub"))
	another := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	require.NotEqual(t, s.CA(), another.CA())
}
