package balance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/balance"
)

// shared starts two consumers that share n partitions, and lets them come to rest.
func shared(t *testing.T, n int, change ...func(*balance.Options)) (a, b *consumer) {
	t.Helper()
	store := newMemory()
	a = start(t, store, "a", n, change...)
	synctest.Wait()
	b = start(t, store, "b", n, change...)
	await(t, 3*interval, n/2, a, b)
	time.Sleep(time.Minute)
	synctest.Wait()
	return a, b
}

// requireRest checks that nothing was lost, handed over or taken since two consumers came to share n partitions.
func requireRest(t *testing.T, n int, a, b *consumer) {
	t.Helper()
	requireDisjoint(t, n, a, b)
	require.Len(t, a.held(), n/2)
	for _, c := range []*consumer{a, b} {
		lost, handed := c.count()
		require.Zero(t, lost, "lost by "+c.name)
		require.Equal(t, n/2, c.taken-handed)
	}
}

func awaits(t *testing.T, c *balance.Claim) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	return c.Await(ctx)
}

// TestOutage: in an outage of the store, however long, all read on; no checkpoint is written by who may have lost its
// partition. Afterwards nobody takes anything from anybody.
func TestOutage(t *testing.T) {
	for name, outage := range map[string]func(*faulty){
		"all calls fail": func(f *faulty) { f.fail() },
		"writes fail":    func(f *faulty) { f.fail(claim, putRequest, deleteRequest) },
		"all calls hang": func(f *faulty) {
			f.set(func(ctx context.Context, _, _ string) error { return hang(ctx) }, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := shared(t, 8)
				outage(a.store)
				outage(b.store)
				began := time.Now()
				for time.Since(began) < 10*time.Minute {
					time.Sleep(7 * time.Second)
					if time.Since(began) > 0 {
						require.True(t, awaits(t, a.Claims()[0]), "nobody can have taken it")
					}
					if time.Since(began) > expiration {
						require.ErrorIs(t, a.Claims()[0].Check(), balance.ErrNotHeld)
					}
				}
				health := a.Health()
				require.Error(t, health.Err)
				require.WithinDuration(t, began, health.FailingSince, 45*time.Second)
				warnings := a.log.about("WARN", "the checkpoint store fails")
				require.Less(t, len(warnings), 30, "logged at growing intervals")
				a.store.heal()
				time.Sleep(time.Minute / 2)
				b.store.heal() // half a minute after the other
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				requireRest(t, 8, a, b)
				require.NoError(t, a.Claims()[0].Check())
				require.NoError(t, a.Health().Err)
				require.Zero(t, a.Health().FailingSince)
				require.NotEmpty(t, a.log.about("INFO", "the checkpoint store answers again"))
			})
		})
	}
}

// TestStoreIsDownForOne: what others can reach, they take once it has expired, and whoever held it finds out.
func TestStoreIsDownForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := shared(t, 8)
		a.store.fail()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Len(t, b.held(), 8)
		a.store.heal()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		lost, _ := a.count()
		require.Equal(t, 4, lost)
		require.Len(t, a.log.about("INFO", "partition lost", "to=b"), 4)
		await(t, 3*interval, 4, a, b)
	})
}

// TestLostAnswers: what was claimed or renewed without our knowing is ours all the same.
func TestLostAnswers(t *testing.T) {
	for name, lose := range map[string]func(*faulty){
		"of claims": func(f *faulty) {
			f.set(nil, func(call, _ string) error {
				if call == claim {
					return errDown
				}
				return nil
			})
		},
		"of all calls, one in three": func(f *faulty) {
			var n atomic.Int64
			f.set(nil, func(_, _ string) error {
				if n.Add(1)%3 == 0 {
					return errDown
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := shared(t, 8)
				lose(a.store)
				for range 60 {
					time.Sleep(10 * time.Second)
					for _, c := range a.Claims() {
						require.True(t, awaits(t, c))
						require.NoError(t, c.Check())
					}
				}
				a.store.heal()
				time.Sleep(time.Minute)
				synctest.Wait()
				requireRest(t, 8, a, b)
			})
		})
	}
}

