//go:build unix

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// cause is why events were handled again.
type cause int

// The causes, in order of precedence. byJoin is for repeats that nothing else explains: consumers joined, and nothing
// else had happened.
const (
	byKill   cause = iota // a consumer that had handled them was killed
	byPause               // one of the two consumers was stopped for a while, or starved by a busy machine
	bySteal               // the partition's link was taken by a reader that asks nobody
	byOutage              // storage was down, so that checkpoints or claims could not be written
	byJoin
	causes // how many there are
)

var causeNames = [causes]string{byKill: "kill", byPause: "pause", bySteal: "steal", byOutage: "outage", byJoin: "join"}

// causeCounts counts events by cause.
type causeCounts [causes]int64

// String is what the last line says.
func (c causeCounts) String() string {
	var parts []string
	for _, k := range []cause{byKill, byOutage, bySteal, byPause, byJoin} {
		parts = append(parts, fmt.Sprintf("%s:%d", causeNames[k], c[k]))
	}
	return strings.Join(parts, ",")
}

// everyPartition is the partition of an affair that is not about one partition.
const everyPartition = -1

// affair is something that happened, and that may be the cause of repeats.
type affair struct {
	cause      cause
	who        string // the process; "" means every process
	partition  int
	begin, end time.Time // the end is zero while it goes on
}

// history remembers what happened, for as long as the causes of repeats are looked for.
type history struct {
	affairsMu sync.Mutex
	affairs   []*affair
}

// remembered is how long an affair is kept after its end. The causes of repeats are found within a cycle, which is
// shorter.
const remembered = 10 * time.Minute

// begins notes that something happens from now on, until over is called.
func (h *history) begins(c cause, who string, partition int) (over func()) {
	a := &affair{cause: c, who: who, partition: partition, begin: time.Now()}
	h.add(a)
	return func() {
		h.affairsMu.Lock()
		defer h.affairsMu.Unlock()
		a.end = time.Now()
	}
}

// was notes something that is over already.
func (h *history) was(c cause, who string, begin, end time.Time) {
	h.add(&affair{cause: c, who: who, partition: everyPartition, begin: begin, end: end})
}

func (h *history) add(a *affair) {
	h.affairsMu.Lock()
	defer h.affairsMu.Unlock()
	old := 0
	for old < len(h.affairs) && !h.affairs[old].end.IsZero() && time.Since(h.affairs[old].end) > remembered {
		old++
	}
	h.affairs = append(h.affairs[old:], a)
}

// after is how long an affair has consequences after its end: claims that could not be renewed expire, and calls of the
// store that hang are waited for.
func (a *affair) after() time.Duration {
	if a.cause == byKill {
		return 0
	}
	return expiration
}

// explains reports whether the affair may be why a partition's events, handled by one process, were handled again by
// another.
func (a *affair) explains(r *repeat) bool {
	ended := !a.end.IsZero() && a.end.Add(a.after()).Before(r.first)
	return !ended && !a.begin.After(r.second) && (a.partition == everyPartition || a.partition == r.partition) &&
		(a.who == "" || a.who == r.by.name || a.who == r.again.name)
}

// why returns the cause of a repeat.
func (h *history) why(r *repeat) cause {
	h.affairsMu.Lock()
	defer h.affairsMu.Unlock()
	found := byJoin
	for _, a := range h.affairs {
		if a.explains(r) {
			found = min(found, a.cause)
		}
	}
	return found
}

const (
	// beat is how often a process looks at the clock, and starved is how late it must be for that to count: half the time
	// in which a consumer has to answer another one that asks for a partition.
	beat    = 100 * time.Millisecond
	starved = updateInterval
)

// watchStarvation reports the times in which this process did not get to run, until ctx ends.
func watchStarvation(ctx context.Context, report func(begin, end time.Time)) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) > starved {
			report(last, now)
		}
		last = now
	}
}
