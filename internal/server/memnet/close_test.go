package memnet_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCloseInGoodOrder(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		requireWrite(t, p.near, "last words")
		require.NoError(t, p.near.Close())
		requireText(t, p.far, "last words")
		requireNow(t, read(p.far), io.EOF)
		requireNow(t, write(p.far, 1), syscall.EPIPE)
		require.NoError(t, p.far.Close())
	})
}

func TestCloseEndsCalls(t *testing.T) {
	t.Parallel()
	for name, d := range directions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, 0, func(t *testing.T, p pair) {
				over := start(d.call(p))
				requireWaiting(t, over)
				require.NoError(t, p.near.Close())
				require.ErrorIs(t, (<-over).err, net.ErrClosed)
				requireNow(t, d.call(p), net.ErrClosed)
				require.ErrorIs(t, d.set(p.near, time.Now()), net.ErrClosed)
				require.ErrorIs(t, p.near.Close(), net.ErrClosed)
			})
		})
	}
}

func TestCloseEndsPeersCalls(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		reading, writing := start(read(p.near)), start(write(p.near, bufferSize+1))
		requireWaiting(t, reading)
		requireWaiting(t, writing)
		require.NoError(t, p.far.Close())
		require.Equal(t, io.EOF, (<-reading).err)
		require.ErrorIs(t, (<-writing).err, syscall.EPIPE)
	})
}

func TestCloseWrite(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		requireWrite(t, p.near, "question")
		require.NoError(t, p.near.CloseWrite())
		requireNow(t, write(p.near, 1), syscall.EPIPE)
		all, err := io.ReadAll(p.far)
		require.NoError(t, err)
		require.Equal(t, "question", string(all))
		requireWrite(t, p.far, "answer")
		requireText(t, p.near, "answer")
		require.NoError(t, p.near.Close())
		require.ErrorIs(t, p.near.CloseWrite(), net.ErrClosed)
	})
}

func TestCut(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		requireWrite(t, p.far, "lost")
		requireWrite(t, p.near, "lost")
		p.far.Cut()
		for _, c := range []net.Conn{p.near, p.far} {
			requireNow(t, read(c), syscall.ECONNRESET)
			requireNow(t, write(c, 1), syscall.ECONNRESET)
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
			require.NoError(t, c.Close())
		}
	})
}

func TestCutEndsCalls(t *testing.T) {
	t.Parallel()
	for name, d := range directions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, 0, func(t *testing.T, p pair) {
				over := start(d.call(p))
				requireWaiting(t, over)
				p.far.Cut()
				require.ErrorIs(t, (<-over).err, syscall.ECONNRESET)
			})
		})
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	bubble(t, roundTrip, func(t *testing.T, p pair) {
		requireWrite(t, p.near, "lost")
		requireWrite(t, p.far, "lost")
		writing := start(write(p.near, bufferSize+1))
		requireWaiting(t, writing)
		p.far.Silence()
		require.Equal(t, outcome{n: bufferSize + 1}, <-writing)

		near, far := start(read(p.near)), start(read(p.far))
		for range 3 {
			requireNow(t, write(p.near, 2*bufferSize), nil)
			requireNow(t, write(p.far, 2*bufferSize), nil)
			time.Sleep(time.Hour)
		}
		requireWaiting(t, near)
		requireWaiting(t, far)
		require.NoError(t, p.near.SetReadDeadline(time.Now()))
		requireTimeout(t, (<-near).err)

		require.NoError(t, p.near.Close())
		time.Sleep(time.Hour)
		requireWaiting(t, far)
		requireNow(t, write(p.far, 1), nil)
		require.NoError(t, p.far.Close())
		require.ErrorIs(t, (<-far).err, net.ErrClosed)
	})
}

// TestCutSilent shows that Cut ends one side of a silent connection, and that the other side does not notice.
func TestCutSilent(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		p.far.Silence()
		near, far := start(read(p.near)), start(read(p.far))
		p.far.Cut()
		require.ErrorIs(t, (<-far).err, syscall.ECONNRESET)
		requireNow(t, write(p.far, 1), syscall.ECONNRESET)
		requireWaiting(t, near)
		requireNow(t, write(p.near, 1), nil)
	})
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	bubble(t, roundTrip, func(t *testing.T, p pair) {
		began := time.Now()
		requireWrite(t, p.near, "question")
		requireText(t, p.far, "question")
		require.Zero(t, time.Since(began))
		requireWrite(t, p.far, "answ")
		time.Sleep(roundTrip / 4)
		requireWrite(t, p.far, "er")
		require.NoError(t, p.far.Close())
		requireNow(t, write(p.near, 2*bufferSize), nil) // the peer does not know yet that it is closed
		requireText(t, p.near, "answ")
		require.Equal(t, roundTrip, time.Since(began))
		requireText(t, p.near, "er")
		requireNow(t, write(p.near, 1), syscall.EPIPE)
		requireNow(t, read(p.near), io.EOF)
		require.Equal(t, roundTrip*5/4, time.Since(began))
	})
}

// TestRoundTripEachTime sends requests and answers in turn.
func TestRoundTripEachTime(t *testing.T) {
	t.Parallel()
	bubble(t, roundTrip, func(t *testing.T, p pair) {
		for range 10 {
			began := time.Now()
			requireWrite(t, p.near, "question")
			requireText(t, p.far, "question")
			requireWrite(t, p.far, "answer")
			requireText(t, p.near, "answer")
			require.Equal(t, roundTrip, time.Since(began))
		}
	})
}

// TestRoundTripKeepsBandwidth shows that more bytes than a buffer holds may be in flight.
func TestRoundTripKeepsBandwidth(t *testing.T) {
	t.Parallel()
	bubble(t, roundTrip, func(t *testing.T, p pair) {
		began := time.Now()
		for range 16 {
			requireNow(t, write(p.far, bufferSize), nil)
		}
		_, err := io.ReadFull(p.near, make([]byte, 16*bufferSize))
		require.NoError(t, err)
		require.Equal(t, roundTrip, time.Since(began))
	})
}
