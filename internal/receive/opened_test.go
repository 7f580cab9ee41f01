package receive_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
)

// openings takes down what PartitionOpened and PartitionClosed are called with, and checks that they come in pairs.
type openings struct {
	openingsMu sync.Mutex
	told       []string
	open       map[string]bool
	reasons    []error
	fail       func(partition string, call int) error // nil: never
	calls      int
	wrong      []string
}

func (o *openings) options() eventhubs.ConsumerOptions {
	o.open = map[string]bool{}
	return eventhubs.ConsumerOptions{PartitionOpened: o.opened, PartitionClosed: o.closed}
}

func (o *openings) opened(_ context.Context, id string) error {
	o.openingsMu.Lock()
	defer o.openingsMu.Unlock()
	o.calls++
	if o.fail != nil {
		if err := o.fail(id, o.calls); err != nil {
			return err
		}
	}
	if o.open[id] {
		o.wrong = append(o.wrong, id+" is opened twice")
	}
	o.open[id] = true
	o.told = append(o.told, "opened "+id)
	return nil
}

func (o *openings) closed(_ context.Context, id string, reason error) {
	o.openingsMu.Lock()
	defer o.openingsMu.Unlock()
	if !o.open[id] {
		o.wrong = append(o.wrong, id+" is closed, and not open")
	}
	o.open[id] = false
	o.told = append(o.told, "closed "+id)
	o.reasons = append(o.reasons, reason)
}

// handle fails unless the partition is open.
func (o *openings) handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	o.openingsMu.Lock()
	defer o.openingsMu.Unlock()
	if !o.open[e.PartitionID] {
		o.wrong = append(o.wrong, fmt.Sprintf("event %d comes to %s, which is not open", e.SequenceNumber, e.PartitionID))
	}
	o.told = append(o.told, fmt.Sprint("event ", e.SequenceNumber))
	return nil
}

func (o *openings) list() ([]string, []error) {
	o.openingsMu.Lock()
	defer o.openingsMu.Unlock()
	return o.told, o.reasons
}

// TestPartitionIsOpenedAndClosed around its events.
func TestPartitionIsOpenedAndClosed(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", 1)
				var all openings
				all.fail = func(_ string, call int) error {
					if call < 4 {
						return errors.New("not yet")
					}
					return nil
				}
				o := all.options()
				o.Concurrency = concurrency
				var owner string
				var stored int64
				o.PartitionClosed = func(ctx context.Context, id string, reason error) {
					owner, stored = s.owner(id), s.checkpoint(id)
					if ctx.Err() != nil {
						s.Errorf("the context has ended")
					}
					all.closed(ctx, id, reason)
				}
				r := s.receive("one", o, all.handle)
				took := s.untilHandled(margin, "0", 1)
				require.Greater(s, took, 500*time.Millisecond, "it is called again after a pause")
				require.Equal(s, 2, s.log.count("level=WARN", "PartitionOpened failed", "not yet"), "the first and the second time")
				r.stop()
				told, reasons := all.list()
				require.Equal(s, []string{"opened 0", "event 0", "closed 0"}, told)
				require.Equal(s, []error{nil}, reasons)
				require.Empty(s, all.wrong)
				require.Equal(s, "one", owner, "it is ours until then")
				require.EqualValues(s, none, stored)
				require.EqualValues(s, 0, s.checkpoint("0"))
			})
		})
	}
}

