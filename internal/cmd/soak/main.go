//go:build unix

// Command soak is the load test, as "make soak": consumer processes share 16 partitions of a local namespace while
// processes are killed and stopped, connections dropped, storage taken down and partitions stolen. It counts what was
// lost, out of order and repeated.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if isConsumer() {
		consume()
		return
	}
	o := defaultOptions()
	flag.DurationVar(&o.duration, "for", o.duration, "how long to run")
	flag.IntVar(&o.rate, "rate", o.rate, "events sent per second")
	flag.BoolVar(&o.verbose, "v", false, "show what is done to the consumers, and what they log")
	flag.Parse()
	if err := o.seedFromEnv(); err != nil {
		say("failed: %v", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	result, err := run(ctx, o)
	stop()
	if err != nil {
		what, details, _ := strings.Cut(err.Error(), "\n")
		if details != "" {
			say("more about what has failed:\n%s", details)
		}
		say("failed: %s: %v", what, result)
		os.Exit(1)
	}
	say("ok: %v", result)
}

// options say how a run goes.
type options struct {
	duration time.Duration // of the work; starting and judging take a little more
	harm     time.Duration // how long faults go on before a phase without any
	rate     int           // events sent per second
	seed     uint64        // of the choice of faults: it repeats what happens, but not the moment
	verbose  bool
}

func defaultOptions() options {
	return options{duration: 10 * time.Minute, harm: 30 * time.Second, rate: 3000, seed: rand.Uint64()}
}

func (o *options) seedFromEnv() (err error) {
	if s := os.Getenv("SOAK_SEED"); s != "" {
		if o.seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			return fmt.Errorf("SOAK_SEED: %w", err)
		}
	}
	return nil
}

// run runs one load test. It leaves nothing behind, whatever happens. If it fails, it returns the result so far with
// the error.
func run(ctx context.Context, o options) (result, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := newSoak(o, fail)
	if err != nil {
		return result{}, err
	}
	defer s.close()
	say("seed %d (SOAK_SEED repeats it), %d events a second, %v", o.seed, o.rate, o.duration)
	if err = s.work(ctx); err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // the failure that caused the others
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	s.judge.explain(time.Now())
	result := s.result()
	if err == nil {
		err = result.verdict()
	}
	s.sayDetails()
	return result, err
}

func say(format string, args ...any) { fmt.Printf("soak: "+format+"\n", args...) }
