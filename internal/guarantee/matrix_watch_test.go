package guarantee_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hold runs f in a bubble that is looked at often. Looking often does no harm on a slow machine: a bubble in which a
// goroutine runs, or can run, is never frozen.
func hold(t *testing.T, f func(r *recorder)) (b *bubble, wrong []string) {
	b = &bubble{patience: 10 * time.Millisecond, late: make(chan []byte, 1), ended: make(chan struct{})}
	wrong, _ = b.hold(t, f)
	return b, wrong
}

// TestFrozenByMutex has a goroutine wait for a mutex whose holder waits for time to pass, which then doesn't pass. The
// bubble is reported, with the goroutine that waits for the mutex.
func TestFrozenByMutex(t *testing.T) {
	var mu sync.Mutex
	b, wrong := hold(t, func(*recorder) {
		mu.Lock()
		go waitForMutex(&mu)
		time.Sleep(time.Minute)
	})
	require.Len(t, wrong, 1)
	require.Contains(t, wrong[0], "virtual time is frozen after 0 seconds")
	require.Contains(t, wrong[0], "waitForMutex")
	require.NotContains(t, wrong[0], "time.Sleep", "it leaves out goroutines that wait for time")
	mu.Unlock()
	<-b.ended
}

func waitForMutex(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
}

// TestFrozenFromOutside has a bubble wait for a channel that isn't its own.
func TestFrozenFromOutside(t *testing.T) {
	outside := make(chan struct{})
	b, wrong := hold(t, func(*recorder) {
		time.Sleep(3 * time.Second)
		<-outside
	})
	require.Len(t, wrong, 1)
	require.Contains(t, wrong[0], "virtual time is frozen after ")
	require.Contains(t, wrong[0], "TestFrozenFromOutside")
	close(outside)
	<-b.ended
}

// TestSlowBubble has a bubble compute for much longer than the time between two looks. It runs, so nothing is wrong.
func TestSlowBubble(t *testing.T) {
	var over atomic.Bool // set outside, where time is real
	time.AfterFunc(100*time.Millisecond, func() { over.Store(true) })
	b, wrong := hold(t, func(*recorder) {
		for !over.Load() {
			runtime.Gosched()
		}
	})
	require.Empty(t, wrong)
	<-b.ended
}

// TestEndlessCell has a cell take longer than a cell may.
func TestEndlessCell(t *testing.T) {
	b, wrong := hold(t, func(*recorder) { time.Sleep(longestCell + time.Minute) })
	require.Len(t, wrong, 1)
	require.Contains(t, wrong[0], "the cell is not done after 1h0m0s of virtual time")
	require.Contains(t, wrong[0], "TestEndlessCell")
	<-b.ended
}
