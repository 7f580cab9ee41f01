package balance_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/balance"
	"github.com/go-eventhubs/eventhubs/internal/handover"
	"github.com/go-eventhubs/eventhubs/internal/retry"
)

// TestJoiningConsumerDiesAfterAsking: whoever was asked gives up what it promised, and has it back soon.
func TestJoiningConsumerDiesAfterAsking(t *testing.T) {
	for name, when := range map[string]func(a, b *consumer) bool{
		"at once":           func(_, b *consumer) bool { return len(b.log.about("partition taken")) == 0 },
		"when it was asked": func(a, _ *consumer) bool { _, handed := a.count(); return handed == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemory()
				a := start(t, store, "a", 32)
				time.Sleep(time.Minute)
				b := start(t, store, "b", 32)
				b.store.set(func(_ context.Context, call, _ string) error {
					if call == claim {
						return errDown
					}
					return nil
				}, nil)
				synctest.Wait()
				for when(a, b) {
					time.Sleep(100 * time.Millisecond)
					if name == "at once" {
						break
					}
				}
				b.kill()
				died := time.Now()
				time.Sleep(interval)
				await(t, 3*interval, 32, a)
				t.Log("back after", time.Since(died))
				time.Sleep(10 * time.Minute)
				lost, handed := a.count()
				require.Zero(t, lost)
				require.LessOrEqual(t, handed, 16, "each at most once")
				_, requests, err := store.ListClaims(t.Context(), "ns", "hub", "group")
				require.NoError(t, err)
				require.Empty(t, requests)
			})
		})
	}
}

// foreign renews partitions as another SDK's consumer does, which knows of no requests, and gives up those that it
// loses.
func foreign(ctx context.Context, t *testing.T, store handover.Store, n int) (taken *[]time.Time) {
	taken = &[]time.Time{}
	var held []azeventhubs.Ownership
	for _, id := range partitions(n) {
		held = append(held, azeventhubs.Ownership{
			FullyQualifiedNamespace: "ns", EventHubName: "hub", ConsumerGroup: "group", PartitionID: id, OwnerID: "sdk",
		})
	}
	renew := func() {
		got, err := store.ClaimOwnership(ctx, held, nil)
		if ctx.Err() == nil {
			require.NoError(t, err)
			for range len(held) - len(got) {
				*taken = append(*taken, time.Now())
			}
			held = got
		}
	}
	renew()
	go func() {
		for retry.Sleep(ctx, interval) {
			renew()
		}
	}()
	return taken
}

// TestOwnerThatDoesNotAnswer loses what is due after two UpdateIntervals.
func TestOwnerThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store := newMemory()
		foreign(ctx, t, store, 8)
		b := start(t, store, "b", 8)
		time.Sleep(2*interval - time.Second)
		synctest.Wait()
		require.Empty(t, b.held())
		await(t, 4*time.Second, 4, b)
		time.Sleep(time.Minute)
		require.Len(t, b.held(), 4)
	})
}

// TestOwnerThatIsLate loses what it has promised when the time that it asked for is long over.
func TestOwnerThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 2)
		a.finishIn(time.Hour)
		time.Sleep(time.Minute)
		b := start(t, store, "b", 2)
		time.Sleep(35 * time.Second)
		require.Empty(t, b.held(), "it may take DrainTimeout and a little")
		await(t, 20*time.Second, 1, b)
		await(t, 20*time.Second, 1, a)
		lost, handed := a.count()
		require.Equal(t, 1, lost)
		require.Zero(t, handed)
		require.Len(t, a.log.about("INFO", "partition lost", "to=b", "held=1"), 1)
	})
}

// TestRequestsCannotBeWritten: then partitions are taken as if the owner did not answer.
func TestRequestsCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 8)
		time.Sleep(time.Minute)
		b := start(t, store, "b", 8, func(o *balance.Options) { o.Store.(*faulty).fail(putRequest) })
		t.Log("took", await(t, 3*interval, 4, b))
		await(t, 3*interval, 4, a)
		requireDisjoint(t, 8, a, b)
	})
}

