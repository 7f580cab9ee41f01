//go:build unix

package memnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/memnet"
)

// stack is a source of sockets: the kernel, or this package.
type stack struct {
	listen func(address string) (net.Listener, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// TestLikeSockets does the same with sockets of the kernel and of this package, and expects the same errors.
func TestLikeSockets(t *testing.T) {
	t.Parallel()
	var n memnet.Network
	kernel := stack{
		listen: func(address string) (net.Listener, error) { return net.Listen("tcp", address) },
		dial:   new(net.Dialer).DialContext,
	}
	memory := stack{
		listen: func(address string) (net.Listener, error) { return n.Listen(address) },
		dial:   n.DialContext,
	}
	for name, errs := range map[string]func(t *testing.T, s stack) []error{
		"listening twice": func(t *testing.T, s stack) []error {
			l := s.open(t)
			_, err := s.listen(l.Addr().String())
			return []error{err}
		},
		"a listener that was closed": func(t *testing.T, s stack) []error {
			l := s.open(t)
			require.NoError(t, l.Close())
			_, accepting := l.Accept()
			_, dialling := s.dial(t.Context(), "tcp", l.Addr().String())
			return []error{accepting, dialling, l.Close()}
		},
		"addresses": func(t *testing.T, s stack) []error {
			_, network := s.dial(t.Context(), "tcpip", "127.0.0.1:1")
			_, port := s.dial(t.Context(), "tcp", "127.0.0.1")
			return []error{network, port}
		},
		"a connection that was closed": func(t *testing.T, s stack) []error {
			near, _ := s.connect(t)
			require.NoError(t, near.Close())
			return append(use(near), near.SetDeadline(time.Now()), near.SetReadDeadline(time.Now()), near.Close())
		},
		"a connection that the peer has closed": func(t *testing.T, s stack) []error {
			near, far := s.connect(t)
			require.NoError(t, far.Close())
			_, err := near.Read(make([]byte, 1))
			return []error{err, near.SetDeadline(time.Now().Add(time.Hour)), near.Close()}
		},
		"half of a connection": func(t *testing.T, s stack) []error {
			near, far := s.connect(t)
			require.NoError(t, near.(interface{ CloseWrite() error }).CloseWrite())
			_, reading := io.ReadAll(far)
			_, writing := near.Write([]byte("x"))
			return []error{reading, writing, near.Close()}
		},
		"deadlines": func(t *testing.T, s stack) []error {
			near, _ := s.connect(t)
			past := near.SetDeadline(time.Unix(1, 0))
			errs := use(near)
			future := near.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := near.Read(make([]byte, 1))
			return append(errs, past, future, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, got := errs(t, kernel), errs(t, memory)
			require.Len(t, got, len(want))
			for i := range want {
				require.Equal(t, describe(want[i]), describe(got[i]), "error %d", i)
			}
		})
	}
}

func (s stack) open(t *testing.T) net.Listener {
	t.Helper()
	l, err := s.listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func (s stack) connect(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l := s.open(t)
	near, err := s.dial(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	far, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// use reads and writes.
func use(c net.Conn) []error {
	_, reading := c.Read(make([]byte, 1))
	_, writing := c.Write([]byte("x"))
	return []error{reading, writing}
}

var ports = regexp.MustCompile(`:\d+`)

// describe returns everything that callers examine in an error.
func describe(err error) string {
	var network net.Error
	isNet := errors.As(err, &network)
	text := ports.ReplaceAllString(fmt.Sprint(err), ":port")
	return fmt.Sprintf("%T %s, net.Error: %v, timeout: %v, EOF: %v, closed: %v", err, text,
		isNet, isNet && network.Timeout(), err == io.EOF, errors.Is(err, net.ErrClosed))
}
