package balance_test

import (
	"context"
	"sync"
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

// TestRequestsTakeTime: a partition counts as asked for while its request is being written.
func TestRequestsTakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 8)
		time.Sleep(time.Minute)
		var asked sync.Map
		b := start(t, store, "b", 8, func(o *balance.Options) {
			o.Store.(*faulty).set(func(_ context.Context, call, partition string) error {
				if call == putRequest {
					asked.Store(partition, true)
					time.Sleep(5 * time.Second)
				}
				return nil
			}, func(call, _ string) error {
				if call == list {
					time.Sleep(900 * time.Millisecond) // one overlaps the end of the requests
				}
				return nil
			})
		})
		await(t, 4*interval, 4, a, b)
		n := 0
		asked.Range(func(_, _ any) bool { n++; return true })
		require.Equal(t, 4, n, "no more than its share")
		require.Equal(t, 4, b.store.taken()[putRequest], "each once")
	})
}

// TestListingOverlapsAClaim has claims succeed while a listing is under way that still shows who was there before. That
// is no loss.
func TestListingOverlapsAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		before := start(t, store, "before", 8)
		time.Sleep(time.Minute)
		before.stop()
		<-before.ended
		c := start(t, store, "c", 8, func(o *balance.Options) {
			o.Store.(*faulty).set(func(_ context.Context, call, _ string) error {
				if call == claim {
					// The first listing ends at 2 s; the second one begins at 9 to 10 s, and ends two seconds later.
					time.Sleep(interval - 1500*time.Millisecond)
				}
				return nil
			}, func(call, _ string) error {
				if call == list {
					time.Sleep(2 * time.Second)
				}
				return nil
			})
		})
		time.Sleep(2 * interval)
		lost, _ := c.count()
		require.Zero(t, lost)
		require.Len(t, c.Claims(), 8)
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
		time.Sleep(30 * time.Second) // a claim is 27 s old at the most
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
}
