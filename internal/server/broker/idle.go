package broker

import (
	"sync"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// publisherIdle is how long a link stays open without an event being sent, as on Azure (azure-event-hubs-node #40 and
// #44, fe2o3-amqp #200).
const publisherIdle = 30 * time.Minute

// connectionIdle is how long a connection without links for events stays open, as on Azure (azure-sdk-for-java #13785,
// #18593 and #41535). Links to $management do not keep it open (azure-sdk-for-js #25940). Whether requests on them do
// is not known; here they do.
const connectionIdle = 5 * time.Minute

// idleTimer ends a link that has not been used for a while.
type idleTimer struct {
	after time.Duration
	end   func()

	usedMu  sync.Mutex
	used    time.Time
	timer   *time.Timer
	stopped bool
}

// newIdleTimer starts the timer of a link. The link counts as used now.
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

// expire ends the link, or keeps waiting if the link was used meanwhile.
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

// expired detaches the link of an idle publisher.
func (s *publisher) expired() {
	s.peer.detach(s.link, amqp.Errorf(amqp.CondDetachForced, "The link '%s' is force detached. Code: publisher(link%d). "+
		"Details: AmqpEventHubPublisher.IdleTimerExpired: Idle timeout: 00:30:00. TrackingId:%s",
		s.link.Name, s.peer.id, trackingID()))
}

// linkless closes a connection that has had no link for events, and no other use, for a while. Its clock starts with
// the first token.
type linkless struct {
	close func()

	countMu sync.Mutex
	links   int
	timer   *time.Timer // nil: the clock does not run
	ended   bool
}

// count changes the number of links, and starts or stops the clock.
func (n *linkless) count(by int) {
	n.countMu.Lock()
	defer n.countMu.Unlock()
	n.links += by
	switch {
	case n.timer != nil && n.links > 0:
		n.timer.Stop()
		n.timer = nil
	case n.timer == nil && n.links == 0 && !n.ended:
		n.timer = time.AfterFunc(connectionIdle, n.close)
	}
}

// use restarts the clock if it runs.
func (n *linkless) use() {
	n.countMu.Lock()
	defer n.countMu.Unlock()
	if n.timer != nil {
		n.timer.Reset(connectionIdle)
	}
}

// end stops the clock for good.
func (n *linkless) end() {
	n.countMu.Lock()
	defer n.countMu.Unlock()
	n.ended = true
	if n.timer != nil {
		n.timer.Stop()
	}
}

// closeLinkless closes a connection that has had no link for a while.
func (p *peer) closeLinkless() {
	p.conn.Close(amqp.Errorf(amqp.CondConnectionForced, "The connection was closed by container '%s' because it did not "+
		"have any active links in the past %d milliseconds. TrackingId:%s",
		trackingID(), connectionIdle.Milliseconds(), trackingID()))
}
