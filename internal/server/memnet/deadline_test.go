package memnet_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// direction is a call that waits, and how to set its deadline and end its wait.
type direction struct {
	call    func(p pair) func() (int, error)
	set     func(c net.Conn, t time.Time) error
	release func(t *testing.T, p pair)
}

var directions = map[string]direction{
	"read": {
		call:    func(p pair) func() (int, error) { return read(p.near) },
		set:     net.Conn.SetReadDeadline,
		release: func(t *testing.T, p pair) { requireWrite(t, p.far, "hello") },
	},
	"write": {
		call: func(p pair) func() (int, error) { return write(p.near, bufferSize+10) },
		set:  net.Conn.SetWriteDeadline,
		release: func(t *testing.T, p pair) {
			_, err := p.far.Read(make([]byte, 100))
			require.NoError(t, err)
		},
	},
	"both": {
		call:    func(p pair) func() (int, error) { return read(p.near) },
		set:     net.Conn.SetDeadline,
		release: func(t *testing.T, p pair) { requireWrite(t, p.far, "hello") },
	},
}

func eachDirection(t *testing.T, test func(t *testing.T, p pair, d direction)) {
	t.Parallel()
	for name, d := range directions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, 0, func(t *testing.T, p pair) { test(t, p, d) })
		})
	}
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var network net.Error
	require.ErrorAs(t, err, &network)
	require.True(t, network.Timeout())
}

func TestDeadlineInFuture(t *testing.T) {
	eachDirection(t, func(t *testing.T, p pair, d direction) {
		require.NoError(t, d.set(p.near, time.Now().Add(time.Hour)))
		got := <-start(d.call(p))
		requireTimeout(t, got.err)
		require.Equal(t, time.Hour, got.took)
	})
}

func TestDeadlineInPast(t *testing.T) {
	eachDirection(t, func(t *testing.T, p pair, d direction) {
		requireWrite(t, p.far, "too late")
		require.NoError(t, d.set(p.near, time.Unix(1, 0)))
		requireNow(t, d.call(p), os.ErrDeadlineExceeded)
		require.NoError(t, d.set(p.near, time.Time{}))
		over := start(d.call(p))
		d.release(t, p)
		require.NoError(t, (<-over).err)
	})
}

func TestDeadlineSetDuringCall(t *testing.T) {
	eachDirection(t, func(t *testing.T, p pair, d direction) {
		for _, in := range []time.Duration{time.Hour, 0, -time.Hour} {
			require.NoError(t, d.set(p.near, time.Time{}))
			over := start(d.call(p))
			time.Sleep(time.Minute)
			requireWaiting(t, over)
			require.NoError(t, d.set(p.near, time.Now().Add(in)))
			got := <-over
			requireTimeout(t, got.err)
			require.Equal(t, time.Minute+max(0, in), got.took)
		}
	})
}

func TestDeadlinePutOffDuringCall(t *testing.T) {
	eachDirection(t, func(t *testing.T, p pair, d direction) {
		require.NoError(t, d.set(p.near, time.Now().Add(time.Hour)))
		over := start(d.call(p))
		time.Sleep(time.Minute)
		require.NoError(t, d.set(p.near, time.Now().Add(24*time.Hour)))
		time.Sleep(2 * time.Hour)
		requireWaiting(t, over)
		require.NoError(t, d.set(p.near, time.Time{}))
		time.Sleep(48 * time.Hour)
		requireWaiting(t, over)
		d.release(t, p)
		require.NoError(t, (<-over).err)
	})
}

// TestDeadlineOfOneDirection shows that a deadline that has passed does not affect the other direction.
func TestDeadlineOfOneDirection(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		require.NoError(t, p.near.SetReadDeadline(time.Unix(1, 0)))
		requireWrite(t, p.near, "hello")
		require.NoError(t, p.near.SetDeadline(time.Time{}))
		require.NoError(t, p.near.SetWriteDeadline(time.Unix(1, 0)))
		requireWrite(t, p.far, "hello")
		requireText(t, p.near, "hello")
		requireText(t, p.far, "hello")
	})
}

// TestDeadlineCountsWhatWasWritten shows that a Write that has timed out returns how many bytes it wrote.
func TestDeadlineCountsWhatWasWritten(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		require.NoError(t, p.near.SetWriteDeadline(time.Now().Add(time.Hour)))
		got := <-start(write(p.near, 2*bufferSize))
		requireTimeout(t, got.err)
		require.Equal(t, bufferSize, got.n)
	})
}

// TestDeadlineOfEachWriter shows that the deadline also ends a Write that waits for another Write.
func TestDeadlineOfEachWriter(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		first, second := start(write(p.near, 2*bufferSize)), start(write(p.near, 1))
		require.NoError(t, p.near.SetWriteDeadline(time.Now().Add(time.Hour)))
		requireTimeout(t, (<-first).err)
		got := <-second
		requireTimeout(t, got.err)
		require.Zero(t, got.n)
	})
}
