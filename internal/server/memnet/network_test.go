package memnet_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/memnet"
)

// dial returns a dial in the form of other calls.
func dial(ctx context.Context, n *memnet.Network, address string) func() (int, error) {
	return func() (int, error) {
		nc, err := n.DialContext(ctx, "tcp", address)
		if nc != nil {
			defer nc.Close()
		}
		return 0, err
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	var n memnet.Network
	seen := map[string]bool{}
	for range 3 {
		l := listen(t, &n, "127.0.0.1:0")
		for range 3 {
			p := connect(t, &n, l)
			require.Equal(t, l.Addr().String(), p.near.RemoteAddr().String())
			require.Equal(t, l.Addr().String(), p.far.LocalAddr().String())
			require.Equal(t, p.near.LocalAddr().String(), p.far.RemoteAddr().String())
			require.NotContains(t, seen, p.near.LocalAddr().String())
			seen[p.near.LocalAddr().String()] = true
			host, _, err := net.SplitHostPort(p.near.LocalAddr().String())
			require.NoError(t, err)
			require.Equal(t, "127.0.0.1", host)
			require.Equal(t, "tcp", p.near.LocalAddr().Network())
		}
		require.NotContains(t, seen, l.Addr().String())
		seen[l.Addr().String()] = true
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	var n memnet.Network
	first := listen(t, &n, "127.0.0.1:5671")
	_, err := n.Listen(":5671")
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.NoError(t, first.Close())
	require.ErrorIs(t, first.Close(), net.ErrClosed)
	everywhere := listen(t, &n, ":5671")
	for _, address := range []string{"127.0.0.1:5671", "localhost:5671", "0.0.0.0:5671"} {
		nc, err := n.DialContext(t.Context(), "tcp", address)
		require.NoError(t, err, address)
		accepted, err := everywhere.Accept()
		require.NoError(t, err)
		require.NoError(t, nc.Close())
		require.NoError(t, accepted.Close())
	}
	for _, address := range []string{"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "elsewhere:1"} {
		_, err := n.Listen(address)
		require.Error(t, err, address)
	}
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	var n memnet.Network
	listen(t, &n, "127.0.0.1:5671")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		network string
		address string
		want    error
	}{
		"nobody listens":  {t.Context(), "tcp", "127.0.0.1:5672", syscall.ECONNREFUSED},
		"another address": {t.Context(), "tcp", "127.0.0.2:5671", syscall.ECONNREFUSED},
		"another machine": {t.Context(), "tcp", "192.0.2.1:5671", syscall.ECONNREFUSED},
		"no such host":    {t.Context(), "tcp", "contoso.servicebus.windows.net:5671", &net.DNSError{}},
		"no port":         {t.Context(), "tcp", "127.0.0.1", &net.AddrError{}},
		"another network": {t.Context(), "udp", "127.0.0.1:5671", net.UnknownNetworkError("udp")},
		"its ctx ended":   {ended, "tcp", "127.0.0.1:5671", context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.DialContext(c.ctx, c.network, c.address)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, "dial", op.Op)
			switch c.want.(type) {
			case *net.DNSError:
				require.IsType(t, c.want, op.Err)
				require.Contains(t, err.Error(), "no such host")
			case *net.AddrError:
				require.IsType(t, c.want, op.Err)
			default:
				require.ErrorIs(t, err, c.want)
			}
		})
	}
}

func TestIgnoredDials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l := listen(t, &n, "127.0.0.1:0")
		p := connect(t, &n, l)
		l.Ignore(true)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		got := <-start(dial(ctx, &n, l.Addr().String()))
		require.ErrorIs(t, got.err, context.DeadlineExceeded)
		require.Equal(t, time.Hour, got.took)
		var network net.Error
		require.ErrorAs(t, got.err, &network)
		require.True(t, network.Timeout())

		requireWrite(t, p.near, "open connections stay")
		requireText(t, p.far, "open connections stay")

		over := start(dial(t.Context(), &n, l.Addr().String()))
		requireWaiting(t, over)
		l.Ignore(false)
		require.NoError(t, (<-over).err)

		l.Ignore(true)
		over = start(dial(t.Context(), &n, l.Addr().String()))
		require.NoError(t, l.Close())
		require.ErrorIs(t, (<-over).err, syscall.ECONNREFUSED)
	})
}

func TestListenerClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l := listen(t, &n, "127.0.0.1:0")
		accepted := connect(t, &n, l)
		pending, err := n.DialContext(t.Context(), "tcp", l.Addr().String()) // doesn't wait for Accept
		require.NoError(t, err)
		defer pending.Close()
		require.NoError(t, l.Close())
		requireNow(t, read(pending), syscall.ECONNRESET)
		requireNow(t, dial(t.Context(), &n, l.Addr().String()), syscall.ECONNREFUSED)
		requireNow(t, func() (int, error) { _, err := l.Accept(); return 0, err }, net.ErrClosed)
		requireWrite(t, accepted.near, "accepted connections stay")
		requireText(t, accepted.far, "accepted connections stay")
	})
}

func TestListenerCloseEndsAccept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l := listen(t, &n, "127.0.0.1:0")
		over := start(func() (int, error) { _, err := l.Accept(); return 0, err })
		requireWaiting(t, over)
		require.NoError(t, l.Close())
		require.ErrorIs(t, (<-over).err, net.ErrClosed)
	})
}

func TestAllConnectionsOfListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l, other := listen(t, &n, "127.0.0.1:0"), listen(t, &n, "127.0.0.1:0")
		untouched := connect(t, &n, other)
		silent := connect(t, &n, l)
		closed := connect(t, &n, l)
		require.NoError(t, closed.far.Close())
		l.Silence()
		broken := connect(t, &n, l)
		l.Cut()
		requireNow(t, read(broken.near), syscall.ECONNRESET)
		over := start(read(silent.near))
		requireWrite(t, untouched.near, "hello")
		requireText(t, untouched.far, "hello")
		requireWaiting(t, over)
	})
}
