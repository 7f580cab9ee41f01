package eventhubstest_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// A server that other machines can reach warns once. Any other server logs nothing.
func TestWarning(t *testing.T) {
	const any = "0.0.0.0:0"
	start := func(o eventhubstest.Options) []string {
		var b bytes.Buffer
		o.Logger = slog.New(slog.NewTextHandler(&b, nil))
		eventhubstest.Start(t, &o)
		return strings.Split(strings.TrimSpace(b.String()), "\n")
	}
	for _, o := range []eventhubstest.Options{
		{}, {TLS: true}, {Address: "localhost:0", BlobAddress: "127.0.0.1:0", RoundTrip: time.Millisecond},
	} {
		require.Equal(t, []string{""}, start(o))
	}
	for _, o := range []eventhubstest.Options{
		{Address: any}, {BlobAddress: any},
		{Address: ":0", BlobAddress: any, TLS: true, RoundTrip: time.Millisecond},
	} {
		lines := start(o)
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "level=WARN")
		require.Contains(t, lines[0], "known to everyone")
		require.Contains(t, lines[0], "can read and write")
		require.NotContains(t, lines[0], eventhubstest.DefaultKey)
	}
}

func TestWarningToDefaultLogger(t *testing.T) {
	was := slog.Default()
	defer slog.SetDefault(was)
	var b bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, nil)))
	eventhubstest.Start(t, &eventhubstest.Options{BlobAddress: ":0"})
	require.Contains(t, b.String(), "level=WARN")
}

// Connections beyond the limit are closed at once, and there is room again when others have ended.
func TestBlobConnectionLimit(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln := eventhubstest.NewHTTPListener(plain, 2, time.Minute)
	defer ln.Close()
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- nc
		}
	}()
	dial := func() net.Conn {
		nc, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	dial()
	first := <-accepted
	dial()
	second := <-accepted
	third := dial()
	require.NoError(t, third.SetReadDeadline(time.Now().Add(patience)))
	_, err = third.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it is closed at once")
	require.NoError(t, first.Close())
	_ = first.Close() // the second Close frees no second place
	dial()
	fourth := <-accepted
	fourth.Close()
	second.Close()
	ln.Close()
	<-accepted
}

// A connection whose client does not read is given up.
func TestBlobClientThatNeverReads(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln := eventhubstest.NewHTTPListener(plain, 1, 50*time.Millisecond)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	nc, err := ln.Accept()
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write(make([]byte, 64<<20))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// Peers that never complete a handshake hold up neither the other clients nor Close.
func TestCloseWithSilentPeers(t *testing.T) {
	for name, tlsToo := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := eventhubstest.Start(t, &eventhubstest.Options{TLS: tlsToo})
			var peers []net.Conn
			for _, address := range []string{
				endpoint(s.ConnectionString(""), "Endpoint=sb://"), endpoint(s.BlobConfig("c").ConnectionString, "://"),
			} {
				for _, said := range []string{"", "\x16\x03\x01\x02", "AMQP", "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n1"} {
					nc, err := net.Dial("tcp", address)
					require.NoError(t, err)
					defer nc.Close()
					_, err = nc.Write([]byte(said))
					require.NoError(t, err)
					peers = append(peers, nc)
				}
			}
			require.NoError(t, send(ctx(t), producer(t, s.Config("hub")), "0", "x"))
			start := time.Now()
			s.Close()
			require.Less(t, time.Since(start), 3*time.Second)
			for _, nc := range peers {
				require.NoError(t, nc.SetReadDeadline(time.Now().Add(patience)))
				_, err := io.Copy(io.Discard, nc)
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the socket is closed")
			}
		})
	}
}

// endpoint returns what follows a prefix in a connection string, up to the end of host and port.
func endpoint(s, prefix string) string {
	_, rest, _ := strings.Cut(s, prefix)
	return rest[:strings.IndexAny(rest, ";/")]
}
