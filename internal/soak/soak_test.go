//go:build unix

package main

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain runs the test binary as a consumer when the test has started it as one.
func TestMain(m *testing.M) {
	if isConsumer() {
		consume()
		return
	}
	os.Exit(m.Run())
}

// TestSoak is "make soak", small.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	o := defaultOptions()
	o.duration, o.harm, o.rate = 5*time.Second, 5*time.Second, 2000
	if err := o.seedFromEnv(); err != nil {
		t.Fatal(err)
	}
	result, err := run(context.Background(), o)
	if err != nil {
		t.Fatalf("%v: %v", err, result)
	}
	t.Log(result)
	if err := until(context.Background(), 5*time.Second, func() bool { return len(left()) == 0 }); err != nil {
		t.Fatalf("goroutines are left:\n\n%s", strings.Join(left(), "\n\n"))
	}
}

// left returns the stacks of goroutines that the run has left, but for those that the SDK leaves, and that nobody can end: the one that would renew the token of a
// management link, and the idle connections of azcore's HTTP client.
func left() (stacks []string) {
	buf := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		known := false
		for _, k := range []string{"testing.tRunner", "testing.(*M).Run", "startNegotiateClaimRenewer", "net/http.(*persistConn)", "os/signal.signal_recv"} {
			known = known || strings.Contains(stack, k)
		}
		if !known {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}
