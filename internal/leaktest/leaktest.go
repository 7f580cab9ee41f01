// Package leaktest finds goroutines that tests have left behind. Only tests import it.
package leaktest

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long goroutines get to end after the last test.
const patience = 5 * time.Second

// Main runs the tests of a package, for its TestMain, and fails them if goroutines are left.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := Left(); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "goroutines are left after the tests:\n\n%s\n", strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// known are parts of the stacks of goroutines that may be left.
var known = []string{
	// the one that asks, and what runs tests
	"leaktest.Left", "testing.tRunner", "testing.(*M).Run", "testing.runFuzzing", "os/signal.signal_recv",
	// ConsumerClient.Close leaves its management link, and the goroutine that would renew its token, until the renewal is due: nobody can end it
	// (azeventhubs, consumer_client.go, Close; internal/namespace.go, startNegotiateClaimRenewer).
	"startNegotiateClaimRenewer",
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

func running() (stacks []string) {
	buf := make([]byte, 8<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
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
