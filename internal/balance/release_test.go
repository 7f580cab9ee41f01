package balance_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/balance"
)

// TestDrain: nothing new is claimed, requests are withdrawn, what is held is renewed, and whoever asks for it gets an
// answer.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 8)
		time.Sleep(time.Minute)
		a.Drain()
		time.Sleep(5 * time.Minute)
		require.Len(t, a.held(), 8)
		for _, c := range a.Claims() {
			require.NoError(t, c.Check())
		}
		b := start(t, store, "b", 8)
		await(t, 2*interval, 4, a, b)
		for _, c := range a.Claims() {
			require.NoError(t, c.Release(t.Context()))
		}
		await(t, 2*interval, 8, b)
		time.Sleep(time.Minute)
		require.Empty(t, a.held())
		lost, _ := a.count()
		require.Zero(t, lost-len(a.log.about("partition released")))
	})
	t.Run("while claims are under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := newMemory()
			b := start(t, store, "b", 8, func(o *balance.Options) {
				o.Taken = func(*balance.Claim) { t.Error("it is draining") }
				o.Store.(*faulty).set(func(_ context.Context, call, _ string) error {
					time.Sleep(time.Second)
					return nil
				}, nil)
			})
			time.Sleep(1500 * time.Millisecond)
			b.Drain()
			time.Sleep(3 * time.Second)
			names, _ := owners(t, store)
			require.Len(t, names, 8)
			for id, owner := range names {
				require.Empty(t, owner, "partition %s", id)
			}
		})
	})
	t.Run("requests are withdrawn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			store := newMemory()
			foreign(ctx, t, store, 8)
			b := start(t, store, "b", 8)
			time.Sleep(interval)
			_, requests, err := store.ListClaims(t.Context(), "ns", "hub", "group")
			require.NoError(t, err)
			require.Len(t, requests, 4)
			b.Drain()
			synctest.Wait()
			_, requests, err = store.ListClaims(t.Context(), "ns", "hub", "group")
			require.NoError(t, err)
			require.Empty(t, requests)
			time.Sleep(5 * interval)
			require.Empty(t, b.held())
		})
	})
}

// TestRelease gives a partition back whatever the answers are, as long as its context lasts.
func TestRelease(t *testing.T) {
	for name, wrong := range map[string]func(a *consumer){
		"nothing fails": func(*consumer) {},
		"the store fails for a while": func(a *consumer) {
			a.store.fail()
			time.AfterFunc(time.Second, a.store.heal)
		},
		"the answer is lost": func(a *consumer) {
			a.store.set(nil, func(string, string) error { a.store.heal(); return errDown })
		},
		"a renewal is under way": func(a *consumer) {
			a.store.set(func(_ context.Context, call, partition string) error {
				time.Sleep(time.Second)
				return nil
			}, nil)
			time.Sleep(20 * time.Second)
		},
		"others have changed it": func(a *consumer) {
			list, err := a.store.Store.ListOwnership(context.Background(), "ns", "hub", "group", nil)
			require.NoError(a.t, err)
			_, err = a.store.Store.ClaimOwnership(context.Background(), list, nil)
			require.NoError(a.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemory()
				a := start(t, store, "a", 2)
				synctest.Wait()
				a.Drain()
				wrong(a)
				claim := a.Claims()[0]
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				require.NoError(t, claim.Release(ctx))
				require.ErrorIs(t, context.Cause(claim.Context()), balance.ErrLost)
				require.ErrorIs(t, claim.Check(), balance.ErrNotHeld)
				require.False(t, claim.Await(ctx))
				time.Sleep(2 * time.Minute)
				names, _ := owners(t, store)
				require.Equal(t, map[string]string{"0": "", "1": "a"}, names)
				require.Equal(t, []string{"1"}, a.held())
				require.NoError(t, claim.Release(ctx), "again is no harm")
			})
		})
	}
	t.Run("meanwhile it is not claimed again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := start(t, newMemory(), "a", 2)
			synctest.Wait()
			a.store.fail(release)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			time.AfterFunc(30*time.Second, a.store.heal)
			require.NoError(t, a.Claims()[0].Release(ctx))
			require.Len(t, a.held(), 1)
			await(t, 2*interval, 2, a)
			time.Sleep(time.Minute)
			require.Equal(t, 3, a.taken)
		})
	})
	t.Run("the store is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := start(t, newMemory(), "a", 2)
			synctest.Wait()
			a.store.fail()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			err := a.Claims()[0].Release(ctx)
			require.ErrorIs(t, err, errDown)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 5*time.Second, time.Since(began))
			a.store.heal()
			await(t, 2*interval, 2, a) // nobody else has taken it
			require.Len(t, a.log.about("partition taken"), 3)
		})
	})
}

// TestEnd: what is held or being claimed when Run ends is given back, within its bound.
func TestEnd(t *testing.T) {
	for name, wrong := range map[string]func(*consumer){
		"nothing fails": func(*consumer) {},
		"a claim is under way": func(c *consumer) {
			c.store.set(func(_ context.Context, call, _ string) error {
				if call == claim {
					time.Sleep(500 * time.Millisecond)
				}
				return nil
			}, nil)
		},
		"answers are lost": func(c *consumer) {
			var n atomic.Int64
			c.store.set(nil, func(call, _ string) error {
				if call == claim && n.Add(1) < 10 {
					return errDown
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemory()
				var stopped atomic.Bool
				c := start(t, store, "c", 4, func(o *balance.Options) {
					f := o.Store.(*faulty)
					wrong(&consumer{store: f})
					o.Taken = func(*balance.Claim) { require.False(t, stopped.Load()) }
				})
				time.Sleep(100 * time.Millisecond)
				stopped.Store(true)
				c.stop()
				began := time.Now()
				<-c.ended
				require.NoError(t, c.err)
				require.LessOrEqual(t, time.Since(began), 6*time.Second)
				require.Empty(t, c.held())
				names, _ := owners(t, store)
				for id, owner := range names {
					require.Empty(t, owner, "partition %s", id)
				}
			})
		})
	}
	t.Run("the store hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := start(t, newMemory(), "c", 4)
			synctest.Wait()
			c.store.set(func(ctx context.Context, _, _ string) error { return hang(ctx) }, nil)
			time.Sleep(20 * time.Second)
			c.stop()
			began := time.Now()
			<-c.ended
			require.LessOrEqual(t, time.Since(began), 6*time.Second)
		})
	})
}

// TestLose: the partition is over at once, and is claimed again unless another consumer has.
func TestLose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, newMemory(), "a", 2)
		time.Sleep(interval) // the second round has passed, and the third is at least 6 s away
		synctest.Wait()
		c := a.Claims()[0]
		c.Lose()
		require.ErrorIs(t, context.Cause(c.Context()), balance.ErrLost)
		time.Sleep(interval / 2)
		require.Equal(t, []string{"1"}, a.held(), "not before the next round")
		await(t, interval+time.Second, 2, a)
	})
}
