package receive_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// keyed has handlers run concurrently, for events whose key is what is left of their sequence numbers.
func keyed(concurrency int, keys int64) eventhubs.ConsumerOptions {
	return eventhubs.ConsumerOptions{
		Concurrency: concurrency,
		Key:         func(e *eventhubs.ReceivedEvent) string { return fmt.Sprint(e.SequenceNumber % keys) },
	}
}

// busy counts the handlers that run, by key.
type busy struct {
	busyMu    sync.Mutex
	now, most int
	keys      map[string]int
	wrong     []string
}

// run notes that a handler runs, until the returned function is called.
func (b *busy) run(key string) (done func()) {
	b.busyMu.Lock()
	defer b.busyMu.Unlock()
	if b.keys == nil {
		b.keys = map[string]int{}
	}
	b.now++
	b.most = max(b.most, b.now)
	if b.keys[key]++; b.keys[key] > 1 {
		b.wrong = append(b.wrong, "two handlers of key "+key+" run")
	}
	return func() {
		b.busyMu.Lock()
		defer b.busyMu.Unlock()
		b.now--
		b.keys[key]--
	}
}

// TestConcurrentHandlers has slow handlers run together, and those of one key one after the other.
func TestConcurrentHandlers(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 400)
		o := keyed(16, 50)
		var b busy
		r := s.receive("one", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			defer b.run(o.Key(e))()
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		began := s.untilHandled(margin, "0", 1)
		took := s.untilHandled(time.Minute, "0", 400)
		require.InDelta(s, 400/16*100*time.Millisecond, took, float64(time.Second), "after %v", began)
		require.Less(s, r.stop(), time.Second)
		require.Equal(s, 16, b.most)
		require.Empty(s, b.wrong)
		next := map[int64]int64{}
		for _, sequence := range s.handledOf("0") {
			key := sequence % 50
			require.Equal(s, next[key]*50+key, sequence, "in order by key")
			next[key]++
		}
		require.EqualValues(s, 399, s.checkpoint("0"))
	})
}

// TestEventsWithoutKey are handled in any order, and the events' partition keys count if there is no Key.
func TestEventsWithoutKey(t *testing.T) {
	for name, o := range map[string]eventhubs.ConsumerOptions{
		"no partition key": {Concurrency: 8},
		"empty keys":       {Concurrency: 8, Key: func(*eventhubs.ReceivedEvent) string { return "" }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", 8)
				s.receive("one", o, func(context.Context, *eventhubs.ReceivedEvent) error {
					time.Sleep(time.Second)
					return nil
				})
				require.Less(s, s.untilHandled(margin, "0", 8), 2*time.Second)
			})
		})
	}
	t.Run("one partition key", func(t *testing.T) {
		bubble(t, 1, func(s *scene) {
			for range 8 {
				require.NoError(s, s.srv.Send(s.Context(), "hub", eventhubs.Event{PartitionKey: "same"}))
			}
			s.receive("one", eventhubs.ConsumerOptions{Concurrency: 8}, func(context.Context, *eventhubs.ReceivedEvent) error {
				time.Sleep(time.Second)
				return nil
			})
			require.GreaterOrEqual(s, s.untilHandled(time.Minute, "0", 8), 8*time.Second)
			require.Equal(s, sequences(0, 8), s.handledOf("0"))
		})
	})
}

// TestFailingKey holds up itself, and the checkpoint, and nothing else.
func TestFailingKey(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		const bad = 5
		s.send("0", 100)
		var mended atomic.Bool
		var attempts []time.Time // one at a time
		o := keyed(4, 10)
		o.LagInterval = 10 * time.Second
		r := s.receive("one", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == bad && !mended.Load() {
				attempts = append(attempts, time.Now())
				if e.Attempt != len(attempts) {
					return eventhubs.Stop(fmt.Errorf("attempt %d says it is %d", len(attempts), e.Attempt))
				}
				return errors.New("not yet")
			}
			return nil
		})
		s.untilHandled(margin, "0", 90)
		time.Sleep(time.Minute)
		require.Len(s, s.calls("0"), 90, "all but those of one key")
		require.EqualValues(s, bad-1, s.checkpoint("0"))
		p := r.partition("0")
		require.Equal(s, 90-bad, p.Ahead)
		require.Equal(s, 10, p.Fetched)
		require.EqualValues(s, 10, p.Lag.Events)
		require.EqualValues(s, bad, p.Attempt.SequenceNumber)
		require.Zero(s, p.Attempt.Since, "the next attempt is waited for")
		require.Equal(s, len(attempts), p.Attempt.Number)
		for i, pause := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
			require.InDelta(s, pause, attempts[i+1].Sub(attempts[i]), float64(pause)/4, "give or take a quarter")
		}
		mended.Store(true)
		s.untilHandled(time.Minute, "0", 100)
		s.until(2*eventhubsCheckpoint, "the checkpoint covers all", func() bool { return s.checkpoint("0") == 99 })
	})
}

