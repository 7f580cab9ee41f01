package amqp_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the run if goroutines are left over: every connection that a test served has to have ended.
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

// leftOver waits for the goroutines of this package and of its client to end, and returns the stacks of those that don't.
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
		ours := strings.Contains(stack, "internal/amqp") || strings.Contains(stack, "go-amqp")
		if ours && !strings.Contains(stack, "TestMain") {
			out = append(out, stack)
		}
	}
	return out
}
