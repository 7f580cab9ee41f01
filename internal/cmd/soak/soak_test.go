//go:build unix

package main

import (
	"context"
	"testing"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/leaktest"
)

// TestMain runs the test binary as a consumer when the test has started it as one.
func TestMain(m *testing.M) {
	if isConsumer() {
		consume()
		return
	}
	leaktest.Main(m)
}

// TestSoak is a short "make soak".
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	o := defaultOptions()
	o.duration, o.harm, o.rate = 5*time.Second, 5*time.Second, 500
	o.verbose = testing.Verbose()
	if err := o.seedFromEnv(); err != nil {
		t.Fatal(err)
	}
	result, err := run(context.Background(), o)
	if err != nil {
		t.Fatalf("%v: %v", err, result)
	}
	t.Log(result)
}
