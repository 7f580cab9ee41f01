// Package retry has backoff, sleep, and the schedule on which repeated failures are logged.
package retry

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"time"
)

const (
	first = 100 * time.Millisecond
	// Longest is the longest pause between two tries, give or take a quarter.
	Longest = 30 * time.Second
)

// Backoff is the pause after an attempt that has failed: 100 ms after the first, doubling up to Longest, give or take a
// quarter.
func Backoff(attempt int) time.Duration { return Jitter(Exponential(first, Longest, attempt)) }

// Exponential is start after the first attempt, and twice as long after each further one, up to most.
func Exponential(start, most time.Duration, attempt int) time.Duration {
	d := start
	for ; attempt > 1 && d < most; attempt-- {
		d *= 2
	}
	return min(d, most)
}

// Jitter is d, give or take a quarter.
func Jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) }

// Sleep waits for d. It returns false at once when ctx ends.
func Sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Worth reports whether an attempt is worth a line in a log: the 1st, 2nd, 4th, 8th, and so on. What is retried forever
// is so logged at growing intervals.
func Worth(attempt int) bool { return bits.OnesCount(uint(attempt)) == 1 }

// Text is a duration as people, and logs in JSON, want it: a number of nanoseconds is hard to read.
func Text(d time.Duration) string { return d.Round(time.Millisecond).String() }
