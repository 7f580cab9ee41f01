package amqp_test

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

func TestSilentPeer(t *testing.T) {
	for name, sent := range map[string][]byte{"between frames": nil, "in a frame": on(0, flow, 0, 1, 0, 1)[:11]} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, amqp.Config{IdleTimeout: 100 * time.Millisecond}, acceptAll)
			p := begun(t, s)
			p.write(sent)
			p.expectClose(amqp.Symbol("amqp:resource-limit-exceeded"))
			require.ErrorIs(t, s.result(), os.ErrDeadlineExceeded)
		})
	}
}

// The server sends empty frames at half of the idle timeout of the peer.
func TestSignsOfLife(t *testing.T) {
	t.Parallel()
	const idle = 600 * time.Millisecond
	p := opened(t, serve(t, amqp.Config{}, acceptAll), "peer", nil, nil, nil, int(idle/time.Millisecond))
	for range 3 {
		require.NoError(t, p.nc.SetReadDeadline(time.Now().Add(idle)))
		require.True(t, p.next().empty)
	}
}

// flood sends frames that the server answers, and reads none of the answers, until the server takes nothing for a
// while. It returns how many bytes the server took.
func (p *peer) flood(limit int, while time.Duration) (taken int, err error) {
	frame := on(0, flow, 0, 1, 0, 1, nil, nil, nil, nil, nil, true)
	frames := bytes.Repeat(frame, 1000)
	for taken < limit {
		_ = p.nc.SetWriteDeadline(time.Now().Add(while))
		n, err := p.nc.Write(frames[taken%len(frame):])
		taken += n
		if err != nil {
			return taken, err
		}
	}
	return taken, nil
}

func TestPeerThatNeverReads(t *testing.T) {
	t.Run("is read no further", func(t *testing.T) {
		const limit = 64 << 20
		p := begun(t, serve(t, amqp.Config{}, acceptAll))
		before := heap()
		taken, err := p.flood(limit, 500*time.Millisecond)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Less(t, taken, limit)
		require.Less(t, heap()-before, int64(16<<20))
	})
	t.Run("is given up", func(t *testing.T) {
		h, links := queues()
		s := serve(t, amqp.Config{WriteTimeout: 50 * time.Millisecond}, h)
		p := begun(t, s)
		p.attaches(1, true)
		p.write(gives(0, 1<<20, 0, 1000, false))
		q := receive(t, links)
		q.put(slices.Repeat([][]byte{make([]byte, 1<<20)}, 64)...)
		require.Error(t, s.result())
		require.Less(t, q.count(), 40, "only what the kernel holds was taken")
	})
}

func TestServerClosesOnPeerThatNeverReads(t *testing.T) {
	t.Parallel()
	s := serve(t, amqp.Config{}, acceptAll)
	p := begun(t, s)
	_, err := p.flood(64<<20, 300*time.Millisecond)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	start := time.Now()
	s.conn().Close(nil)
	require.Error(t, s.result())
	require.Less(t, time.Since(start), 6*time.Second, "not the write timeout, which is 30 s")
}

// heap returns how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestCloseHandshake(t *testing.T) {
	t.Run("the peer closes", func(t *testing.T) {
		s := serve(t, amqp.Config{}, acceptAll)
		p := begun(t, s)
		p.write(on(0, closing))
		require.Empty(t, p.expect(closing).condition(0))
		_, err := p.read()
		require.Error(t, err, "the server ends the connection")
		require.NoError(t, s.result())
	})
	t.Run("the peer closes with an error", func(t *testing.T) {
		s := serve(t, amqp.Config{}, acceptAll)
		p := begun(t, s)
		p.write(on(0, closing, list(0x1d, amqp.Symbol("x:y"), "z")))
		p.expect(closing)
		require.NoError(t, s.result())
	})
	t.Run("the server closes", func(t *testing.T) {
		s := serve(t, amqp.Config{}, acceptAll)
		p := begun(t, s)
		c := s.conn()
		c.Close(amqp.Errorf(amqp.CondConnectionForced, "bye"))
		c.Close(amqp.Errorf(amqp.CondInternalError, "a second time"))
		a := p.expect(closing)
		require.Equal(t, amqp.Symbol("amqp:connection:forced"), a.condition(0))
		// What the peer sends before its own close is ignored.
		p.write(on(0, attach, "a", 1, true), on(7, end), frameOf(0, 0), on(0, closing))
		_, err := p.read()
		require.Error(t, err)
		require.NoError(t, s.result())
	})
}

// The server gives up on a peer that doesn't answer a close, however busy the peer is.
func TestCloseWithoutAnswer(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]func(s *server, p *peer){
		"the server closes":  func(s *server, p *peer) { s.conn().Close(nil) },
		"the peer's mistake": func(s *server, p *peer) { p.write([]byte{0, 0, 0, 7, 2, 0, 0, 0}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, amqp.Config{}, acceptAll)
			p := begun(t, s)
			cause(s, p)
			p.expect(closing)
			start := time.Now()
			for p.keepsBusy() {
				require.Less(t, time.Since(start), 6*time.Second)
			}
			require.Error(t, s.result())
		})
	}
}

// keepsBusy sends an empty frame, and reports whether the server is still there.
func (p *peer) keepsBusy() bool {
	_, err := p.nc.Write(frameOf(0, 0))
	time.Sleep(time.Millisecond) // without flooding the server
	return err == nil
}

func TestAbort(t *testing.T) {
	s := serve(t, amqp.Config{}, acceptAll)
	p := begun(t, s)
	s.conn().Abort()
	_, err := p.read()
	require.Error(t, err, "no close frame")
	require.ErrorIs(t, s.result(), net.ErrClosed)
}
