package balance

import (
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// trouble is calls that have failed, with no success since.
type trouble struct {
	failures int
	since    time.Time // when the first of them began
	last     time.Time // when the last of them failed
	err      error
}

// calls are the calls of the store of one kind.
type calls struct {
	what     string
	underWay int  // claims that are
	answered bool // one has succeeded
	trouble  trouble
}

func (l *Loop) longestPause() time.Duration { return min(lastPause, l.o.Expiration/4) }

// pause returns how long to wait after a number of failures. No claim expires in it.
func (l *Loop) pause(failures int) time.Duration {
	return retry.Jitter(retry.Exponential(firstPause, l.longestPause(), failures))
}

// gap is how far apart two failures in one outage may be: a pause, and a call that hangs.
func (l *Loop) gap() time.Duration { return l.bound + 2*l.longestPause() }

// fail notes a failure. Failures that are further apart say nothing of the time in between: the process may have been
// paused, and then a call that was under way fails.
func (l *Loop) fail(t *trouble, began time.Time, err error) {
	now := time.Now()
	if now.Sub(t.last) > l.gap() {
		*t = trouble{since: began}
	}
	t.failures++
	t.last, t.err = now, err
}

// isDown reports whether the store is known not to answer. One failure says too little: see fail.
func (l *Loop) isDown(t trouble) bool { return t.failures > 1 && time.Since(t.last) <= l.gap() }

// takeOutcome takes in how a call of the store has ended, and reports whether it failed. Failures are logged at growing
// intervals. A permanent one ends Run, unless a call of its kind has succeeded before. stateMu is held,
// here and in what follows.
func (l *Loop) takeOutcome(c *calls, began time.Time, err error) bool {
	t := &c.trouble
	if err == nil {
		if t.failures > 0 {
			after := retry.Text(time.Since(t.since))
			l.log(slog.LevelInfo, "eventhubs: the checkpoint store answers again", "call", c.what, "after", after)
		}
		if t.failures > 0 && c == &l.listing {
			l.retryRenewals()
		}
		c.answered, c.trouble = true, trouble{}
		return false
	}
	switch {
	case l.ending: // it may have been cut off
	case !c.answered && l.o.Refused != nil && l.o.Refused(err):
		if c.underWay == 0 { // otherwise the last of them decides
			l.refused = err
		}
	default:
		l.fail(t, began, err)
		l.warn(c, err)
	}
	return true
}

func (l *Loop) warn(c *calls, err error) {
	if !retry.Worth(c.trouble.failures) {
		return
	}
	attrs := []any{"call", c.what, "failures", c.trouble.failures, "error", err}
	if l.o.Role != nil && l.o.Role(err) != "" {
		attrs = append(attrs, "role", l.o.Role(err))
	}
	l.log(slog.LevelWarn, "eventhubs: the checkpoint store fails: retrying, while reading continues", attrs...)
}

// forgive makes the claims that were listed younger by the time in which the store did not answer us. In an outage
// nobody can renew claims, but everybody reads on. If it lasts longer than claims do, each consumer would afterwards
// find all claims expired, and take partitions from consumers that are reading them. Whoever is alive renews its
// claims within an Expiration of an outage's end.
func (l *Loop) forgive(records map[string]azeventhubs.Ownership, now time.Time) {
	since := l.listing.trouble.since // zero: it answered
	failing, ok := l.writesFail()
	if ok || l.unwritten {
		since = sooner(since, later(failing, l.listedAt))
	}
	l.unwritten, l.listedAt = ok, now
	for id, r := range records {
		if before := l.known[id]; sameETag(before.ETag, r.ETag) {
			r.LastModifiedTime = before.LastModifiedTime // with what was forgiven then
		}
		if !since.IsZero() {
			r.LastModifiedTime = r.LastModifiedTime.Add(now.Sub(later(since, r.LastModifiedTime)))
		}
		records[id] = r
	}
}

// writesFail reports whether, and since when, the store is listed but not written: every claim of ours fails. If
// there is but one, its record may be what is wrong, and nobody would take over from the dead.
func (l *Loop) writesFail() (since time.Time, ok bool) {
	for _, p := range l.partitions {
		if p.claim != nil && p.trouble.failures == 0 {
			return since, false
		} else if p.claim != nil {
			since = later(since, p.trouble.since)
		}
	}
	return since, l.held > 1
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
