package balance_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/balance"
)

func TestOneConsumerTakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, newMemory(), "a", 32)
		require.Zero(t, await(t, time.Second, 32, a), "at once")
		require.Len(t, a.log.about("INFO", "partition taken"), 32)
		require.Len(t, a.log.about("partition taken", "held=32"), 1)
	})
}

// TestManyPartitions: what a share costs grows with it, and not with its square.
func TestManyPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 1024)
		time.Sleep(time.Minute)
		b := start(t, store, "b", 1024)
		await(t, 2*interval, 512, a, b)
		lost, handed := a.count()
		require.Zero(t, lost)
		require.Equal(t, 512, handed)
	})
}

// TestAnswersTakeTime: while there is nothing to do but to wait for the first answers, nothing is done.
func TestAnswersTakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, newMemory(), "a", 4, func(o *balance.Options) {
			o.Store.(*faulty).set(func(context.Context, string, string) error {
				time.Sleep(3 * time.Second)
				return nil
			}, nil)
		})
		await(t, 10*time.Second, 4, a)
	})
}

// TestSlowStore: a listing whose answer comes after that of a claim made meanwhile says nothing of that partition.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(o *balance.Options) {
			o.Store.(*faulty).set(func(_ context.Context, call, _ string) error {
				if call == claim {
					time.Sleep(2500 * time.Millisecond)
				}
				return nil
			}, func(call, _ string) error {
				if call == list {
					time.Sleep(2 * time.Second)
				}
				return nil
			})
		}
		store := newMemory()
		a, b, c := start(t, store, "a", 12, slow), start(t, store, "b", 12, slow), start(t, store, "c", 12, slow)
		await(t, 10*interval, 4, a, b, c)
		time.Sleep(10 * time.Minute)
		for _, c := range []*consumer{a, b, c} {
			lost, handed := c.count()
			require.Zero(t, lost)
			require.Equal(t, 4, c.taken-handed)
		}
	})
}

// TestListingOverlapsClaim: a listing that was begun before a claim was answered says nothing of that partition.
func TestListingOverlapsClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := shared(t, 12)
		b.finishIn(4 * time.Second) // so that one half of c's share is claimed while it waits for the other
		c := start(t, a.store.Store, "c", 12, func(o *balance.Options) {
			o.Store.(*faulty).set(func(_ context.Context, call, _ string) error {
				if call == claim {
					time.Sleep(2500 * time.Millisecond)
				}
				return nil
			}, func(call, _ string) error {
				if call == list {
					time.Sleep(2 * time.Second)
				}
				return nil
			})
		})
		await(t, 4*interval, 4, a, b, c)
		time.Sleep(time.Minute)
		lost, handed := c.count()
		require.Zero(t, lost)
		require.Equal(t, 4, c.taken-handed)
	})
}

// TestIdleCost counts the calls of two consumers that share 32 partitions for ten minutes.
func TestIdleCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 32)
		time.Sleep(time.Second)
		b := start(t, store, "b", 32)
		await(t, 3*interval, 16, a, b)
		time.Sleep(time.Minute)
		a.store.taken()
		b.store.taken()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		total := map[string]int{}
		for _, c := range []*consumer{a, b} {
			for kind, n := range c.store.taken() {
				total[kind] += n
			}
		}
		t.Log(total)
		require.LessOrEqual(t, total[claim], 32*26, "each partition is renewed after 24 seconds")
		require.LessOrEqual(t, total[list], 2*80)
		require.Len(t, total, 2, "nothing else is called")
	})
}

func TestHourIsCheap(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a, b := start(t, store, "a", 4), start(t, store, "b", 4)
		await(t, time.Minute, 2, a, b)
		time.Sleep(time.Hour)
		requireDisjoint(t, 4, a, b)
	})
	t.Log("an hour took", time.Since(began))
}

// TestJoiningConsumerIsHandedItsShare: within two UpdateIntervals, and no partition is taken from its reader.
func TestJoiningConsumerIsHandedItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 32)
		time.Sleep(time.Minute)
		b := start(t, store, "b", 32)
		took := await(t, 2*interval, 16, a, b)
		t.Log("took", took)
		requireDisjoint(t, 32, a, b)
		lost, handed := a.count()
		require.Zero(t, lost)
		require.Equal(t, 16, handed)
		require.Len(t, a.log.about("INFO", "partition handed over", "to=b"), 16)

		time.Sleep(10 * time.Minute)
		lost, handed = a.count()
		require.Zero(t, lost)
		require.Equal(t, 16, handed, "it rests")
		_, requests, err := store.ListClaims(t.Context(), "ns", "hub", "group")
		require.NoError(t, err)
		require.Empty(t, requests)
	})
}

func TestTwoConsumersJoinAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 33)
		time.Sleep(time.Minute)
		b, c := start(t, store, "b", 33), start(t, store, "c", 33)
		t.Log("took", await(t, 2*interval+2*time.Second, 11, a, b, c))
		requireDisjoint(t, 33, a, b, c)
		for _, c := range []*consumer{a, b, c} {
			lost, _ := c.count()
			require.Zero(t, lost)
		}
		_, handed := a.count()
		require.Equal(t, 22, handed, "it keeps its share, whatever is asked of it")
	})
}
