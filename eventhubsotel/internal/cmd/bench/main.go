// Command bench measures what tracing and metrics cost Send and Receive, as a part of "make bench". It does the same
// work against the same local server in four ways: without package eventhubsotel, with it and no provider, with spans
// that are not sampled, and with spans that are. They take turns for several rounds.
//
// It prints a line for each figure: how many events one second of CPU time is enough for, server included, and what an
// event costs more than without the package. The best round counts, because whatever else the machine does can only add
// CPU time.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"regexp"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const senders = 256

// variant is how the work is traced.
type variant struct {
	name    string
	plain   bool // without this package
	options *eventhubsotel.Options
}

func variants() []variant {
	traced := func(s sdktrace.Sampler) *eventhubsotel.Options {
		return &eventhubsotel.Options{
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(s), sdktrace.WithBatcher(discard{})),
			MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
		}
	}
	return []variant{
		{name: "plain", plain: true},
		{name: "no provider"},
		{name: "not sampled", options: traced(sdktrace.NeverSample())},
		{name: "sampled", options: traced(sdktrace.AlwaysSample())},
	}
}

// discard is an exporter that throws spans away.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// row is one figure. Its work handles n events and returns the CPU time that this took.
type row struct {
	name string
	work func(ctx context.Context, srv *eventhubstest.Server, v variant, n int) (time.Duration, error)
}

func main() {
	log.SetFlags(0)
	n := flag.Int("n", 50_000, "events in each round")
	rounds := flag.Int("rounds", 5, "rounds")
	only := flag.String("run", "", "measure the rows whose name matches a regular expression")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the whole run to a file")
	flag.Parse()
	if err := profiled(*profile, func() error { return run(*only, *n, *rounds) }); err != nil {
		log.Fatalf("bench: %v", err)
	}
}

