package guarantee_test

import (
	"strings"
	"testing"
)

// cell is one failure of one exchange at one time.
type cell struct {
	exchange exchange
	failure  failure
	moment   moment
}

func (c cell) name() string {
	return strings.Join([]string{c.exchange.name, c.failure.name, string(c.moment)}, "/")
}

// cells returns those that are tried, and why others aren't, by reason.
func cells() (tried []cell, left map[string]int) {
	left = map[string]int{}
	for _, x := range exchanges() {
		for _, f := range x.failures() {
			for _, m := range moments {
				c := cell{x, f, m}
				if why := c.leftOut(); why != "" {
					left[why]++
					continue
				}
				tried = append(tried, c)
			}
		}
	}
	return tried, left
}

// knownFailures are cells that fail, and why. Each has to: one that passes is to be taken off the list.
var knownFailures = map[string]string{}

// TestMatrix has each exchange fail in each way, at each time: see Matrix in the package's documentation.
func TestMatrix(t *testing.T) {
	tried, _ := cells()
	for _, c := range tried {
		t.Run(c.name(), func(t *testing.T) {
			wrong, logged := inBubble(t, func(r *recorder) { c.exchange.run(r, c) })
			known, isKnown := knownFailures[c.name()]
			switch {
			case isKnown && len(wrong) == 0:
				t.Errorf("it passes, and is known to fail: %s", known)
			case isKnown:
				t.Logf("known to fail: %s", known)
			case len(wrong) > 0:
				t.Errorf("%s\n%s", strings.Join(wrong, "\n"), strings.Join(logged, "\n"))
			}
		})
	}
}

// TestMatrixSize says how many cells there are. It comes after TestMatrix, so that this is the last that is seen.
func TestMatrixSize(t *testing.T) {
	tried, left := cells()
	names := map[string]bool{}
	for _, c := range tried {
		names[c.name()] = true
	}
	for name := range knownFailures {
		if !names[name] {
			t.Errorf("there is no cell %s", name)
		}
	}
	if len(names) != len(tried) || len(tried) < 200 {
		t.Errorf("%d cells, with %d names", len(tried), len(names))
	}
	for why, n := range left {
		t.Logf("%d combinations are left out: %s", n, why)
	}
	t.Logf("%d cells, of which %d are known to fail", len(tried), len(knownFailures))
}
