package guarantee_test

import (
	"bytes"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

const (
	// patienceWithBubble is how much real time may pass without virtual time passing before a bubble is looked at. One
	// that is slow has goroutines that run; one that is frozen has none.
	patienceWithBubble = 10 * time.Second
	// longestCell is how much virtual time a cell may take.
	longestCell = time.Hour
)

// recorder records what is wrong in a cell instead of failing the test, because a cell that is known to fail has to
// fail. It is safe for concurrent use. FailNow and Fatalf end the goroutine that calls them.
type recorder struct {
	testing.TB // of the bubble: for Cleanup, Context and the like

	wrongMu sync.Mutex
	wrong   []string
	logged  []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.wrongMu.Lock()
	defer r.wrongMu.Unlock()
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	if !slices.Contains(r.wrong, text) {
		r.wrong = append(r.wrong, text)
	}
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprintln(args...)) }

func (r *recorder) FailNow() { runtime.Goexit() }

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	r.FailNow()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) Failed() bool {
	r.wrongMu.Lock()
	defer r.wrongMu.Unlock()
	return len(r.wrong) > 0
}

func (r *recorder) Log(args ...any) { r.Logf("%s", fmt.Sprintln(args...)) }

func (r *recorder) Logf(format string, args ...any) {
	r.wrongMu.Lock()
	defer r.wrongMu.Unlock()
	r.logged = append(r.logged, fmt.Sprintf(format, args...))
}

// report returns what is wrong, and what was logged.
func (r *recorder) report() (wrong, logged []string) {
	r.wrongMu.Lock()
	defer r.wrongMu.Unlock()
	return slices.Clone(r.wrong), slices.Clone(r.logged)
}

// bubble is a bubble of synctest that is watched from outside.
type bubble struct {
	patience time.Duration // patienceWithBubble, or less
	number   atomic.Pointer[string]
	seconds  atomic.Int64 // virtual ones that have passed
	late     chan []byte  // all stacks, when a bubble has taken longestCell
	ended    chan struct{}
}

// inBubble runs f in a bubble, and returns what is wrong. Virtual time stops for good when a goroutine of a bubble
// waits for a mutex, which synctest doesn't count as waiting, and the holder waits for time to pass: that is
// reported, and the bubble is left behind. So is a bubble that doesn't end.
func inBubble(t *testing.T, f func(r *recorder)) (wrong, logged []string) {
	b := &bubble{patience: patienceWithBubble, late: make(chan []byte, 1), ended: make(chan struct{})}
	return b.hold(t, f)
}

// hold is inBubble for a new bubble.
func (b *bubble) hold(t *testing.T, f func(r *recorder)) (wrong, logged []string) {
	r := &recorder{}
	go func() {
		defer close(b.ended)
		defer func() {
			if p := recover(); p != nil { // a deadlock
				r.Errorf("%v\n%s", p, unblocked(stacks(), "", true))
			}
		}()
		synctest.Test(t, func(t *testing.T) { // its FailNow ends this goroutine
			r.TB = t
			b.run(r, f)
		})
	}()
	if frozen := b.watch(); frozen != "" {
		r.Errorf("%s", frozen)
	}
	return r.report()
}

// run runs f in a goroutine of its own, which FailNow may end.
func (b *bubble) run(r *recorder, f func(r *recorder)) {
	number := numberOf(stack())
	b.number.Store(&number)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			b.checkLeft(r)
			return
		case <-tick.C:
			b.seconds.Add(1)
			if time.Since(began) > longestCell {
				b.late <- stacks()
				tick.Stop() // or virtual time would pass for ever
				<-done
				return
			}
		}
	}
}

// checkLeft reports goroutines that a cell has left behind, unless it was cut short.
func (b *bubble) checkLeft(r *recorder) {
	if r.Failed() {
		return
	}
	for _, left := range leaktest.LeftInBubble() {
		r.Errorf("a goroutine is left:\n%s", left)
	}
}

// watch returns when the bubble has ended, or, with the stacks of the goroutines that are to blame, when it never
// will.
func (b *bubble) watch() string {
	look := time.NewTicker(b.patience)
	defer look.Stop()
	before := int64(-1)
	for {
		select {
		case <-b.ended:
			return ""
		case all := <-b.late:
			return fmt.Sprintf("the cell is not done after %v of virtual time:\n%s", longestCell,
				unblocked(all, *b.number.Load(), true))
		case <-look.C:
		}
		number, now := b.number.Load(), b.seconds.Load()
		if number != nil && now == before {
			if guilty := unblocked(stacks(), *number, false); guilty != "" {
				return fmt.Sprintf("virtual time is frozen after %d seconds: goroutines wait for mutexes, or for what is outside "+
					"the bubble:\n%s", now, guilty)
			}
		}
		before = now
	}
}

func stack() []byte {
	buf := make([]byte, 1<<10)
	return buf[:runtime.Stack(buf, false)]
}

func stacks() []byte {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return buf[:n]
		}
	}
}

// bubbleOf finds the number of a goroutine's bubble in the first line of its stack, and its state.
var bubbleOf = regexp.MustCompile(`^goroutine \d+ \[([^\],]*).*synctest bubble (\d+)\]:`)

func numberOf(stack []byte) string {
	if m := bubbleOf.FindSubmatch(stack); m != nil {
		return string(m[2])
	}
	return ""
}

// unblocked returns the stacks of a bubble's goroutines that keep virtual time from passing, or of all its goroutines
// with durable. Without durable it returns nothing if one of them runs, or can run: then time will pass. Without a
// number it looks at all bubbles.
func unblocked(all []byte, number string, durable bool) string {
	var found [][]byte
	for _, g := range bytes.Split(all, []byte("\n\n")) {
		m := bubbleOf.FindSubmatch(g)
		if m == nil || number != "" && string(m[2]) != number {
			continue
		}
		state := string(m[1])
		switch {
		case durable:
		case strings.HasPrefix(state, "runn"):
			return ""
		case strings.Contains(state, "durable"), strings.HasPrefix(state, "synctest"):
			continue
		}
		found = append(found, g)
	}
	return string(bytes.Join(found, []byte("\n\n")))
}