// profiled does work and writes a CPU profile of it to a file, unless path is empty.
func profiled(path string, work func() error) error {
	if path == "" {
		return work()
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = work()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

func run(only string, n, rounds int) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	for _, r := range []row{
		{"single Send, 256 goroutines, 1 KB", sendOnes}, {"bulk Send of 1,000, 1 KB", sendBulk},
		{"Receive, 1 partition, 1 KB", receive}, {"ReceiveBatch, 1 partition, 1 KB", receiveBatch},
	} {
		if !wanted.MatchString(r.name) {
			continue
		}
		if err := measure(r, n, rounds); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// measure prints a line for each variant that uses this package.
func measure(r row, n, rounds int) error {
	srv, err := eventhubstest.New(&eventhubstest.Options{
		Hubs: []eventhubstest.Hub{{Name: "hub", Partitions: 1}}, RetentionBytes: 1 << 30,
	})
	if err != nil {
		return err
	}
	defer srv.Close()
	ctx := context.Background()
	if err := srv.Send(ctx, "hub", events(n)...); err != nil { // for the rows that receive
		return err
	}
	all := variants()
	took := make([][]time.Duration, len(all))
	for round := range rounds {
		for i := range all {
			at := (i + round) % len(all) // who goes first changes
			d, err := r.work(ctx, srv, all[at], n)
			if err != nil {
				return err
			}
			took[at] = append(took[at], d)
		}
	}
	plain := perSecond(n, took[0])
	for i, v := range all[1:] {
		f := perSecond(n, took[i+1])
		fmt.Printf("bench: %s, telemetry, %s: traced=%.0f/s plain=%.0f/s ratio=%.2f cost=%dns target=-\n",
			r.name, v.name, f, plain, f/plain, int(1e9/f-1e9/plain))
	}
	return nil
}

// perSecond is the rate of the best round: events per second of CPU time.
func perSecond(n int, took []time.Duration) float64 { return float64(n) / slices.Min(took).Seconds() }

func events(n int) []eventhubs.Event {
	body := bytes.Repeat([]byte("x"), 1000)
	all := make([]eventhubs.Event, n)
	for i := range all {
		all[i] = eventhubs.Event{Body: body, PartitionID: "0", Properties: map[string]any{
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		}}
	}
	return all
}

// sender is a Producer or a Sender.
type sender interface {
	Send(ctx context.Context, events ...eventhubs.Event) error
}

// sending makes a sender, opens its connection, and returns the CPU time of the work done with it.
func sending(ctx context.Context, srv *eventhubstest.Server, v variant, work func(sender) error) (
	took time.Duration, err error,
) {
	cfg := srv.Config("hub")
	p, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	var s sender = p
	if !v.plain {
		s = eventhubsotel.New(cfg, v.options).Sender(p)
	}
	if err := s.Send(ctx, eventhubs.Event{}); err != nil {
		return 0, err
	}
	began := cpu()
	err = work(s)
	return cpu() - began, err
}

func sendOnes(ctx context.Context, srv *eventhubstest.Server, v variant, n int) (time.Duration, error) {
	body := bytes.Repeat([]byte("x"), 1000)
	return sending(ctx, srv, v, func(s sender) error {
		var running sync.WaitGroup
		var failed atomic.Pointer[error]
		for range senders {
			running.Go(func() {
				for range n / senders {
					if err := s.Send(ctx, eventhubs.Event{Body: body}); err != nil {
						failed.Store(&err)
						return
					}
				}
			})
		}
		running.Wait()
		if err := failed.Load(); err != nil {
			return *err
		}
		return nil
	})
}

func sendBulk(ctx context.Context, srv *eventhubstest.Server, v variant, n int) (time.Duration, error) {
	const bulk = 1000
	all := make([]eventhubs.Event, bulk)
	for i := range all {
		all[i].Body = bytes.Repeat([]byte("x"), 1000)
	}
	return sending(ctx, srv, v, func(s sender) error {
		for range n / bulk {
			if err := s.Send(ctx, all...); err != nil {
				return err
			}
		}
		return nil
	})
}

// receiving receives n events and returns the CPU time from the first event to the last.
func receiving(
	ctx context.Context, srv *eventhubstest.Server, v variant, n int,
	work func(ctx context.Context, c *eventhubs.Consumer, t *eventhubsotel.Telemetry, count func(int)) error,
) (time.Duration, error) {
	cfg, store := srv.Config("hub"), eventhubs.NewMemoryCheckpointStore()
	cfg.Logger = slog.New(slog.DiscardHandler)
	var t *eventhubsotel.Telemetry
	if !v.plain {
		t = eventhubsotel.New(cfg, v.options)
		store = t.CheckpointStore(store)
	}
	c, err := eventhubs.NewConsumer(cfg, store, nil)
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var began, took time.Duration
	handled := 0
	err = work(ctx, c, t, func(some int) { // only one goroutine calls this: there is one partition
		if handled == 0 {
			began = cpu()
		}
		if handled += some; handled >= n && took == 0 {
			took = cpu() - began
			stop()
		}
	})
	return took, errors.Join(err, c.Close(context.Background()))
}

func receive(ctx context.Context, srv *eventhubstest.Server, v variant, n int) (time.Duration, error) {
	return receiving(ctx, srv, v, n, func(
		ctx context.Context, c *eventhubs.Consumer, t *eventhubsotel.Telemetry, count func(int),
	) error {
		h := func(context.Context, *eventhubs.ReceivedEvent) error { count(1); return nil }
		if t != nil {
			return c.Receive(ctx, t.Handler(h))
		}
		return c.Receive(ctx, h)
	})
}

func receiveBatch(ctx context.Context, srv *eventhubstest.Server, v variant, n int) (time.Duration, error) {
	return receiving(ctx, srv, v, n, func(
		ctx context.Context, c *eventhubs.Consumer, t *eventhubsotel.Telemetry, count func(int),
	) error {
		h := func(_ context.Context, events []*eventhubs.ReceivedEvent) error { count(len(events)); return nil }
		if t != nil {
			return c.ReceiveBatch(ctx, t.BatchHandler(h))
		}
		return c.ReceiveBatch(ctx, h)
	})
}
