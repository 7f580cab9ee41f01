package simulate_test

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// draws returns a source of random numbers for one goroutine. The seed and the name decide what it draws, whatever
// other goroutines do meanwhile.
func (s *simulation) draws(name string) random {
	h := fnv.New64a()
	h.Write([]byte(name))
	return random{rand.New(rand.NewPCG(s.seed, h.Sum64()))}
}

// random draws. Only one goroutine may use it.
type random struct{ source *rand.Rand }

// upTo draws a whole number below n.
func (r random) upTo(n int) int { return r.source.IntN(n) }

// oneIn reports true once in n times.
func (r random) oneIn(n int) bool { return r.source.IntN(n) == 0 }

// time draws a duration below d.
func (r random) time(d time.Duration) time.Duration { return time.Duration(r.source.Int64N(int64(d))) }

// one draws an element of a list.
func one[T any](r random, list []T) T { return list[r.upTo(len(list))] }

// sleep returns false, and early, when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
