package simulate_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// lookEvery is how often the stored checkpoints are looked at, and unreadEvery is how often unhandled events are
	// looked for.
	lookEvery, unreadEvery = 15 * time.Second, 5 * time.Minute
	// unreadBound is how long an event may stay unhandled once no storm rages. A link that has gone silent is noticed
	// after eight minutes, and consumers that are killed leave their partitions to others after one.
	unreadBound = 20 * time.Minute
)

// watch looks at what can be seen from outside, until ctx ends.
func (s *simulation) watch(ctx context.Context) {
	for i := 1; sleep(ctx, lookEvery); i++ {
		s.clock.ticks()
		s.look(ctx)
		if i%int(unreadEvery/lookEvery) == 0 {
			s.findUnread()
		}
	}
}

// look looks at the stored checkpoints.
func (s *simulation) look(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	list, err := s.store.ListCheckpoints(looking, s.address(), hub, group, nil)
	if err != nil {
		return // storage is down
	}
	for _, c := range list {
		s.judge.sees(c.PartitionID, *c.SequenceNumber)
	}
}

// findUnread accuses the library if events wait for long although nothing is wrong.
func (s *simulation) findUnread() {
	calm, ok := s.calmSince()
	if !ok || time.Since(calm) < unreadBound {
		return
	}
	var old []place
	for _, e := range s.server.AllEvents(hub) {
		if time.Since(e.EnqueuedTime) > unreadBound {
			old = append(old, place{e.PartitionID, e.SequenceNumber})
		}
	}
	for _, p := range s.judge.missing(old) {
		s.judge.accuses(hung, &p, "nobody has handled it for %v, although all was well since %v",
			unreadBound, calm.Sub(s.judge.began))
	}
}

// trouble notes that something is wrong until over is called.
func (s *simulation) trouble() (over func()) {
	s.troubleMu.Lock()
	defer s.troubleMu.Unlock()
	s.troubles++
	return func() {
		s.troubleMu.Lock()
		defer s.troubleMu.Unlock()
		s.troubles--
		s.troubled = time.Now()
	}
}

// calmSince returns the time since when nothing is wrong. ok is false while something is wrong.
func (s *simulation) calmSince() (since time.Time, ok bool) {
	s.troubleMu.Lock()
	defer s.troubleMu.Unlock()
	return s.troubled, s.troubles == 0
}

// clock tells code outside the bubble that virtual time passes. Virtual time stands still for good when a goroutine
// waits for a mutex whose holder waits for virtual time, and the test would hang silently.
type clock struct{ beats atomic.Int64 }

// standstill is how much real time may pass without a beat, on a busy machine too.
const standstill = 2 * time.Minute

func (c *clock) ticks() { c.beats.Add(1) }

// watch ends the program when virtual time stands still, until stop is called. It is called outside the bubble.
func (c *clock) watch(seed uint64) (stop func()) {
	stopped := make(chan struct{})
	go func() {
		last, since := int64(-1), time.Now()
		for {
			select {
			case <-stopped:
				return
			case <-time.After(time.Second):
			}
			if now := c.beats.Load(); now != last {
				last, since = now, time.Now()
			}
			if time.Since(since) > standstill {
				fmt.Printf("%s\nsimulate: FAILED: seed=%d virtual=%v: time stands still\n",
					notBlocked(), seed, time.Duration(last)*lookEvery)
				os.Exit(1)
			}
		}
	}()
	return func() { close(stopped) }
}

// notBlocked returns the stacks of the bubble's goroutines that keep virtual time from advancing.
func notBlocked() string {
	buf := make([]byte, 64<<20)
	var kept []string
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		first, _, _ := strings.Cut(stack, "\n")
		if strings.Contains(first, "synctest bubble") && !strings.Contains(first, "(durable)") {
			kept = append(kept, stack)
		}
	}
	return strings.Join(kept, "\n\n")
}
