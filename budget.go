package eventhubs

import (
	"container/list"
	"context"
	"sync"
)

// budget bounds what is on its way: who wants more than there is waits, in turn.
type budget struct {
	mu      sync.Mutex
	free    int
	waiting list.List // of *waiter
}

type waiter struct {
	want    int
	granted chan struct{}
}

// acquire takes n, and waits until it is there. More than the whole budget counts as the whole.
func (b *budget) acquire(ctx context.Context, n int) error {
	b.mu.Lock()
	if b.waiting.Len() == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	place := b.waiting.PushBack(w)
	b.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.granted: // at the same moment
		b.free += n
	default:
		b.waiting.Remove(place)
	}
	b.grant()
	return context.Cause(ctx)
}

// release gives n back.
func (b *budget) release(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.grant()
}

func (b *budget) grant() {
	for e := b.waiting.Front(); e != nil; e = b.waiting.Front() {
		w := e.Value.(*waiter)
		if b.free < w.want {
			return
		}
		b.free -= w.want
		b.waiting.Remove(e)
		close(w.granted)
	}
}
