//go:build unix

package main

import "time"

// stretch is consecutive events of one partition that a process has handled in one holding.
type stretch struct {
	by       *holder
	count    int64 // of the holding
	from, to int64
	begin    time.Time // when the first was handled
	end      time.Time // when the last was
}

const (
	// longestStretch is how long a stretch may last before the next begins. All its events share its times.
	longestStretch = time.Second
	// keptStretches is how many stretches of a partition are kept: minutes at the usual rate.
	keptStretches = 2000
)

// repeat is consecutive events that were handled twice.
type repeat struct {
	partition     int
	by, again     *holder
	from, to      int64
	first, second time.Time // when the first of them was handled, and when the last of them was handled again
}

// remember notes who has handled an event. It is called each time an event is handled.
func (h *holder) remember(p *partition, key hold, r report) {
	if s := h.open[key]; s != nil && r.sequence == s.to+1 && r.at.Sub(s.begin) < longestStretch {
		s.to, s.end = r.sequence, r.at
		return
	}
	s := &stretch{by: h, count: r.holding, from: r.sequence, to: r.sequence, begin: r.at, end: r.at}
	h.open[key] = s
	p.stretches = append(p.stretches, s)
	if len(p.stretches) > 2*keptStretches {
		p.stretches = append([]*stretch(nil), p.stretches[keptStretches:]...)
	}
}

// repeats notes that an event was handled again, and by whom it was last handled before. explain finds the cause.
func (h *holder) repeats(p *partition, r report) {
	h.counts.repeated++
	var before *stretch
	for i := len(p.stretches) - 1; i >= 0 && before == nil; i-- {
		s := p.stretches[i]
		if s.from <= r.sequence && r.sequence <= s.to && (s.by != h || s.count != r.holding) {
			before = s
		}
	}
	if before == nil { // that is so long ago that nothing explains the repeat
		before = &stretch{by: h, begin: r.at, end: r.at}
	}
	first, second := before.begin, r.at
	if second.Before(first) { // the reports of different processes come in any order
		first, second = second, before.end
	}
	if n := len(h.repeated); n > 0 {
		last := &h.repeated[n-1]
		if last.partition == r.partition && last.by == before.by && last.again == h && last.to+1 == r.sequence {
			last.to, last.second = r.sequence, second
			return
		}
	}
	h.repeated = append(h.repeated, repeat{
		partition: r.partition, by: before.by, again: h, from: r.sequence, to: r.sequence, first: first, second: second,
	})
}

// explain finds the causes of repeats before a time.
func (j *judge) explain(before time.Time) {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	var open []repeat
	for _, r := range j.repeated {
		if r.second.After(before) {
			open = append(open, r)
			continue
		}
		n, why := r.to-r.from+1, j.history.why(&r)
		j.counts.by[why] += n
		clean := why != byPause && j.isClean(r.second)
		if clean {
			j.counts.repeatedClean += n
		}
		if clean || why == byJoin {
			j.problem("partition %d: %d to %d were handled by %s at %v, and again by %s until %v: cause %s, clean phase: %t",
				r.partition, r.from, r.to, r.by.name, r.first, r.again.name, r.second, causeNames[why], clean)
		}
	}
	j.repeated = open
}

// isClean reports whether a time lies in a clean window. The caller holds judgeMu.
func (j *judge) isClean(t time.Time) bool {
	for _, w := range j.clean {
		if t.After(w.begin) && (w.end.IsZero() || t.Before(w.end)) {
			return true
		}
	}
	return false
}
