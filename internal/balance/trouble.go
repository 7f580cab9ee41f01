package balance

import (
	"log/slog"
	"slices"
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

// fails notes that a call of the store has failed, and logs it at growing intervals. claimsMu is held.
func (l *Loop) fails(t *trouble, call string, began time.Time, err error) {
	if l.fail(t, began, err); retry.Worth(t.failures) {
		l.log(slog.LevelWarn, "eventhubs: the checkpoint store fails, and is called again: reading continues meanwhile",
			"call", call, "failures", t.failures, "error", err)
	}
}

// works notes that a call of the store has succeeded. claimsMu is held.
func (l *Loop) works(t *trouble, call string) {
	if t.failures > 0 {
		after := retry.Text(time.Since(t.since))
		l.log(slog.LevelInfo, "eventhubs: the checkpoint store answers again", "call", call, "after", after)
	}
	*t = trouble{}
}

// outage is a time in which the store did not answer.
type outage struct{ begin, end time.Time }

// forgive returns the records as if no outage had made claims older. In an outage nobody can renew claims, but all
// read on. If it lasts longer than claims do, each consumer would find all claims expired afterwards, and take
// partitions from others that are reading them. Whoever lives has renewed within an Expiration of an outage's end.
// claimsMu is held.
func (l *Loop) forgive(records []azeventhubs.Ownership, now time.Time) []azeventhubs.Ownership {
	l.outages = slices.DeleteFunc(l.outages, func(o outage) bool { return now.Sub(o.end) > l.o.Expiration })
	outages := l.outages
	if begin, ok := l.writesFail(); ok {
		outages = append(slices.Clone(outages), outage{begin, now})
	}
	for i := range records {
		made := records[i].LastModifiedTime
		for _, o := range outages {
			if made.Before(o.end) {
				records[i].LastModifiedTime = records[i].LastModifiedTime.Add(o.end.Sub(later(made, o.begin)))
			}
		}
	}
	return records
}

// writesFail reports whether, and since when, the store is listed but not written: every claim of ours fails. If
// there is but one, its record may be what is wrong, and nobody would take over from the dead. claimsMu is held.
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
