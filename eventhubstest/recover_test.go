package eventhubstest_test

import (
	"context"
	"crypto/tls"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Clients of the SDK recover, and nothing that was acknowledged is lost.
func TestDropConnections(t *testing.T) {
	s := eventhubstest.Start(t, &eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}})
	p, c := producer(t, s.Config("hub")), consumer(t, s.Config("hub"))
	pc := partition(t, c, "0")
	var want, got []string
	for _, body := range strings.Split("a b c d", " ") {
		require.NoError(t, send(ctx(t), p, "0", body))
		want = append(want, body)
		for len(got) < len(want) {
			events, err := pc.ReceiveEvents(ctx(t), 1, nil)
			require.NoError(t, err)
			got = append(got, string(events[0].Body))
		}
		s.DropConnections()
	}
	require.Equal(t, want, got)
	hub, err := c.GetEventHubProperties(ctx(t), nil)
	require.NoError(t, err)
	require.Len(t, hub.PartitionIDs, 1)
}

// A connection is dropped without a word with TLS too.
func TestDropConnectionsWithTLS(t *testing.T) {
	s := eventhubstest.Start(t, &eventhubstest.Options{TLS: true})
	address, _, _ := strings.Cut(strings.TrimPrefix(s.ConnectionString(""), "Endpoint=sb://"), ";")
	nc, err := tls.Dial("tcp", address, s.Config("hub").TLSConfig)
	require.NoError(t, err)
	defer func() { _ = nc.Close() }()
	header := []byte("AMQP\x03\x01\x00\x00")
	_, err = nc.Write(header)
	require.NoError(t, err)
	_, err = io.ReadFull(nc, make([]byte, len(header))) // by now the namespace serves it
	require.NoError(t, err)
	s.DropConnections()
	rest, err := io.ReadAll(nc.NetConn()) // what comes beneath TLS
	require.NoError(t, err)
	require.Empty(t, rest, "TLS has said good-bye")

	p := producer(t, s.Config("hub"))
	for range 3 {
		require.NoError(t, send(ctx(t), p, "0", "x"))
		s.DropConnections()
	}
}

// Senders go on while connections break: every acknowledged event is stored, in its sender's order.
func TestDropConnectionsUnderLoad(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	var all sync.WaitGroup
	done := make(chan struct{})
	for i := range 3 {
		p := producer(t, s.Config("hub"))
		id := string(rune('0' + i))
		all.Go(func() {
			for n := range 40 {
				body := strings.Repeat("x", n)
				for send(context.Background(), p, id, body) != nil { // the SDK has given up for now
				}
			}
		})
	}
	go func() {
		all.Wait()
		close(done)
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			s.DropConnections()
		case <-done:
			running = false
		}
	}
	for i := range 3 {
		longest := -1
		for _, e := range s.Events("hub", string(rune('0'+i))) {
			require.LessOrEqual(t, len(e.Body), longest+1, "an event is missing or out of order")
			longest = max(longest, len(e.Body))
		}
		require.Equal(t, 39, longest)
	}
}

// The SDK does what Microsoft documents for each condition.
func TestConditions(t *testing.T) {
	const (
		inPlace = "in place"
		link    = "a new link"
		conn    = "a new connection"
		givesUp = "gives up"
	)
	for condition, want := range map[string]string{
		"com.microsoft:server-busy": inPlace, "com.microsoft:timeout": inPlace,
		"amqp:link:detach-forced": link, "amqp:link:transfer-limit-exceeded": link,
		"amqp:connection:forced": conn, "amqp:internal-error": conn, "": conn, // a socket that closes
		"amqp:unauthorized-access": givesUp, "amqp:not-found": givesUp, "amqp:not-allowed": givesUp,
		"amqp:resource-limit-exceeded":  givesUp,
		"com.microsoft:entity-disabled": givesUp, "com.microsoft:argument-out-of-range": givesUp,
	} {
		for _, on := range []eventhubstest.Operation{eventhubstest.OnPublish, eventhubstest.OnAttach} {
			t.Run(strings.ReplaceAll(string(on)+" "+condition, ":", " "), func(t *testing.T) {
				t.Parallel()
				s := eventhubstest.Start(t, nil)
				w := &wire{address: strings.TrimPrefix(strings.Split(s.ConnectionString(""), ";")[0], "Endpoint=sb://")}
				options := &azeventhubs.ProducerClientOptions{RetryOptions: quick, NewWebSocketConn: w.dial}
				p, err := azeventhubs.NewProducerClientFromConnectionString(s.ConnectionString("hub"), "", options)
				require.NoError(t, err)
				defer func() { _ = p.Close(ctx(t)) }()
				if on == eventhubstest.OnPublish {
					require.NoError(t, send(ctx(t), p, "0", "before"))
				}
				s.Fault(eventhubstest.Fault{On: on, Times: 1, Condition: condition, DropConnection: condition == ""})
				conns, links := w.count()
				err = send(ctx(t), p, "0", "x")
				newConns, newLinks := w.count()
				newConns, newLinks = newConns-conns, newLinks-links
				if on == eventhubstest.OnAttach { // the first of each is there without a fault
					newConns, newLinks = newConns-1, newLinks-1
				}
				if want == givesUp {
					require.ErrorContains(t, err, condition)
					require.Equal(t, [2]int{0, 0}, [2]int{newConns, newLinks})
					require.NotContains(t, bodies(s.Events("hub", "0")), "x")
					require.NoError(t, send(ctx(t), p, "0", "x"), "the fault has passed")
					return
				}
				require.NoError(t, err)
				require.Contains(t, bodies(s.Events("hub", "0")), "x")
				expected := map[string][2]int{inPlace: {0, 0}, link: {0, 1}, conn: {1, 1}}[want]
				// the SDK always asks again for a refused link, and mostly on the same connection
				if on == eventhubstest.OnAttach {
					expected[1] = 1
					if condition == "amqp:internal-error" {
						expected[0] = 0
					}
				}
				require.Equal(t, expected, [2]int{newConns, newLinks})
			})
		}
	}
}

// A disposition is lost after the event was stored. The sender tries again once its time is up, so the event is stored
// twice.
func TestLostDisposition(t *testing.T) {
	s := eventhubstest.Start(t, nil)
	p := producer(t, s.Config("hub"))
	require.NoError(t, send(ctx(t), p, "0", "before"))
	s.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Hub: "hub", Partition: "0", Times: 1, After: true})
	soon, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, send(soon, p, "0", "x"), context.DeadlineExceeded)
	require.NoError(t, send(ctx(t), p, "0", "x"))
	require.Equal(t, []string{"before", "x", "x"}, bodies(s.Events("hub", "0")))

	// If the connection drops too, the SDK itself sends the event again.
	remove := s.Fault(eventhubstest.Fault{On: eventhubstest.OnPublish, Times: 1, After: true, DropConnection: true})
	defer remove()
	require.NoError(t, send(ctx(t), p, "1", "y"))
	require.Equal(t, []string{"y", "y"}, bodies(s.Events("hub", "1")))
}
