package eventhubstest_test

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// addresses returns where a server listens: AMQP and blobs.
func addresses(t *testing.T, s *eventhubstest.Server) (amqp, blob string) {
	t.Helper()
	_, rest, ok := strings.Cut(s.ConnectionString(""), "Endpoint=sb://")
	require.True(t, ok)
	host, _, _ := strings.Cut(rest, ";")
	amqp = strings.Replace(host, "localhost", "127.0.0.1", 1) // the form that listeners use
	_, rest, ok = strings.Cut(s.BlobConfig("c").ConnectionString, "BlobEndpoint=http://")
	require.True(t, ok)
	blob, _, _ = strings.Cut(rest, "/")
	return amqp, blob
}

// Close closes all sockets of the server.
func TestClose(t *testing.T) {
	f := &failing{}
	s := eventhubstest.Start(f, nil)
	require.Empty(t, f.message)
	amqp, blob := addresses(t, s)
	idle, err := net.Dial("tcp", amqp) // a client that says nothing
	require.NoError(t, err)
	defer idle.Close()
	idleBlob, err := net.Dial("tcp", blob)
	require.NoError(t, err)
	defer idleBlob.Close()
	require.Len(t, f.cleanup, 1)
	start := time.Now()
	var all sync.WaitGroup
	for range 4 {
		all.Go(s.Close)
	}
	f.cleanup[0]()
	all.Wait()
	s.Close()
	require.Less(t, time.Since(start), 3*time.Second)
	for _, address := range []string{amqp, blob} {
		_, err := net.Dial("tcp", address)
		require.Error(t, err)
		ln, err := net.Listen("tcp", address)
		require.NoError(t, err, "the port is free")
		ln.Close()
	}
	require.Empty(t, s.Events("hub", "0")) // its events can still be read, and this doesn't panic
}

func TestOptionsRefused(t *testing.T) {
	taken, blobTaken := addresses(t, eventhubstest.Start(t, nil))
	for why, o := range map[string]eventhubstest.Options{
		`eventhubstest: event hub "A" is there twice`: {Hubs: []eventhubstest.Hub{{Name: "a"}, {Name: "A"}}},
		`eventhubstest: event hub name ""`:            {Hubs: []eventhubstest.Hub{{}}},
		`eventhubstest: event hub name "a/b"`:         {Hubs: []eventhubstest.Hub{{Name: "a/b"}}},
		`eventhubstest: event hub "a" has -1 partitions`: {Hubs: []eventhubstest.Hub{
			{Name: "a", Partitions: -1},
		}},
		`eventhubstest: consumer group name ""`: {Hubs: []eventhubstest.Hub{
			{Name: "a", ConsumerGroups: []string{""}},
		}},
		`eventhubstest: shared access rule "r" needs a name and`: {Rules: []eventhubstest.Rule{{Name: "r"}}},
		`eventhubstest: shared access rule "r" has the right "send"`: {Rules: []eventhubstest.Rule{
			{Name: "r", Key: "k", Rights: []eventhubstest.Right{"send"}},
		}},
		"eventhubstest: serve AMQP: listen tcp " + taken:          {Address: taken},
		"eventhubstest: serve blobs: listen tcp " + blobTaken:     {BlobAddress: blobTaken},
		"eventhubstest: serve AMQP: listen tcp: address nonsense": {Address: "nonsense"},
		"eventhubstest: serve blobs: listen tcp: address 99999":   {BlobAddress: "127.0.0.1:99999"},
	} {
		s, err := eventhubstest.New(&o)
		require.ErrorContains(t, err, why)
		require.Nil(t, s)
	}
	f := &failing{}
	require.Nil(t, eventhubstest.Start(f, &eventhubstest.Options{Address: taken}))
	require.Contains(t, f.message, taken)
	require.Empty(t, f.cleanup)

	// If the socket for blobs can't be opened, the one for AMQP is closed.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free := ln.Addr().String()
	require.NoError(t, ln.Close())
	_, err = eventhubstest.New(&eventhubstest.Options{Address: free, BlobAddress: blobTaken})
	require.Error(t, err)
	ln, err = net.Listen("tcp", free)
	require.NoError(t, err)
	ln.Close()
}

// A server starts fast and is small, so that every test can have its own.
func TestStartIsCheap(t *testing.T) {
	const n = 40
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	var servers []*eventhubstest.Server
	for range n {
		servers = append(servers, eventhubstest.Start(t, nil))
	}
	each := time.Since(start) / n
	runtime.GC()
	runtime.ReadMemStats(&after)
	size := (int64(after.HeapAlloc+after.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / n
	t.Logf("Start takes %v, and an idle server %d KiB", each, size>>10)
	require.Less(t, each, 100*time.Millisecond) // 10 ms is the goal; this leaves room for busy machines
	require.Less(t, size, int64(5<<20))
	runtime.KeepAlive(servers)
}

func TestManyServers(t *testing.T) {
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			s, err := eventhubstest.New(nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			p, err := azeventhubs.NewProducerClientFromConnectionString(s.ConnectionString("hub"), "", nil)
			if err == nil {
				err = send(context.Background(), p, "1", "x")
				_ = p.Close(context.Background())
			}
			if got := bodies(s.AllEvents("hub")); err != nil || len(got) != 1 {
				t.Error(err, got)
			}
		})
	}
	all.Wait()
}

// Close ends what clients are doing, even what a fault holds up, and does not wait long for them.
func TestCloseUnderClients(t *testing.T) {
	for name, tlsToo := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := eventhubstest.Start(t, &eventhubstest.Options{TLS: tlsToo})
			p, c := producer(t, s.Config("hub")), consumer(t, s.Config("hub"))
			require.NoError(t, send(ctx(t), p, "0", "x"))
			pc := partition(t, c, "0")
			_, err := pc.ReceiveEvents(ctx(t), 1, nil)
			require.NoError(t, err)
			pc = partition(t, c, "1")
			s.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Delay: time.Hour})
			s.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, Delay: time.Hour})
			failed := make(chan error, 3)
			until, cancel := context.WithCancel(context.Background())
			go func() { failed <- send(until, p, "0", "y") }()
			go func() { _, err := pc.ReceiveEvents(until, 100, nil); failed <- err }()
			go func() { _, err := c.GetEventHubProperties(until, nil); failed <- err }()
			require.Eventually(t, func() bool { return len(s.Events("hub", "0")) == 2 }, patience, time.Millisecond)
			start := time.Now()
			s.Close()
			require.Less(t, time.Since(start), 3*time.Second)
			cancel()
			for range 3 {
				require.Error(t, <-failed)
			}
		})
	}
}

// Clients on this machine reach a server that listens on all addresses.
func TestAllAddresses(t *testing.T) {
	s := eventhubstest.Start(t, &eventhubstest.Options{Address: ":0", BlobAddress: "0.0.0.0:0", TLS: true})
	require.Contains(t, s.ConnectionString("hub"), "sb://localhost:")
	require.NoError(t, send(ctx(t), producer(t, s.Config("hub")), "0", "x"))
	require.Contains(t, s.BlobConfig("c").ConnectionString, "https://127.0.0.1:")
}
