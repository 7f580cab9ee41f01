package balance

import (
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
)

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// trouble is a call that fails again and again.
type trouble struct {
	failures int
	since    time.Time // when the first call began that failed
	last     time.Time // when the last one failed
	err      error
}

// failed notes a failure. Failures that are more than gap apart are no evidence that the store was down in between: the
// process may have been paused, and a call that was under way then fails once.
func (t *trouble) failed(began, now time.Time, err error, gap time.Duration) {
	if t.failures > 0 && now.Sub(t.last) > gap {
		*t = trouble{}
	}
	if t.failures == 0 {
		t.since = began
	}
	t.failures++
	t.last, t.err = now, err
}

// lasts reports whether the store is known to be down now.
func (t *trouble) lasts(now time.Time, gap time.Duration) bool {
	return t.failures > 1 && now.Sub(t.last) <= gap
}

// gap is how far apart two failures may be in an outage: a pause, and a call that hangs.
func (l *Loop) gap() time.Duration { return l.bound + 2*l.longestPause() }

func (l *Loop) longestPause() time.Duration { return min(lastPause, l.o.Expiration/4) }

// pause returns how long to wait after a number of failures, but never so long that a claim expires in it.
func (l *Loop) pause(failures int) time.Duration {
	return retry.Jitter(retry.Exponential(firstPause, l.longestPause(), failures))
}

// outage is a time in which the store did not answer.
type outage struct{ begin, end time.Time }

// forgive returns the records as if no outage had made claims older. In an outage nobody can renew claims, but all read
// on. If it lasts longer than claims do, each consumer would find all claims expired afterwards, and take partitions
// from others that are reading them. Whoever lives has renewed within an Expiration of an outage's end. claimsMu is held.
func (l *Loop) forgive(records []azeventhubs.Ownership, now time.Time) []azeventhubs.Ownership {
	l.outages = slices.DeleteFunc(l.outages, func(o outage) bool { return now.Sub(o.end) > l.o.Expiration })
	outages := l.outages
	if o, ok := l.writeOutage(now); ok {
		outages = append(slices.Clone(outages), o)
	}
	records = slices.Clone(records)
	for i := range records {
		made := records[i].LastModifiedTime
		for _, o := range outages {
			if made.Before(o.end) {
				lost := o.end.Sub(later(made, o.begin))
				records[i].LastModifiedTime = records[i].LastModifiedTime.Add(lost)
			}
		}
	}
	return records
}

// writeOutage returns the outage in which the store is listed but not written. That is so if every claim of ours fails; if
// there is but one, its record may be what is wrong, and nobody would take over from the dead. claimsMu is held.
func (l *Loop) writeOutage(now time.Time) (o outage, ok bool) {
	for id := range l.claims {
		t := l.partition(id).trouble
		if t.failures == 0 {
			return o, false
		}
		o.begin = later(o.begin, t.since)
	}
	o.end = now
	return o, len(l.claims) > 1
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
