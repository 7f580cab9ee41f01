package lease

import (
	"context"
	"time"
)

// dating is how much older than it is a claim may look to others: blobs are dated in whole seconds.
const dating = time.Second

// life is how long nobody else takes a partition whose claim isn't renewed.
func (s *Store) life() time.Duration { return s.Expiration - min(dating, s.Expiration/2) }

// Await waits until it is certain that a partition is ours, and returns false if it was lost, or ctx ends first. It isn't certain when the claim has expired, and no call
// of the store has failed that could have renewed it: then this process was paused, and somebody else may have taken the partition meanwhile.
func (s *Store) Await(ctx context.Context, partition string) bool {
	for {
		s.mu.Lock()
		h := s.held[partition]
		certain := h != nil && (time.Since(h.seen) <= s.life() || s.failing > 0)
		changed := s.changed
		s.mu.Unlock()
		if h == nil || certain {
			return certain
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// change lets those look again who Await. The lock is held.
func (s *Store) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// fails notes that a call of the store has failed more than once, or doesn't fail any more. A call that was under way when the process was paused fails once.
func (s *Store) fails(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing += by
	s.change()
}
