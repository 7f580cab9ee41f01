//go:build unix

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What the lines on a consumer process's standard output say: that signals no longer kill it, what it has handled, that
// it was given two events of one partition at the same time, and that it did not get to run for a while.
const (
	lineReady   = "ready"
	lineHandled = "handled"
	lineOverlap = "overlap"
	lineStarved = "starved"
)

// report is an event that a consumer has handled. It is written before the handler returns.
type report struct {
	partition int
	holding   int64 // counts the times that the process has taken partitions
	sequence  int64
	attempt   int64
	enqueued  time.Time
	at        time.Time // when it was handled
	stream    string    // the stream that it belongs to, and its number there
	number    int64
}

func (r *report) append(b []byte) []byte {
	b = append(b, lineHandled...)
	for _, n := range []int64{
		int64(r.partition), r.holding, r.sequence, r.attempt, r.enqueued.UnixNano(), r.at.UnixNano(), r.number,
	} {
		b = strconv.AppendInt(append(b, ' '), n, 10)
	}
	b = append(append(b, ' '), r.stream...)
	return append(b, '\n')
}

func parseReport(fields []string) (report, error) {
	var n [7]int64
	if len(fields) != len(n)+1 {
		return report{}, fmt.Errorf("a report of %d fields: %q", len(fields), fields)
	}
	for i := range n {
		var err error
		if n[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return report{}, err
		}
	}
	return report{
		partition: int(n[0]), holding: n[1], sequence: n[2], attempt: n[3],
		enqueued: time.Unix(0, n[4]), at: time.Unix(0, n[5]), number: n[6], stream: fields[len(n)],
	}, nil
}

func appendSpan(b []byte, begin, end time.Time) []byte {
	return fmt.Appendf(b, "%s %d %d\n", lineStarved, begin.UnixNano(), end.UnixNano())
}

func parseSpan(fields []string) (begin, end time.Time, err error) {
	if len(fields) != 2 {
		return begin, end, fmt.Errorf("a span of %d fields: %q", len(fields), fields)
	}
	var n [2]int64
	for i := range n {
		if n[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return begin, end, err
		}
	}
	return time.Unix(0, n[0]), time.Unix(0, n[1]), nil
}

// body is what the producer sends: the stream and the event's number in it.
func body(stream string, number int64) []byte {
	return strconv.AppendInt([]byte(stream+" "), number, 10)
}

func parseBody(b []byte) (stream string, number int64, err error) {
	stream, digits, _ := strings.Cut(string(b), " ")
	number, err = strconv.ParseInt(digits, 10, 64)
	return stream, number, err
}
