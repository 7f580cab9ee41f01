//go:build unix

package main

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// result is the outcome of a run.
type result struct {
	counts
	sent    int64
	handled int64
	seconds float64
}

// String is what the last line says after "ok" or "failed".
func (r result) String() string {
	return fmt.Sprintf("sent=%d handled=%d lost=%d out_of_order=%d repeated_after_clean_stop=%d "+
		"repeated=%d repeated_by=%v "+
		"longest_unread=%v stored_twice=%d rate=%.0f/s",
		r.sent, r.handled, r.lost, r.outOfOrder, r.repeatedClean+r.uncovered, r.repeated, r.by,
		r.unread.Round(time.Millisecond), r.storedTwice, math.Round(float64(r.handled)/r.seconds))
}

// verdict returns an error if a guarantee was broken.
func (r result) verdict() error {
	switch {
	case r.lost > 0:
		return errors.New("events were lost")
	case r.outOfOrder > 0:
		return errors.New("events were out of order")
	case r.repeatedClean > 0:
		return errors.New("events were repeated although consumers only joined, and were stopped cleanly")
	case r.by[byJoin] > 0:
		return errors.New("events were repeated although nothing had happened except that consumers joined")
	case r.uncovered > 0:
		return errors.New("events were handled that no checkpoint covers after consumers were stopped cleanly")
	case r.sent == 0 || r.handled < r.sent:
		return errors.New("fewer events were handled than sent")
	}
	return nil
}

// result is the outcome so far. The causes of the last repeats may not be known before the end of the run.
func (s *soak) result() result {
	c, _ := s.judge.snapshot()
	if s.ended.IsZero() {
		s.ended = time.Now()
	}
	return result{
		counts: c, sent: s.producer.sent.Load(), handled: s.judge.handledEvents(), seconds: s.ended.Sub(s.began).Seconds(),
	}
}

func (s *soak) sayProgress() {
	s.judge.explain(time.Now().Add(-quiet))
	say("%v: %v", time.Since(s.began).Round(time.Second), s.result())
	s.ended = time.Time{}
}

// sayDetails says what the last line has no room for.
func (s *soak) sayDetails() {
	c, problems := s.judge.snapshot()
	for _, p := range problems {
		say("problem: %s", p)
	}
	say("done: %v; processes=%d gave_up_at_start=%d take_overs=%d handler_retries=%d failed_sends=%d",
		s.chaos, s.fleet.number.Load(), s.fleet.gaveUp.Load(), c.takeOvers, c.retried, s.producer.failed.Load())
	say("longest unread: partition %d for %v, to %v after the beginning; before that:",
		c.unreadOf, c.unread.Round(time.Millisecond), c.unreadTo.Sub(s.began).Round(time.Millisecond))
	for _, line := range s.chaos.before(c.unreadTo, c.unread+expiration) {
		say("  %s", line)
	}
	say("this process, with the namespace in it: %v at the beginning, %v at the end", s.before, newUsage())
}
