package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

func TestBackoff(t *testing.T) {
	for attempt, want := range map[int]time.Duration{
		1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond, 9: 25600 * time.Millisecond,
		10: retry.Longest, 1000: retry.Longest,
	} {
		for range 100 {
			d := retry.Backoff(attempt)
			require.GreaterOrEqual(t, d, want*3/4, "attempt %d", attempt)
			require.LessOrEqual(t, d, want*5/4, "attempt %d", attempt)
		}
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.True(t, retry.Sleep(t.Context(), time.Hour))
		require.Equal(t, time.Hour, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.False(t, retry.Sleep(ctx, time.Hour))
		require.Equal(t, time.Hour+time.Minute, time.Since(began))
		require.False(t, retry.Sleep(ctx, 0), "the context has ended already")
	})
}

func TestWorth(t *testing.T) {
	var worth []int
	for attempt := range 70 {
		if retry.Worth(attempt) {
			worth = append(worth, attempt)
		}
	}
	require.Equal(t, []int{1, 2, 4, 8, 16, 32, 64}, worth)
}