// TestPromiseWhoseAnswerIsLost is kept all the same.
func TestPromiseWhoseAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 8)
		time.Sleep(time.Minute)
		a.store.set(nil, func(call, _ string) error {
			if call == putRequest {
				return errDown
			}
			return nil
		})
		b := start(t, store, "b", 8)
		await(t, 3*interval, 4, a, b)
		lost, handed := a.count()
		require.Zero(t, lost)
		require.Equal(t, 4, handed)
	})
}

// TestDeadConsumer: its partitions are taken once, after its claims have expired.
func TestDeadConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a, b, c := start(t, store, "a", 30), start(t, store, "b", 30), start(t, store, "c", 30)
		await(t, 6*interval, 10, a, b, c)
		time.Sleep(time.Minute)
		c.kill()
		time.Sleep(35 * time.Second)
		require.Len(t, a.held(), 10)
		await(t, 3*interval+expiration, 15, a, b)
		requireDisjoint(t, 30, a, b)
		taken := 0
		for _, c := range []*consumer{a, b} {
			lost, handed := c.count()
			require.Zero(t, lost)
			taken += c.taken - handed
		}
		require.Equal(t, 30, taken, "each of the dead one's was taken once")
	})
}

// TestRestartUnderTheSameName: what has our name is ours at once.
func TestRestartUnderTheSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a, b := start(t, store, "a", 8), start(t, store, "b", 8)
		await(t, 6*interval, 4, a, b)
		had := a.held()
		a.kill()
		again := start(t, store, "a", 8)
		require.Zero(t, await(t, interval, 4, again))
		require.Equal(t, had, again.held())
	})
}

// TestBalancedTakesOneAtATime, whether it is free or has to be asked for.
func TestBalancedTakesOneAtATime(t *testing.T) {
	balanced := func(o *balance.Options) { o.Strategy = azeventhubs.ProcessorStrategyBalanced }
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 8, balanced)
		synctest.Wait()
		for n := 1; n <= 8; n++ {
			require.Len(t, a.held(), n)
			took := await(t, interval+time.Second, min(n+1, 8), a)
			require.True(t, n == 8 || took > interval/2, "%v", took)
		}
		b := start(t, store, "b", 8, balanced)
		await(t, 8*interval, 4, a, b)
		requireDisjoint(t, 8, a, b)
		lost, handed := a.count()
		require.Zero(t, lost)
		require.Equal(t, 4, handed)
	})
}

func TestAddedPartitionsAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		n.Store(4)
		more := func(o *balance.Options) {
			o.AskPartitions = func(context.Context) ([]string, error) {
				if n.Load() == 5 {
					return nil, errDown
				}
				return partitions(int(n.Load())), nil
			}
		}
		store := newMemory()
		a, b := start(t, store, "a", 4, more), start(t, store, "b", 4, more)
		await(t, 6*interval, 2, a, b)
		n.Store(5)
		time.Sleep(5 * time.Minute)
		require.Len(t, a.log.about("WARN", "partition ids"), 3)
		n.Store(6)
		await(t, time.Minute+2*interval, 3, a, b)
		requireDisjoint(t, 6, a, b)
	})
	t.Run("none are known at the start", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := start(t, newMemory(), "a", 4, func(o *balance.Options) { o.Partitions = nil })
			require.Zero(t, await(t, time.Second, 4, a))
		})
	})
}

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
	t.Run("after Taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var taken, drained atomic.Int64
			b := start(t, newMemory(), "b", 1, func(o *balance.Options) {
				o.Taken = func(*balance.Claim) {
					time.Sleep(time.Second)
					taken.Store(time.Now().Unix())
				}
			})
			time.Sleep(time.Second / 2)
			b.Drain()
			drained.Store(time.Now().Unix())
			require.Equal(t, taken.Load(), drained.Load(), "Drain has waited")
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