// TestLostAnswersToFirstClaims: they are claimed again, with the ETags that were listed.
func TestLostAnswersToFirstClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		a := start(t, store, "a", 4, func(o *balance.Options) {
			var n atomic.Int64
			o.Store.(*faulty).set(nil, func(call, _ string) error {
				if call == claim && n.Add(1) < 20 {
					return errDown
				}
				return nil
			})
		})
		require.Less(t, await(t, interval, 4, a), 7*time.Second)
	})
}

// TestOneRecordThatCannotBeWritten holds up no other, whether its claims fail or hang, also with a store that ends at
// the first failure and doesn't say what it has written.
func TestOneRecordThatCannotBeWritten(t *testing.T) {
	for name, wrong := range map[string]func(context.Context) error{
		"fails": func(context.Context) error { return errDown },
		"hangs": hang,
	} {
		for _, oneByOne := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, one by one: %v", name, oneByOne), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b := shared(t, 8, func(o *balance.Options) { o.Store.(*faulty).oneByOne = oneByOne })
					bad := a.held()[0]
					a.store.set(func(ctx context.Context, call, partition string) error {
						if call == claim && partition == bad {
							return wrong(ctx)
						}
						return nil
					}, nil)
					began := time.Now()
					for time.Since(began) < 5*time.Minute {
						time.Sleep(time.Second)
						names, at := owners(t, a.store.Store)
						for id, owner := range names {
							if owner == "a" && id != bad {
								require.Less(t, time.Since(at[id]), 50*time.Second, "partition %s", id)
							}
						}
						for _, c := range a.Claims() {
							require.True(t, awaits(t, c), "the listing says so")
							if c.PartitionID() != bad {
								require.NoError(t, c.Check())
							}
						}
					}
					require.Contains(t, a.held(), bad, "the other consumer has its share, and needs no more")
					requireRest(t, 8, a, b)
				})
			})
		}
	}
}

// TestSlowListing: while renewals fail one after the other, a listing that takes longer than one of them says all the
// same that another consumer has the partition.
func TestSlowListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := shared(t, 2)
		a.store.set(func(_ context.Context, call, _ string) error {
			if call == claim {
				return errDown
			}
			return nil
		}, func(call, _ string) error {
			if call == list {
				time.Sleep(9 * time.Second)
			}
			return nil
		})
		await(t, expiration+2*interval, 2, b)
		time.Sleep(2 * interval)
		require.Empty(t, a.held())
		lost, _ := a.count()
		require.Equal(t, 1, lost)
	})
}

// TestOutageThatEnds leaves calls that began in an outage without an answer: as soon as the store is listed again, the
// claims are renewed by other calls, and checkpoints may be written.
func TestOutageThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, newMemory(), "a", 8)
		synctest.Wait()
		for range 20 { // the calls that are under way differ
			listed := make(chan struct{})
			a.store.set(func(ctx context.Context, _, _ string) error { return hang(ctx) }, nil)
			time.Sleep(2 * time.Minute)
			a.store.set(nil, func(call, _ string) error {
				if call == list && !isClosed(listed) {
					close(listed)
				}
				return nil
			})
			<-listed
			time.Sleep(time.Second)
			for _, c := range a.Claims() {
				require.NoError(t, c.Check())
			}
		}
		require.Len(t, a.Claims(), 8)
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestListingThatHangs holds up no renewal.
func TestListingThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := shared(t, 8)
		a.store.set(func(ctx context.Context, call, _ string) error {
			if call == list {
				return hang(ctx)
			}
			return nil
		}, nil)
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			time.Sleep(time.Second)
			_, at := owners(t, a.store.Store)
			for id, at := range at {
				require.Less(t, time.Since(at), 28*time.Second, "partition %s", id)
			}
			require.True(t, awaits(t, a.Claims()[0]))
			require.NoError(t, a.Claims()[0].Check())
		}
		require.ErrorIs(t, a.Health().Err, context.DeadlineExceeded)
		a.store.heal()
		time.Sleep(time.Minute)
		requireRest(t, 8, a, b)
	})
}

