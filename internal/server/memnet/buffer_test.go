package memnet_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBytes sends bytes both ways at once, in pieces of any size.
func TestBytes(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]time.Duration{"at once": 0, "delayed": roundTrip} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, delay, func(t *testing.T, p pair) {
				random := rand.New(rand.NewPCG(1, 2))
				sent := make([]byte, 5<<20)
				for i := range sent {
					sent[i] = byte(random.Uint32())
				}
				send := func(w io.WriteCloser, seed uint64) {
					sizes := rand.New(rand.NewPCG(seed, 0))
					for rest := sent; len(rest) > 0; {
						n, err := w.Write(rest[:min(len(rest), 1+sizes.IntN(1<<(1+sizes.IntN(21))))])
						if err != nil {
							t.Errorf("write: %v", err)
							return
						}
						rest = rest[n:]
					}
				}
				receive := func(r io.Reader, seed uint64) {
					sizes := rand.New(rand.NewPCG(seed, 0))
					got := make([]byte, 0, len(sent))
					for len(got) < len(sent) {
						n, err := r.Read(got[len(got):min(len(sent), len(got)+1+sizes.IntN(1<<(1+sizes.IntN(21))))])
						if err != nil {
							t.Errorf("read: %v", err)
							return
						}
						got = got[:len(got)+n]
					}
					if !bytes.Equal(sent, got) {
						t.Error("the received bytes differ from the sent ones")
					}
				}
				var wg sync.WaitGroup
				wg.Go(func() { send(p.near, 1) })
				wg.Go(func() { send(p.far, 2) })
				wg.Go(func() { receive(p.near, 3) })
				wg.Go(func() { receive(p.far, 4) })
				wg.Wait()
			})
		})
	}
}

func TestFullBufferBlocksWriter(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		requireNow(t, write(p.near, bufferSize), nil)
		over := start(write(p.near, 2))
		requireWaiting(t, over)
		_, err := p.far.Read(make([]byte, 1))
		require.NoError(t, err)
		requireWaiting(t, over) // there is room for half of the bytes
		_, err = p.far.Read(make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, outcome{n: 2}, <-over)
	})
}

// TestOtherDirectionStaysOpen shows that a full buffer blocks one direction only.
func TestOtherDirectionStaysOpen(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		over := start(write(p.near, bufferSize+1))
		requireWaiting(t, over)
		requireWrite(t, p.far, "hello")
		requireText(t, p.near, "hello")
		requireWaiting(t, over)
	})
}

// TestWritesAreWhole has many goroutines write more than fits in the buffer. Their writes must not mix.
func TestWritesAreWhole(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		const writers, size = 8, bufferSize + bufferSize/3
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				_, err := p.near.Write(bytes.Repeat([]byte{byte(i)}, size))
				if err != nil {
					t.Errorf("write: %v", err)
				}
			})
		}
		whole := make([]byte, size)
		for range writers {
			_, err := io.ReadFull(p.far, whole)
			require.NoError(t, err)
			require.Equal(t, size, bytes.Count(whole, whole[:1]))
		}
		wg.Wait()
	})
}

// TestEmptyCalls shows that calls with nothing to do do not wait.
func TestEmptyCalls(t *testing.T) {
	t.Parallel()
	bubble(t, 0, func(t *testing.T, p pair) {
		requireNow(t, func() (int, error) { return p.near.Read(nil) }, nil)
		requireNow(t, write(p.near, bufferSize), nil)
		requireNow(t, func() (int, error) { return p.near.Write(nil) }, nil)
	})
}
