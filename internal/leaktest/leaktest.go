// Package leaktest finds goroutines that tests have left behind. Only tests import it.
package leaktest

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// patience is how long goroutines get to end after the last test.
const patience = 5 * time.Second

// Main runs the tests of a package, for its TestMain, and fails them if goroutines are left.
//
// Under the race detector it runs them on one processor. The runtime has one race context for all timers of a synctest
// bubble, and goroutines of the bubble that run such timers on two processors at the same time crash the detector
// ("ThreadSanitizer: CHECK failed", golang/go#78156; runtime/time.go, unlockAndRun). The detector finds as much on one.
func Main(m *testing.M) {
	if raceDetector {
		runtime.GOMAXPROCS(1)
	}
	code := m.Run()
	if code == 0 {
		if left := Left(); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "goroutines are left after the tests:\n\n%s\n", strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// renewer is the goroutine that would renew the token of a ConsumerClient's management link. Close leaves it until the
// renewal is due, and nobody can end it (azeventhubs, consumer_client.go, Close; internal/namespace.go).
const renewer = "startNegotiateClaimRenewer"

// known are parts of the stacks of goroutines that may be left.
var known = []string{
	// the one that asks, and what runs tests
	"leaktest.Left", "testing.tRunner", "testing.(*M).Run", "testing.runFuzzing", "os/signal.signal_recv",
	renewer,
	// azcore's HTTP client keeps idle connections, and so does net/http's own.
	"net/http.(*persistConn)",
}

// Left waits for goroutines to end, and returns the stacks of those that don't.
func Left() (stacks []string) {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if stacks = running(); len(stacks) == 0 {
			return nil
		}
	}
	return stacks
}

// LeftInBubble waits for the goroutines of the caller's synctest bubble to block, and returns the stacks of those that
// are left, besides the caller and what the SDK leaves.
func LeftInBubble() (stacks []string) {
	synctest.Wait()
	all := all()
	own, _, _ := strings.Cut(all[0], "\n") // goroutine 1 [running, synctest bubble 2]:
	_, bubble, found := strings.Cut(own, "synctest bubble ")
	if !found {
		panic("leaktest: this is not a synctest bubble: " + own)
	}
	for _, stack := range all[1:] {
		first, _, _ := strings.Cut(stack, "\n")
		inside := strings.HasSuffix(first, "synctest bubble "+bubble)
		if inside && !strings.Contains(stack, "testing/synctest.Test") && !strings.Contains(stack, renewer) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// all returns the stacks of all goroutines, beginning with the caller's.
func all() []string {
	for size := 64 << 10; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return strings.Split(string(buf[:n]), "\n\n")
		}
	}
}

func running() (stacks []string) {
	for _, stack := range all() {
		if !isKnown(stack) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

func isKnown(stack string) bool {
	for _, k := range known {
		if strings.Contains(stack, k) {
			return true
		}
	}
	return false
}
