package broker

import (
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// publisherIdle is how long a link stays open on which nothing is sent, as on Azure (azure-event-hubs-node #40 and #44,
// fe2o3-amqp #200).
const publisherIdle = 30 * time.Minute

// idleTimer ends a link that is not used for a time.
type idleTimer struct {
	after time.Duration
	end   func()

	usedMu  sync.Mutex
	used    time.Time
	timer   *time.Timer
	stopped bool
}

// newIdleTimer starts with a link that is used now.
func newIdleTimer(after time.Duration, end func()) *idleTimer {
	t := &idleTimer{after: after, end: end, used: time.Now()}
	t.usedMu.Lock()
	defer t.usedMu.Unlock()
	t.timer = time.AfterFunc(after, t.expire)
	return t
}

// use is called when the link is used.
func (t *idleTimer) use() {
	t.usedMu.Lock()
	defer t.usedMu.Unlock()
	t.used = time.Now()
}

// stop is called when the link has ended.
func (t *idleTimer) stop() {
	t.usedMu.Lock()
	defer t.usedMu.Unlock()
	t.stopped = true
	t.timer.Stop()
}

// expire ends the link, or waits on if it was used since.
func (t *idleTimer) expire() {
	if t.due() {
		t.end()
	}
}

func (t *idleTimer) due() bool {
	t.usedMu.Lock()
	defer t.usedMu.Unlock()
	if t.stopped {
		return false
	}
	if left := t.after - time.Since(t.used); left > 0 {
		t.timer.Reset(left)
		return false
	}
	return true
}

// expired detaches the link of a publisher that is idle.
func (s *publisher) expired() {
	s.peer.detach(s.link, amqp.Errorf(amqp.CondDetachForced, "The link '%s' is force detached. Code: publisher(link%d). "+
		"Details: AmqpEventHubPublisher.IdleTimerExpired: Idle timeout: 00:30:00. TrackingId:%s",
		s.link.Name, s.peer.id, trackingID()))
}
