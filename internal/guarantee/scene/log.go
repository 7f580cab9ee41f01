package scene

import (
	"strings"
	"sync"
)

// Log keeps the lines of a log. It is safe for concurrent use.
type Log struct {
	linesMu sync.Mutex
	lines   []string
}

// Write adds one line.
func (l *Log) Write(line []byte) (int, error) {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
	l.lines = append(l.lines, string(line))
	return len(line), nil
}

// String returns the lines. It leaves out those that repeat an earlier one, but for their time and error.
func (l *Log) String() string {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
	var b strings.Builder
	said := map[string]bool{}
	for _, line := range l.lines {
		what, _, _ := strings.Cut(line, "error=")
		_, what, _ = strings.Cut(what, " ") // without the time
		if !said[what] {
			said[what] = true
			b.WriteString(line)
		}
	}
	return b.String()
}

// Count returns how many lines contain all the parts.
func (l *Log) Count(parts ...string) (n int) {
	l.linesMu.Lock()
	defer l.linesMu.Unlock()
	for _, line := range l.lines {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			n++
		}
	}
	return n
}