// TestPausedProcess: after a pause for longer than claims last, nobody handles an event before the store has said
// whose the partition is.
func TestPausedProcess(t *testing.T) {
	for name, pause := range map[string]time.Duration{
		"short": 30 * time.Second, "long": 3 * time.Minute, "long, and what was under way fails": 3 * time.Minute,
		"long, in an outage, and what was under way fails": 3 * time.Minute,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := shared(t, 8)
				if strings.Contains(name, "outage") {
					a.store.fail()
					time.Sleep(30 * time.Second)
				}
				resume, goOn := context.WithCancel(context.Background())
				defer goOn()
				a.store.set(func(_ context.Context, _, _ string) error { // no call of it moves, and none fails
					<-resume.Done()
					if strings.Contains(name, "fails") {
						return errDown
					}
					return nil
				}, nil)
				time.Sleep(pause)
				synctest.Wait()
				claims := a.Claims()
				require.Len(t, claims, 4, "it knows nothing yet")
				long := pause > expiration
				require.Equal(t, long, len(b.held()) == 8)
				for _, c := range claims {
					require.Equal(t, !long, awaits(t, c))
					if long {
						require.ErrorIs(t, c.Check(), balance.ErrNotHeld)
					}
				}
				answers := make(chan bool, len(claims))
				for _, c := range claims {
					go func() { answers <- c.Await(t.Context()) }()
				}
				synctest.Wait()
				a.store.set(func(context.Context, string, string) error {
					time.Sleep(time.Second)
					return nil
				}, nil)
				goOn()
				for range claims {
					require.Equal(t, !long, <-answers)
				}
				await(t, 5*interval, 4, a, b)
			})
		})
	}
}

// TestDeletedRecords: a container that was deleted is filled again, and nobody stops reading.
func TestDeletedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := shared(t, 8)
		empty := newMemory()
		for _, c := range []*consumer{a, b} {
			c.store.mu.Lock()
			c.store.Store = empty
			c.store.mu.Unlock()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		requireRest(t, 8, a, b)
		names, _ := owners(t, empty)
		require.Len(t, names, 8)
	})
}

// TestRefusal ends Run only if nothing of its kind was ever answered.
func TestRefusal(t *testing.T) {
	refused := func(o *balance.Options) { o.Refused = func(err error) bool { return errors.Is(err, errDown) } }
	for _, kind := range []string{list, claim} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, newMemory(), "c", 4, refused, func(o *balance.Options) { o.Store.(*faulty).fail(kind) })
				<-c.ended
				require.ErrorIs(t, c.err, errDown)
			})
		})
	}
	t.Run("of one record, before the others are claimed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := start(t, newMemory(), "c", 4, refused, func(o *balance.Options) {
				var refusals atomic.Int64
				o.Store.(*faulty).set(func(_ context.Context, call, partition string) error {
					if call == claim && partition == "0" && refusals.Add(1) == 1 {
						return errDown
					}
					time.Sleep(time.Second)
					return nil
				}, nil)
			})
			await(t, interval, 4, c)
		})
	})
	t.Run("later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := start(t, newMemory(), "c", 4, refused)
			await(t, time.Second, 4, c)
			c.store.fail()
			time.Sleep(time.Hour)
			require.Len(t, c.held(), 4)
		})
	})
	t.Run("not refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := start(t, newMemory(), "c", 4, func(o *balance.Options) { o.Store.(*faulty).fail() })
			time.Sleep(time.Hour)
			require.False(t, c.Health().Answered)
			c.store.heal()
			await(t, 10*time.Second, 4, c)
			require.True(t, c.Health().Answered)
		})
	})
}

// TestStoreWithoutRequests: partitions are taken at once, and only as many as are due.
func TestStoreWithoutRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		plain := func(o *balance.Options) { o.Store = struct{ azeventhubs.CheckpointStore }{o.Store} }
		a := start(t, store, "a", 32, plain)
		time.Sleep(time.Minute)
		b := start(t, store, "b", 32, plain)
		require.LessOrEqual(t, await(t, interval, 16, b), 2*time.Second)
		await(t, interval, 16, a)
		lost, handed := a.count()
		require.Equal(t, 16, lost)
		require.Zero(t, handed)
	})
}
