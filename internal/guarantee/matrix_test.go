package guarantee_test

import (
	"strings"
	"testing"
)

// cell is one failure of one exchange at one moment.
type cell struct {
	exchange exchange
	failure  failure
	moment   moment
}

func (c cell) name() string {
	return strings.Join([]string{c.exchange.name, c.failure.name, string(c.moment)}, "/")
}

// cells returns the cells that are tried, and how many are left out for each reason.
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

// knownFailures are cells that fail, and why. Each of them has to fail; one that passes must be taken off the list.
var knownFailures = map[string]string{}

// TestMatrix makes each exchange fail in each way, at each moment. leftOut says which combinations are not tried.
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

// TestMatrixSize logs how many cells there are. It comes after TestMatrix, so that its lines are the last.
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
