package eventhubstest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const roundTrip = 30 * time.Millisecond

// TestRoundTrip measures a round trip, and sends and receives with it: every event arrives, in order.
func TestRoundTrip(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", withTLS), func(t *testing.T) {
			srv := eventhubstest.Start(t, &eventhubstest.Options{RoundTrip: roundTrip, TLS: withTLS})
			p, err := eventhubs.NewProducer(srv.Config("hub"), nil)
			require.NoError(t, err)
			defer p.Close(context.Background())
			require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "1", Body: []byte("0")}))
			began := time.Now()
			const n = 3
			for i := range n {
				require.NoError(t, p.Send(t.Context(), eventhubs.Event{PartitionID: "1", Body: fmt.Append(nil, i+1)}))
			}
			require.GreaterOrEqual(t, time.Since(began), n*roundTrip)

			c, err := eventhubs.NewConsumer(srv.Config("hub"), eventhubs.NewMemoryCheckpointStore(), nil)
			require.NoError(t, err)
			defer c.Close(context.Background())
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var got []string
			require.NoError(t, c.Receive(ctx, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
				if got = append(got, string(e.Body)); len(got) == n+1 {
					cancel()
				}
				return nil
			}))
			require.Equal(t, []string{"0", "1", "2", "3"}, got)
		})
	}
}

// pair returns a delayed connection, and its other end.
func pair(t *testing.T, delay time.Duration) (delayed, peer net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	peer, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	nc, err := l.Accept()
	require.NoError(t, err)
	delayed = eventhubstest.NewDelayConn(nc, delay)
	t.Cleanup(func() { delayed.Close(); peer.Close() })
	return delayed, peer
}

// TestDelayKeepsBytes writes many bytes at once: all of them arrive, in order, one delay after they were written, and
// Close does not cut them off.
func TestDelayKeepsBytes(t *testing.T) {
	delayed, peer := pair(t, roundTrip)
	var want []byte
	began := time.Now()
	for i := range 1000 {
		b := fmt.Appendf(nil, "%06d %01000d", i, 0)
		want = append(want, b...)
		_, err := delayed.Write(b)
		require.NoError(t, err)
		clear(b) // the caller may change it after Write
	}
	closed := make(chan error)
	go func() { closed <- delayed.Close() }()
	got := make([]byte, len(want))
	_, err := io.ReadFull(peer, got[:1])
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), roundTrip)
	_, err = io.ReadFull(peer, got[1:])
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
	_, err = peer.Read(got)
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, <-closed)
	_, err = delayed.Write(want)
	require.ErrorIs(t, err, net.ErrClosed)
}

// TestDelayPushesBack writes to a peer that doesn't read. When too many bytes are in flight, Write blocks until its
// deadline, even one that is set meanwhile.
func TestDelayPushesBack(t *testing.T) {
	delayed, _ := pair(t, time.Millisecond)
	b := make([]byte, 1<<20)
	require.NoError(t, delayed.SetReadDeadline(time.Now()))
	_, err := delayed.Read(b)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	write := func() (err error) {
		for range 2 * eventhubstest.MaxUnderway / len(b) {
			if _, err = delayed.Write(b); err != nil {
				return err
			}
		}
		return nil
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = delayed.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)) })
	require.ErrorIs(t, write(), os.ErrDeadlineExceeded)
	began := time.Now()
	delayed.Close()
	require.Less(t, time.Since(began), time.Second, "a peer that doesn't read doesn't hold Close up")
}
