//go:build unix

package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// judge counts what consumers report. It knows how far each partition is handled without a gap, and who handled the
// latest events, so its memory does not grow with time.
type judge struct {
	history *history

	judgeMu    sync.Mutex
	partitions []*partition
	streams    map[string]*stream
	clean      []window // when consumers only joined and were stopped cleanly
	counts     counts
	repeated   []repeat // whose causes are not known yet
	problems   []string
	takeOver   time.Time // when a consumer was last seen to take a partition
}

// counts are what the judge has found out so far.
type counts struct {
	outOfOrder    int64
	repeated      int64
	by            causeCounts
	repeatedClean int64 // in a clean window
	retried       int64
	takeOvers     int64
	storedTwice   int64 // sent again by producer or SDK although it was stored: not caused by consumers
	lost          int64 // set at the end
	uncovered     int64 // handled, but not covered by a checkpoint after the last clean stop; set at the end
	unread        time.Duration
	unreadOf      int // partition
	unreadTo      time.Time
}

// window is a span of time. Its end is zero until it is closed.
type window struct{ begin, end time.Time }

// partition is what is known to be handled of a partition.
type partition struct {
	next      int64               // all before it is handled
	ahead     map[int64]report    // handled, from next on
	skipped   map[int64]time.Time // not known to be handled when a consumer began after them, and when that was
	progress  time.Time           // when something was last handled for the first time
	stretches []*stretch          // who has handled what, in the order in which it was reported
}

// stream is the events that one sender numbers. They all go to one partition.
type stream struct {
	partition int
	next      int64
}

// maxProblems bounds how many problems are described.
const maxProblems = 20

func newJudge(partitions int) *judge {
	j := &judge{history: &history{}, streams: map[string]*stream{}}
	for range partitions {
		j.partitions = append(j.partitions, &partition{ahead: map[int64]report{}, skipped: map[int64]time.Time{}})
	}
	return j
}

// holder is a consumer process.
type holder struct {
	*judge
	name string
	last map[hold]int64 // sequence numbers
	open map[hold]*stretch
}

// hold is one period in which a process holds a partition.
type hold struct {
	partition int
	count     int64
}

func (j *judge) consumer(name string) *holder {
	return &holder{judge: j, name: name, last: map[hold]int64{}, open: map[hold]*stretch{}}
}

// handled takes a report. The reports of one process come in order; those of different processes don't.
func (h *holder) handled(r report) {
	h.judgeMu.Lock()
	defer h.judgeMu.Unlock()
	if r.partition < 0 || r.partition >= len(h.partitions) {
		h.wrong("consumer %s has read partition %d, which does not exist", h.name, r.partition)
		return
	}
	p := h.partitions[r.partition]
	key := hold{r.partition, r.holding}
	last, known := h.last[key]
	h.last[key] = r.sequence
	switch {
	case !known:
		h.takenOver(p, r)
	case r.sequence != last+1:
		h.wrong("consumer %s, partition %d: %d came after %d", h.name, r.partition, r.sequence, last)
	}
	if r.attempt > 1 {
		h.counts.retried++
	}
	defer h.remember(p, key, r)
	if _, ahead := p.ahead[r.sequence]; ahead || r.sequence < p.next {
		h.repeats(p, r)
		return
	}
	if skippedAt, ok := p.skipped[r.sequence]; ok {
		delete(p.skipped, r.sequence)
		if r.at.After(skippedAt) {
			h.wrong("partition %d: %d was handled at %v, after a consumer had begun after it at %v",
				r.partition, r.sequence, r.at, skippedAt)
		}
	}
	h.measure(p, r)
	p.ahead[r.sequence] = r
	h.advance(p)
}

// takenOver notes what a consumer skips when it begins. That may have been handled all the same, and be reported later
// through another pipe. handled checks that then.
func (j *judge) takenOver(p *partition, r report) {
	j.counts.takeOvers++
	j.takeOver = time.Now()
	for s := p.next; s < r.sequence; s++ {
		if _, handled := p.ahead[s]; handled {
			continue
		}
		if at, ok := p.skipped[s]; !ok || r.at.Before(at) {
			p.skipped[s] = r.at
		}
	}
}

