package receive

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// workers handle the events of one partition, up to Concurrency at once, in goroutines that last as long as the reader.
// They start when they are first needed. Whoever takes an event and leaves others wakes one more, so that a handler
// that does next to nothing does not wake all of them.
type workers struct {
	reader *reader
	wake   chan struct{}   // holds a token when an event may be begun, and a worker is idle
	moved  chan struct{}   // holds a token when the reader has to look at the window again
	ctx    context.Context // of the handlers; ends when no more are called, too
	end    context.CancelFunc
	all    sync.WaitGroup

	// The progress's progressMu guards what follows.
	window  *window
	started int
	idle    int
	awaited bool        // the reader waits for moved
	again   *time.Timer // calls resume when an event may be tried again
}

func newWorkers(r *reader) *workers {
	c := &workers{
		reader: r, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		window: newWindow(r.engine.options.MaxAhead),
	}
	c.ctx, c.end = context.WithCancel(r.handling)
	c.again = time.AfterFunc(time.Hour, c.resume)
	c.again.Stop()
	r.done.locked(func() { r.done.work.window = c.window })
	return c
}

// token puts a token into a channel, unless it holds one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// add has events handled. It waits while there are too many that are not completed, and returns false when the reader
// has to end.
func (c *workers) add(events []*azeventhubs.ReceivedEventData) bool {
	r := c.reader
	for len(events) > 0 {
		n := c.awaitRoom()
		if n == 0 {
			return false
		}
		some := events[:min(len(events), n)]
		for i := range some {
			if !c.fill(c.window.free(i), some[i:i+1]) {
				return false
			}
		}
		events = events[len(some):]
		r.at = after(some[len(some)-1].SequenceNumber)
		r.done.locked(func() {
			for range some {
				c.window.add()
			}
			c.share()
		})
	}
	return true
}

// fill puts an event into a free place. It returns false if its key can't be told, because the function for that has
// panicked.
func (c *workers) fill(s *slot, event []*azeventhubs.ReceivedEventData) bool {
	r, e := c.reader, event[0]
	if s.handler == nil {
		s.handler = r.engine.options.NewHandler()
	}
	s.at = processed{e.SequenceNumber, e.Offset}
	s.handler.Fill(r.id, event)
	err := r.guard(e.SequenceNumber, func() error {
		s.key = s.handler.Key(0)
		return nil
	})
	return err == nil || !r.endIfPermanent(err, e.SequenceNumber)
}

// await waits until something is so, which is asked under the lock. It returns false if fetch ends before.
func (c *workers) await(so func() bool) bool {
	for {
		var is bool
		c.reader.done.locked(func() { is = so(); c.awaited = !is })
		if is {
			return true
		}
		select {
		case <-c.moved:
		case <-c.reader.fetch.Done():
			return false
		}
	}
}

// awaitRoom waits until events can be added, and returns how many. 0: fetch has ended.
func (c *workers) awaitRoom() (n int) {
	c.await(func() bool {
		if n = c.window.room(); n == 0 {
			c.window.hold(time.Now())
			return false
		}
		c.window.held = attempt{}
		return true
	})
	return n
}

// settle waits until all events are completed. It returns false if fetch ends before.
func (c *workers) settle() bool {
	return c.await(func() bool { return c.window.oldest == c.window.next })
}

// share wakes a worker, or starts one, if there is an event for it, and the reader if it waits and has reason to look.
// The lock is held.
func (c *workers) share() {
	more := c.mayBegin() && c.window.more()
	switch {
	case more && c.idle > 0:
		token(c.wake)
	case more && c.started < c.reader.engine.options.Concurrency:
		c.started++
		c.all.Go(c.work)
	}
	// While there are events to take, the reader sleeps until there is room for many.
	if c.awaited && (!more || c.window.room() >= len(c.window.slots)/8) {
		token(c.moved)
	}
}

