package memnet_test

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/memnet"
)

const (
	bufferSize = 1 << 20
	roundTrip  = 100 * time.Millisecond
)

// pair is a connection: near dialled it, and far was accepted.
type pair struct{ near, far *memnet.Conn }

// bubble runs a test in virtual time, with a connection whose listener has the given round trip.
func bubble(t *testing.T, roundTrip time.Duration, test func(t *testing.T, p pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		l := listen(t, &n, "127.0.0.1:0")
		l.SetRoundTrip(roundTrip)
		test(t, connect(t, &n, l))
	})
}

func listen(t *testing.T, n *memnet.Network, address string) *memnet.Listener {
	t.Helper()
	l, err := n.Listen(address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// connect makes a connection that is closed when the test ends.
func connect(t *testing.T, n *memnet.Network, l net.Listener) pair {
	t.Helper()
	near, err := n.DialContext(context.Background(), "tcp", l.Addr().String())
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	return pair{near.(*memnet.Conn), far.(*memnet.Conn)}
}

// outcome is what a call returned, and when.
type outcome struct {
	n    int
	err  error
	took time.Duration
}

// start makes a call in a goroutine. It returns when the call waits or has ended.
func start(call func() (int, error)) <-chan outcome {
	over, began := make(chan outcome, 1), time.Now()
	go func() {
		n, err := call()
		over <- outcome{n, err, time.Since(began)}
	}()
	synctest.Wait()
	return over
}

// requireWaiting fails the test if a call that was started has ended.
func requireWaiting(t *testing.T, over <-chan outcome) {
	t.Helper()
	synctest.Wait()
	require.Empty(t, over, "the call has to wait")
}

func write(c net.Conn, n int) func() (int, error) {
	return func() (int, error) { return c.Write(make([]byte, n)) }
}

func read(c net.Conn) func() (int, error) {
	return func() (int, error) { return c.Read(make([]byte, bufferSize)) }
}

// requireText reads a text, and fails the test if something else comes.
func requireText(t *testing.T, c net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, text, string(b))
}

func requireWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	n, err := io.WriteString(c, text)
	require.NoError(t, err)
	require.Len(t, text, n)
}

// requireNow fails the test if a call does not return the error at once.
func requireNow(t *testing.T, call func() (int, error), want error) {
	t.Helper()
	over := start(call)
	require.Len(t, over, 1, "the call must not wait")
	got := <-over
	require.ErrorIs(t, got.err, want)
	require.Zero(t, got.took)
}