// measure finds the longest time for which there was something to read in a partition, and nothing was read.
func (j *judge) measure(p *partition, r report) {
	since := r.enqueued
	if p.progress.After(since) {
		since = p.progress
	}
	if gap := r.at.Sub(since); gap > j.counts.unread {
		j.counts.unread, j.counts.unreadOf, j.counts.unreadTo = gap, r.partition, r.at
	}
	if r.at.After(p.progress) {
		p.progress = r.at
	}
}

// advance goes through what is handled without a gap, in the partition's order, and checks the order in which it was
// sent.
func (j *judge) advance(p *partition) {
	for {
		r, ok := p.ahead[p.next]
		if !ok {
			return
		}
		delete(p.ahead, p.next)
		p.next++
		s := j.streams[r.stream]
		if s == nil {
			s = &stream{partition: r.partition}
			j.streams[r.stream] = s
		}
		switch {
		case r.partition != s.partition:
			j.wrong("stream %s is in partitions %d and %d", r.stream, s.partition, r.partition)
		case r.number < s.next:
			j.counts.storedTwice++
		case r.number > s.next:
			j.wrong("stream %s, partition %d: number %d is stored where %d was expected",
				r.stream, r.partition, r.number, s.next)
			s.next = r.number + 1
		default:
			s.next++
		}
	}
}

func (j *judge) overlap(name string) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.wrong("consumer %s was given two events of one partition at the same time", name)
}

// wrong counts something that must not happen as out of order. The caller holds judgeMu.
func (j *judge) wrong(format string, args ...any) {
	j.counts.outOfOrder++
	j.problem(format, args...)
}

func (j *judge) problem(format string, args ...any) {
	if len(j.problems) < maxProblems {
		j.problems = append(j.problems, fmt.Sprintf(format, args...))
	}
}

// beginClean opens a clean window.
func (j *judge) beginClean() {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.clean = append(j.clean, window{begin: time.Now()})
}

func (j *judge) endClean() {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	j.clean[len(j.clean)-1].end = time.Now()
}

// handledTo is how far a partition is handled without a gap, and when it was last read.
func (j *judge) handledTo(partition int) (next int64, progress time.Time) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	p := j.partitions[partition]
	return p.next, p.progress
}

// readSince reports whether every partition was read after a time.
func (j *judge) readSince(t time.Time) bool {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	for _, p := range j.partitions {
		if !p.progress.After(t) {
			return false
		}
	}
	return true
}

// quietFor is how long no consumer has taken a partition.
func (j *judge) quietFor() time.Duration {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	return time.Since(j.takeOver)
}

// end is called when all reports have arrived. stored is the number of events that each partition has taken, and sent
// is that of each stream.
func (j *judge) end(stored []int64, sent map[string]int64) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	for i, p := range j.partitions {
		if missing := stored[i] - p.next - int64(len(p.ahead)); missing > 0 {
			j.counts.lost += missing
			j.problem("partition %d: %d events were not handled, the first is %d of %d", i, missing, p.next, stored[i])
		}
	}
	for name, n := range sent {
		got := int64(0)
		if s := j.streams[name]; s != nil {
			got = s.next
		}
		if got < n {
			j.counts.lost += n - got
			j.problem("stream %s: %d events were acknowledged, %d were stored and handled", name, n, got)
		}
	}
}

// covered notes how far a partition's checkpoint covers it after the last clean stop.
func (j *judge) covered(partition int, to, stored int64) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	if to < stored {
		j.counts.uncovered += stored - to
		j.problem("partition %d: the checkpoint covers %d of %d events after the last consumer was stopped in good order",
			partition, to, stored)
	}
}

// state describes how far the partitions are handled.
func (j *judge) state() string {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	var out strings.Builder
	fmt.Fprintf(&out, "a partition was last taken %v ago", time.Since(j.takeOver).Round(time.Millisecond))
	for i, p := range j.partitions {
		fmt.Fprintf(&out, "\npartition %d is handled to %d, and was last read %v ago",
			i, p.next, time.Since(p.progress).Round(time.Millisecond))
	}
	return out.String()
}

// handledEvents is how many different events are handled.
func (j *judge) handledEvents() (n int64) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	for _, p := range j.partitions {
		n += p.next + int64(len(p.ahead))
	}
	return n
}

func (j *judge) snapshot() (counts, []string) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	return j.counts, append([]string(nil), j.problems...)
}
