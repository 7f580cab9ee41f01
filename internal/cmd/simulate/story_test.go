package simulate_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// moment is something that has happened.
type moment struct {
	at   time.Time
	what string
}

const (
	// toldBefore and toldAfter are how much of the time before and after an event the story tells.
	toldBefore, toldAfter = 5 * time.Minute, 15 * time.Minute
	// toldWrong is how many wrongs of each kind the story tells.
	toldWrong = 10
)

// story tells what went wrong. It tells all that happened to the first event that something went wrong with, and to its
// partition at about that time. If something went wrong that concerns no event, it tells all that happened before that.
func (j *judge) story(l *logs) string {
	j.judgeMu.Lock()
	defer j.judgeMu.Unlock()
	var b strings.Builder
	for kind, list := range j.wrong {
		for _, what := range list[:min(len(list), toldWrong)] {
			fmt.Fprintf(&b, "%s: %s\n", kind, what)
		}
		if more := len(list) - toldWrong; more > 0 {
			fmt.Fprintf(&b, "%s: and %d more\n", kind, more)
		}
	}
	if s := j.suspect; s != nil {
		fmt.Fprintf(&b, "the story of event %d of partition %s:\n", s.sequence, s.partition)
		own := j.events[*s]
		from := time.Now()
		for _, m := range slices.Concat(own, j.events[place{s.partition, s.sequence - 1}]) {
			if m.at.Before(from) {
				from = m.at
			}
		}
		beside := slices.Concat(j.partitions[""], j.partitions[s.partition], l.about(s.partition))
		j.tell(&b, slices.Concat(own, between(beside, from.Add(-toldBefore), from.Add(toldAfter))))
	}
	if !j.hungAt.IsZero() {
		fmt.Fprintf(&b, "what came before something hung:\n")
		j.tell(&b, between(slices.Concat(j.partitions[""], l.about("")), j.hungAt.Add(-toldBefore), j.hungAt))
	}
	return b.String()
}

func between(all []moment, from, to time.Time) (some []moment) {
	for _, m := range all {
		if !m.at.Before(from) && !m.at.After(to) {
			some = append(some, m)
		}
	}
	return some
}

func (j *judge) tell(b *strings.Builder, moments []moment) {
	slices.SortStableFunc(moments, func(a, b moment) int { return a.at.Compare(b.at) })
	for _, m := range moments {
		fmt.Fprintf(b, "  %v: %s\n", m.at.Sub(j.began), m.what)
	}
}

// logs keeps what the library logs, for the story. It is a writer for a slog.TextHandler, which writes each line in one
// call.
type logs struct {
	linesMu sync.Mutex
	lines   []moment
}

func (l *logs) logger() *slog.Logger {
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
}

func (l *logs) Write(line []byte) (int, error) {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
	l.lines = append(l.lines, moment{time.Now(), string(bytes.TrimSuffix(line, []byte("\n")))})
	return len(line), nil
}

func (l *logs) count() int {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
	return len(l.lines)
}

// about returns the lines about one partition, and those about none. If partition is "", it returns all lines.
func (l *logs) about(partition string) (lines []moment) {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
	for _, m := range l.lines {
		about := strings.Contains(m.what+" ", " partition="+partition+" ")
		if partition == "" || about || !strings.Contains(m.what, " partition=") {
			lines = append(lines, m)
		}
	}
	return lines
}