// work handles events until the workers end.
func (c *workers) work() {
	var at clock
	var s *slot
	defer func() { c.left(s) }() // a handler may end its goroutine, as testing's FailNow does
	for {
		if s == nil {
			if s = c.wait(&at); s == nil {
				return
			}
		}
		err := c.reader.call(c.ctx, s.handler, 0, 1, s.attempt.number, s.at.sequence)
		if err == nil {
			s = c.completed(s, &at)
			continue
		}
		c.failed(s, err)
		s = nil
	}
}

// wait returns an event as soon as there is one, or nil when the workers end.
func (c *workers) wait(at *clock) *slot {
	p := c.reader.done
	for {
		at.now = time.Now()
		if !c.reader.awaitOwnership(c.ctx, at) {
			return nil
		}
		var s *slot
		p.locked(func() {
			if s = c.take(at.now); s == nil {
				c.idle++
			}
		})
		if s != nil {
			return s
		}
		select {
		case <-c.wake:
		case <-c.ctx.Done():
			return nil
		}
		p.locked(func() { c.idle-- })
	}
}

// mayBegin reports whether events are still begun. Once fetch has ended, that waits for drain. The lock is held.
func (c *workers) mayBegin() bool {
	return c.ctx.Err() == nil && (c.reader.fetch.Err() == nil || !c.window.drainBy.IsZero())
}

// take takes an event, if there is one that may be begun. The lock is held.
func (c *workers) take(now time.Time) (s *slot) {
	if c.mayBegin() {
		s = c.window.take(now)
	}
	c.share()
	return s
}

// completed notes that an event is completed, and returns the next one if there is one already.
func (c *workers) completed(s *slot, at *clock) (next *slot) {
	p := c.reader.done
	s.handler.Fill(c.reader.id, nil) // lets go of the event
	at.now = time.Now()
	certain := c.reader.isCertain(at)
	p.progressMu.Lock()
	tried := s.attempt
	changed := false
	if upTo, n := c.window.complete(s); n > 0 {
		changed = p.advance(upTo, n, at.now)
	}
	if certain {
		next = c.take(at.now)
	} else {
		c.share()
	}
	p.progressMu.Unlock()
	p.returned(tried, at.now)
	if changed {
		p.owner.change()
	}
	return next
}

// failed decides about an event whose handler has failed.
func (c *workers) failed(s *slot, err error) {
	p, sequence := c.reader.done, s.at.sequence
	p.attemptFailed(&s.attempt, err)
	wait, again := c.reader.decide(err, s.attempt.number, sequence)
	now := time.Now()
	p.locked(func() {
		if again {
			c.window.retry(s, now.Add(wait))
			c.resumeAt(now)
		} else {
			c.window.abandon(s)
		}
		c.share()
	})
}

// resume has those events handled again whose pauses are over.
func (c *workers) resume() { c.reader.done.locked(func() { c.resumeAt(time.Now()); c.share() }) }

func (c *workers) resumeAt(now time.Time) {
	if next := c.window.resume(now); !next.IsZero() && c.mayBegin() {
		c.again.Reset(next.Sub(now))
	}
}

// left notes that a worker has ended, with an event if its handler has ended the goroutine. Then another worker may
// take its place: earlier events may have to be finished.
func (c *workers) left(s *slot) {
	c.reader.done.locked(func() {
		if s != nil {
			c.started--
			c.window.abandon(s)
		}
		c.share()
	})
}

// drain finishes what has begun, and what is needed so that the completed prefix has no gap, as long as handlers may
// run. It returns when all workers have ended.
func (c *workers) drain() {
	by := time.Now().Add(max(c.reader.engine.options.DrainTimeout, 0))
	c.reader.done.locked(func() { c.window.drain(by); c.share() })
	late := c.ctx.Done()
	for c.isBusy() {
		select {
		case <-c.moved:
		case <-late:
			late = nil
		}
	}
	c.end()
	c.all.Wait()
	c.again.Stop()
}

// isBusy reports whether there is something to wait for at the end.
func (c *workers) isBusy() (busy bool) {
	c.reader.done.locked(func() {
		c.awaited = true
		busy = c.window.running > 0 || c.ctx.Err() == nil && c.window.unfinished()
	})
	return busy
}
