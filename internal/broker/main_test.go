package broker_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the run if goroutines are left over: a namespace that is closed has none, and neither have its clients.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leftOver(5 * time.Second); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "goroutines left over:\n\n%s\n", strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// leftOver waits for the goroutines of the namespace and of its clients to end, and returns the stacks of those that don't.
func leftOver(patience time.Duration) []string {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		left := stacks()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

func stacks() (out []string) {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for _, stack := range strings.Split(string(buf), "\n\n") {
		ours := strings.Contains(stack, "eventhubs") || strings.Contains(stack, "go-amqp")
		// ConsumerClient.Close of azeventhubs leaves the goroutine that renews its management link's token (consumer_client.go).
		if ours && !strings.Contains(stack, "TestMain") && !strings.Contains(stack, "startNegotiateClaimRenewer") {
			out = append(out, stack)
		}
	}
	return out
}
