package eventhubstest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// The port that clients assume by default is not in the namespace's name, and clients still find the server.
func TestNamespaceWithoutPort(t *testing.T) {
	for name, c := range map[string]struct {
		o         eventhubstest.Options
		namespace string
	}{
		"TLS":                       {eventhubstest.Options{Address: "127.0.0.1:5671", TLS: true}, "localhost"},
		"plain":                     {eventhubstest.Options{Address: "127.0.0.1:5672"}, "localhost"},
		"all addresses":             {eventhubstest.Options{Address: ":5672"}, "localhost"},
		"TLS at the port for plain": {eventhubstest.Options{Address: "127.0.0.1:5672", TLS: true}, "localhost:5672"},
		"plain at the port for TLS": {eventhubstest.Options{Address: "127.0.0.1:5671"}, "localhost:5671"},
		"another loopback address":  {eventhubstest.Options{Address: "127.0.0.1:9"}, "localhost:9"},
		"the first of more addresses": {
			eventhubstest.Options{Address: "127.0.0.1:5672", MoreAddresses: []string{":9"}}, "localhost",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.o.InMemory = true
				s := eventhubstest.Start(t, &c.o)
				require.Contains(t, s.ConnectionString("hub"), "Endpoint=sb://"+c.namespace+";")
				require.Contains(t, s.Env("hub")[0], "Endpoint=sb://"+c.namespace+";")
				p, err := eventhubs.NewProducer(s.Config("hub"), nil)
				require.NoError(t, err)
				require.NoError(t, p.Send(t.Context(), eventhubs.Event{}))
				require.NoError(t, p.Close(t.Context()))
				if c.o.TLS {
					require.Equal(t, "EVENT_HUB_FULLY_QUALIFIED_NAMESPACE="+c.namespace, s.PasswordlessEnv("hub")[0])
				}
			})
		})
	}
}

// The server speaks AMQP at each address, and IgnoreDials affects each.
func TestMoreAddresses(t *testing.T) {
	speak := func(t *testing.T, inMemory bool) {
		o := &eventhubstest.Options{TLS: true, InMemory: inMemory, MoreAddresses: []string{"127.0.0.1:0", "127.0.0.1:0"}}
		s := eventhubstest.Start(t, o)
		addresses := s.Addresses()
		require.Len(t, addresses, 3)
		for _, address := range addresses {
			nc, err := s.DialContext(t.Context(), "tcp", address)
			require.NoError(t, err)
			require.NoError(t, tls.Client(nc, s.Config("hub").TLSConfig).HandshakeContext(t.Context()))
			require.NoError(t, nc.Close())
		}
		resume := s.IgnoreDials()
		defer resume()
		if inMemory {
			for _, address := range addresses {
				soon, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, err := s.DialContext(soon, "tcp", address)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				cancel()
			}
		}
	}
	t.Run("real sockets", func(t *testing.T) { speak(t, false) })
	t.Run("in memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { speak(t, true) })
	})
}

// Quickstarts expect that their container exists.
func TestContainerOfEnv(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	s.BlobFault(eventhubstest.BlobFault{Operation: "CreateContainer", Status: 403, Code: "AuthorizationFailure"})
	_, err := eventhubs.NewBlobCheckpointStore(ctx(t), s.BlobConfig("checkpoints"))
	require.NoError(t, err)
	_, err = eventhubs.NewBlobCheckpointStore(ctx(t), s.BlobConfig("another"))
	require.Error(t, err)
}

// The CAs of two servers can be trusted together, and the certificates hold what strict clients require.
func TestCertificates(t *testing.T) {
	var names, serials []string
	for range 2 {
		s := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
		block, _ := pem.Decode(s.CA())
		ca, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		names, serials = append(names, ca.Subject.CommonName), append(serials, ca.SerialNumber.String())
		nc, err := tls.Dial("tcp", s.Addresses()[0], s.Config("hub").TLSConfig)
		require.NoError(t, err)
		leaf := nc.ConnectionState().PeerCertificates[0]
		require.NoError(t, nc.Close())
		require.NotEmpty(t, ca.SubjectKeyId)
		require.Equal(t, ca.SubjectKeyId, leaf.AuthorityKeyId, "Python 3.13 refuses a certificate without")
		require.NotEqual(t, ca.SerialNumber, leaf.SerialNumber)
		require.Equal(t, 1, leaf.SerialNumber.Sign())
	}
	require.NotEqual(t, names[0], names[1])
	require.NotEqual(t, serials[0], serials[1])
	require.True(t, strings.HasPrefix(names[0], "eventhubstest CA "))
}
