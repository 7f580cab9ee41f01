package eventhubs_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails when the tests leave goroutines behind. A process that a test has started receives instead.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(beChild())
	}
	flag.Parse()
	atOnce := "6" // tests that run side by side mostly wait: there may be more than processors, unless the command says how many
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.parallel" {
			atOnce = f.Value.String()
		}
	})
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	code := m.Run()
	if left := goroutinesLeft(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left after the tests:\n\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// known are goroutines that the SDK leaves behind, and that nobody can end.
var known = []string{
	// ConsumerClient.Close leaves its management link, and the goroutine that would renew its token, until the renewal is due
	// (azeventhubs, consumer_client.go, Close; internal/namespace.go, startNegotiateClaimRenewer).
	"startNegotiateClaimRenewer",
	// The transport of azcore's default HTTP client keeps idle connections.
	"net/http.(*persistConn)",
}

// goroutinesLeft returns the stacks of goroutines that don't end, apart from this one and the known ones.
func goroutinesLeft() string {
	var left []string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		left = nil
		buf := make([]byte, 1<<22)
		for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if !strings.Contains(stack, "goroutinesLeft") && !isKnown(stack) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}

func isKnown(stack string) bool {
	for _, k := range known {
		if strings.Contains(stack, k) {
			return true
		}
	}
	return strings.Contains(stack, "os/signal.signal_recv") || strings.Contains(stack, "runtime.ReadTrace")
}
