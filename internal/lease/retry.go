package lease

import (
	"context"
	"errors"
	"math/bits"
	"math/rand/v2"
	"time"
)

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// retry calls the store until it succeeds or ctx ends. It says what goes on at growing intervals.
func (s *Store) retry(ctx context.Context, what string, call func(context.Context) error) error {
	began := time.Now()
	for attempt := uint(1); ; attempt++ {
		err := s.once(ctx, call)
		if err == nil {
			if attempt > 1 {
				s.over(began)
				s.Logger.Info("eventhubs: the checkpoint store answers again", "what", what, "after", time.Since(began))
			}
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if s.Final != nil && s.Final(err) {
			return err
		}
		if attempt == 2 {
			s.fails(1)
			defer s.fails(-1)
		}
		if bits.OnesCount(attempt) == 1 { // the 1st, 2nd, 4th, …
			s.Logger.Warn("eventhubs: the checkpoint store fails, and is tried again: reading goes on meanwhile", "what", what, "attempt", attempt, "error", err)
		}
		if !s.pause(ctx, attempt) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (s *Store) once(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.CallTimeout)
	defer cancel()
	return call(ctx)
}

// pause waits between two tries: twice as long each time, give or take a quarter, but never so long that a claim expires in it.
func (s *Store) pause(ctx context.Context, attempt uint) bool {
	d := min(lastPause, s.Expiration/4)
	if attempt < 8 {
		d = min(firstPause<<(attempt-1), d)
	}
	t := time.NewTimer(d*3/4 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