// eventhubsCheckpoint is the default CheckpointInterval.
const eventhubsCheckpoint = 10 * time.Second

// TestFailingKeysTakeNoWorkers has more keys fail than handlers may run.
func TestFailingKeysTakeNoWorkers(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 100)
		o := keyed(4, 100)
		o.Backoff = func(int, error) time.Duration { return time.Hour }
		s.receive("one", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber < 20 && e.Attempt == 1 {
				return errors.New("not yet")
			}
			return nil
		})
		s.untilHandled(margin, "0", 80)
		s.untilHandled(2*time.Hour, "0", 100)
	})
}

// TestRetryWhileAnotherHandlerRuns has an event be tried again beside a handler that takes long.
func TestRetryWhileAnotherHandlerRuns(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 2)
		s.receive("one", keyed(2, 2), func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			switch {
			case e.SequenceNumber == 1:
				time.Sleep(20 * time.Second)
			case e.Attempt == 1:
				return errors.New("not yet")
			}
			return nil
		})
		require.Less(s, s.untilHandled(margin, "0", 1), time.Second)
	})
}

// TestMaxAhead holds the partition at its oldest event, and says so.
func TestMaxAhead(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 100)
		o := keyed(4, 100)
		o.MaxAhead = 20
		release := make(chan struct{})
		r := s.receive("one", o, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 3 {
				select {
				case <-release:
				case <-ctx.Done(): // the test has failed
				}
			}
			return nil
		})
		s.untilHandled(margin, "0", 3+19)
		time.Sleep(10 * stallAfter)
		require.Len(s, s.calls("0"), 3+19, "20 events from the oldest on, which runs")
		require.Equal(s, 19, r.partition("0").Ahead)
		require.Equal(s, 1, r.partition("0").Fetched)
		lines := s.log.find("level=WARN", "MaxAhead", "partition=0", "sequence=3")
		require.Len(s, lines, 4, "at growing intervals")
		require.Len(s, s.stalls(), 4, "it is the oldest that has stalled")
		require.Equal(s, 4, s.log.count("the handler has stalled", "sequence=3", "attempt=1"))
		close(release)
		s.untilHandled(margin, "0", 100)
		require.Len(s, s.log.find("MaxAhead"), 4)
	})
}

// TestMaxAheadOfASlowHandler says nothing while the window moves.
func TestMaxAheadOfASlowHandler(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 100)
		o := keyed(2, 100)
		o.MaxAhead = 4
		s.receive("one", o, func(context.Context, *eventhubs.ReceivedEvent) error {
			time.Sleep(stallAfter - time.Second)
			return nil
		})
		s.untilHandled(100*stallAfter, "0", 100)
		require.Zero(s, s.log.count("MaxAhead"))
		require.Empty(s, s.stalls())
	})
}

// TestDrainClosesGaps has what is completed be covered by the last checkpoint: what comes before it is finished.
func TestDrainClosesGaps(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 13)
		release := make(chan struct{})
		r := s.receive("one", keyed(4, 5), func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 2 {
				<-release
			}
			return nil
		})
		s.untilHandled(margin, "0", 10) // but for 2, 7 and 12
		time.AfterFunc(5*time.Second, func() { close(release) })
		require.InDelta(s, 5*time.Second, r.stop(), float64(time.Second))
		require.EqualValues(s, 11, s.checkpoint("0"), "7 was finished, since 11 is completed")
		require.Len(s, s.calls("0"), 12, "nothing waits for 12")
	})
}

// TestDrainTriesAgain has an event that has failed be handled at the end, since later ones are completed.
func TestDrainTriesAgain(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 10)
		o := keyed(4, 10)
		o.Backoff = func(attempt int, _ error) time.Duration {
			return map[bool]time.Duration{true: time.Hour, false: time.Second}[attempt == 1]
		}
		r := s.receive("one", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 4 && e.Attempt < 4 {
				return errors.New("not yet")
			}
			return nil
		})
		s.untilHandled(margin, "0", 9)
		require.InDelta(s, 2*time.Second, r.stop(), float64(time.Second), "at once, and after a second twice")
		require.EqualValues(s, 9, s.checkpoint("0"))
	})
}

// TestDrainGivesUp an event whose next attempt would come too late, and one that no later one waits for.
func TestDrainGivesUp(t *testing.T) {
	for bad, want := range map[int64]int64{4: 3, 9: 8} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", 10)
				o := keyed(4, 10)
				o.Backoff = func(int, error) time.Duration { return time.Minute }
				var attempts atomic.Int64
				r := s.receive("one", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
					if e.SequenceNumber == bad {
						attempts.Add(1)
						return errors.New("never")
					}
					return nil
				})
				s.untilHandled(margin, "0", 9)
				synctest.Wait()
				require.Less(s, r.stop(), time.Second)
				require.Equal(s, want, s.checkpoint("0"))
				require.EqualValues(s, map[bool]int{true: 2, false: 1}[bad == 4], attempts.Load())
			})
		})
	}
}

