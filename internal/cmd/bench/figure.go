package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// figure is what both sides have measured, round by round.
type figure struct{ ours, sdk []float64 }

// target is what a row has to reach.
type target struct {
	kind  kind
	value float64
	unit  unit
	base  func() float64 // for linear
}

// kind is how a figure is judged.
type kind int

const (
	atLeast kind = iota // ours must be at least value times the SDK's: more is better
	within              // ours must be at most value
	above               // ours must be at most the SDK's plus value
	linear              // ours must be at most value times the base
)

// unit is how values are written.
type unit int

const (
	perSecond unit = iota
	seconds
	bytes
	count
)

func (u unit) format(v float64) string {
	switch u {
	case perSecond:
		return fmt.Sprintf("%.0f/s", v)
	case seconds:
		return formatDuration(time.Duration(v * float64(time.Second)))
	case bytes:
		if v < 1<<20 {
			return fmt.Sprintf("%.1fKB", v/(1<<10))
		}
		return fmt.Sprintf("%.1fMB", v/(1<<20))
	}
	return fmt.Sprintf("%.2f", v)
}

func formatDuration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// median is the median of the values, or NaN if there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// ratio is how many times better ours is than the SDK's, by the medians. (The median of the rounds' ratios would cancel
// what disturbs a whole round, but nobody could check it against the values that are printed.)
func (f figure) ratio(t target) float64 {
	if t.kind == atLeast {
		return median(f.ours) / median(f.sdk)
	}
	return median(f.sdk) / median(f.ours)
}

func (f figure) reaches(t target) bool {
	switch t.kind {
	case atLeast:
		return f.ratio(t) >= t.value
	case above:
		return median(f.ours)-median(f.sdk) <= t.value
	}
	return median(f.ours) <= t.limit()
}

// limit is the most that ours may be, for a target that does not depend on the SDK's figure.
func (t target) limit() float64 {
	if t.kind == linear {
		return t.value * t.base()
	}
	return t.value
}

func (t target) String() string {
	switch t.kind {
	case atLeast:
		return fmt.Sprintf(">=%.1f", t.value)
	case above:
		return fmt.Sprintf("<=sdk+%g", t.value)
	}
	return "<=" + t.unit.format(t.limit())
}

// line is the line that is printed for a row.
func (f figure) line(r row) string {
	value := func(values []float64) string {
		if len(values) == 0 {
			return "-"
		}
		return r.target.unit.format(median(values))
	}
	ratio := "-"
	if len(f.ours) > 0 && len(f.sdk) > 0 {
		ratio = fmt.Sprintf("%.2f", f.ratio(r.target))
	}
	verdict := "short"
	if f.reaches(r.target) {
		verdict = "ok"
	}
	return fmt.Sprintf(
		"bench: %s: ours=%s sdk=%s ratio=%s target=%s %s", r.name, value(f.ours), value(f.sdk), ratio, r.target, verdict,
	)
}