// TestPartitionIsClosedHoweverItEnds once, and with the reason.
func TestPartitionIsClosedHoweverItEnds(t *testing.T) {
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, c := range map[string]struct {
		handle func(ctx context.Context) error
		end    func(s *scene, r *receiver)
		reason func(t require.TestingT, reason error)
	}{
		"Stop": {
			func(context.Context) error { return eventhubs.Stop(errors.New("no use")) }, func(*scene, *receiver) {},
			func(t require.TestingT, reason error) {
				var failed *eventhubs.HandlerError
				require.ErrorAs(t, reason, &failed)
				require.ErrorContains(t, reason, "no use")
			},
		},
		"panic": {
			func(context.Context) error { panic("oh no") }, func(*scene, *receiver) {},
			func(t require.TestingT, reason error) { require.ErrorContains(t, reason, "oh no") },
		},
		"Goexit": {
			func(context.Context) error { runtime.Goexit(); return nil }, func(*scene, *receiver) {},
			func(t require.TestingT, reason error) { require.ErrorContains(t, reason, "Goexit") },
		},
		"DrainTimeout": {
			wait, func(_ *scene, r *receiver) { r.cancel() },
			func(t require.TestingT, reason error) { require.ErrorIs(t, reason, eventhubs.ErrDraining) },
		},
		"lost": {
			wait, func(s *scene, _ *receiver) { s.steal("0") },
			func(t require.TestingT, reason error) { require.ErrorIs(t, reason, eventhubs.ErrOwnershipLost) },
		},
	} {
		for _, concurrency := range []int{1, 4} {
			t.Run(fmt.Sprint(name, " ", concurrency), func(t *testing.T) {
				bubble(t, 1, func(s *scene) {
					var all openings
					o := all.options()
					o.Concurrency = concurrency
					s.send("0", 1)
					r := s.receive("one", o, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
						_ = all.handle(ctx, e)
						return c.handle(ctx)
					})
					s.until(margin, "the event comes", func() bool { told, _ := all.list(); return len(told) > 1 })
					c.end(s, r)
					s.until(time.Minute, "the partition is closed", func() bool { _, reasons := all.list(); return len(reasons) > 0 })
					if name != "lost" { // then it is taken back
						<-r.ended
						told, _ := all.list()
						require.Equal(s, []string{"opened 0", "event 0", "closed 0"}, told)
					}
					_, reasons := all.list()
					c.reason(s, reasons[0])
					require.Empty(s, all.wrong)
				})
			})
		}
	}
}

// TestPartitionOpenedFailsForAWhile shows in the status only while it does, of a partition without events too.
func TestPartitionOpenedFailsForAWhile(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		all := openings{fail: func(_ string, call int) error {
			if call <= 6 {
				return errors.New("not yet")
			}
			return nil
		}}
		r := s.receive("one", all.options(), all.handle)
		time.Sleep(5 * time.Second)
		failing := r.partition("0").Reading
		require.NotNil(s, failing)
		require.Equal(s, "not yet", failing.Error)
		s.until(10*time.Second, "it shows no more", func() bool { return r.partition("0").Reading == nil })
		require.Equal(s, []string{"opened 0"}, all.told)
	})
}

// TestPartitionOpenedEndsReceive with Stop and with a panic: nothing is opened, so nothing is closed.
func TestPartitionOpenedEndsReceive(t *testing.T) {
	for name, fail := range map[string]func(string, int) error{
		"Stop":  func(string, int) error { return eventhubs.Stop(errors.New("no use")) },
		"panic": func(string, int) error { panic("no use") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, func(s *scene) {
				s.send("0", 1)
				all := openings{fail: fail}
				r := s.receive("one", all.options(), all.handle)
				<-r.ended
				var failed *eventhubs.HandlerError
				require.ErrorAs(s, r.err, &failed)
				require.ErrorContains(s, r.err, "PartitionOpened or PartitionClosed of partition 0")
				require.ErrorContains(s, r.err, "no use")
				require.Empty(s, all.told)
				require.Empty(s, s.owner("0"))
			})
		})
	}
}

// TestPartitionClosedPanics ends Receive, and the partition is given up all the same.
func TestPartitionClosedPanics(t *testing.T) {
	bubble(t, 1, func(s *scene) {
		s.send("0", 1)
		o := eventhubs.ConsumerOptions{PartitionClosed: func(context.Context, string, error) { panic("oh no") }}
		r := s.receive("one", o, nothing)
		s.untilHandled(margin, "0", 1)
		r.cancel()
		<-r.ended
		require.ErrorContains(s, r.err, "PartitionOpened or PartitionClosed of partition 0 panicked: oh no")
		require.EqualValues(s, 0, s.checkpoint("0"))
		require.Empty(s, s.owner("0"))
	})
}

// TestSlowPartitionOpened delays no other partition, and has DrainTimeout when Receive ends.
func TestSlowPartitionOpened(t *testing.T) {
	bubble(t, 2, func(s *scene) {
		s.send("0", 1)
		s.send("1", 1)
		closed := map[string]int{}
		o := eventhubs.ConsumerOptions{
			PartitionOpened: func(ctx context.Context, id string) error {
				if id == "0" {
					<-ctx.Done()
				}
				return nil
			},
			PartitionClosed: func(_ context.Context, id string, _ error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				closed[id]++
			},
		}
		r := s.receive("one", o, nothing)
		s.untilHandled(margin, "1", 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(s, s.calls("0"))
		require.InDelta(s, 30*time.Second, r.stop(), float64(time.Second))
		require.Equal(s, map[string]int{"0": 1, "1": 1}, closed)
	})
}