// TestConcurrentHandlersEndReceive in each way, and what comes before is covered.
func TestConcurrentHandlersEndReceive(t *testing.T) {
	const bad = 6
	for name, c := range map[string]struct {
		end  func() error
		want string
	}{
		"Stop":    {func() error { return eventhubs.Stop(errors.New("no use")) }, "no use"},
		"panic":   {func() error { panic("oh no") }, "panicked: oh no"},
		"Goexit":  {func() error { runtime.Goexit(); return nil }, "runtime.Goexit was called"},
		"Backoff": {func() error { return errors.New("given up") }, "given up"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", 10)
				o := keyed(4, 10)
				o.Backoff = func(int, error) time.Duration { return -1 }
				r := s.receive("one", o, func(_ context.Context, e *eventhubs.ReceivedEvent) error {
					switch e.SequenceNumber {
					case 3:
						time.Sleep(10 * time.Second)
					case bad:
						return c.end()
					}
					return nil
				})
				<-r.ended
				var failed *eventhubs.HandlerError
				require.ErrorAs(s, r.err, &failed)
				require.ErrorContains(s, r.err, c.want)
				require.EqualValues(s, bad, failed.SequenceNumber)
				require.EqualValues(s, bad-1, s.checkpoint("0"), "up to the event before it")
				require.Empty(s, s.owner("0"))
			})
		})
	}
}

// TestKeyPanics ends Receive as a handler's panic does.
func TestKeyPanics(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 10)
		o := keyed(4, 10)
		o.Key = func(e *eventhubs.ReceivedEvent) string {
			if e.SequenceNumber == 5 {
				panic("no key")
			}
			return ""
		}
		r := s.receive("one", o, nothing)
		<-r.ended
		var failed *eventhubs.HandlerError
		require.ErrorAs(s, r.err, &failed)
		require.Equal(s, "no key", failed.Panic)
		require.EqualValues(s, 5, failed.SequenceNumber)
	})
}

// TestConcurrentHandOver has a consumer join while handlers run: nothing is repeated.
func TestConcurrentHandOver(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		s.send("0", 400)
		s.send("1", 400)
		slow := func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			time.Sleep(time.Duration(e.SequenceNumber%7) * time.Second)
			return nil
		}
		s.receive("one", keyed(8, 30), slow)
		s.untilHandled(10*time.Minute, "0", 50)
		s.receive("two", keyed(8, 30), slow)
		s.untilHandled(10*time.Minute, "0", 400)
		s.untilHandled(10*time.Minute, "1", 400)
		time.Sleep(time.Minute)
		for _, id := range []string{"0", "1"} {
			calls := s.calls(id)
			require.Len(s, calls, 400, "nothing is repeated")
			require.EqualValues(s, 399, s.checkpoint(id))
		}
		require.NotEqual(s, s.owner("0"), s.owner("1"))
	})
}

// TestConcurrentOwnershipLost cancels all handlers of the partition, and begins none.
func TestConcurrentOwnershipLost(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 100)
		causes := make(chan error, 3)
		var begun atomic.Int64
		s.receive("one", keyed(3, 100), func(ctx context.Context, _ *eventhubs.ReceivedEvent) error {
			if begun.Add(1) > 3 {
				return nil
			}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return ctx.Err()
		})
		s.until(margin, "handlers run", func() bool { return begun.Load() == 3 })
		s.steal("0")
		for range 3 {
			require.ErrorIs(s, <-causes, eventhubs.ErrOwnershipLost)
		}
		synctest.Wait()
		require.EqualValues(s, 3, begun.Load())
		require.EqualValues(s, none, s.checkpoint("0"))
	})
}

// TestHubIsReplacedWhileHandlersRun has reading restart only when those of the old hub's events have returned: their
// places in the partition mean nothing in the new one.
func TestHubIsReplacedWhileHandlersRun(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 100)
		var old atomic.Bool
		old.Store(true)
		r := s.receive("one", keyed(4, 100), func(_ context.Context, e *eventhubs.ReceivedEvent) error {
			if e.SequenceNumber == 50 && old.Load() {
				time.Sleep(5 * time.Minute)
				old.Store(false)
			}
			return nil
		})
		s.untilHandled(margin, "0", 99)
		s.replace(1)
		s.send("0", 10)
		time.Sleep(4 * time.Minute)
		require.Len(s, s.calls("0"), 99, "the handler runs")
		s.untilHandled(5*time.Minute, "0", 110)
		require.Equal(s, sequences(0, 10), s.handledOf("0")[100:])
		r.stop()
		require.EqualValues(s, 9, s.checkpoint("0"))
	})
}
