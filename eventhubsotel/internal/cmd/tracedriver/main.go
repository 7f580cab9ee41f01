// Command tracedriver sends or handles events with tracing and writes each span to the standard output, as a line of
// JSON (package spanlines). make interop compares these spans with those of other languages.
//
//	tracedriver [-hub HUB] send BODY…
//	tracedriver [-hub HUB] [-n COUNT] [-link] [-to HUB] handle
//
// send sends all bodies in one call. handle handles COUNT events, starting with the earliest, and exits. Its process
// spans are children of the senders' spans, or link to them with -link. With -to it sends each event's body on to
// another event hub, inside the process span and without the event's properties. The namespace comes from
// eventhubs.ConfigFromEnv.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
	"github.com/go-eventhubs/eventhubs/eventhubsotel/internal/spanlines"
)

// patience is the longest that the program may run.
const patience = time.Minute

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, patience)
	err := run(ctx)
	cancel()
	stop()
	if err != nil {
		log.Fatalf("tracedriver: %v", err)
	}
}

// driver sends and handles events as the command line says.
type driver struct {
	cfg     eventhubs.Config
	options eventhubsotel.Options
}

func run(ctx context.Context) error {
	hub := flag.String("hub", "", "the event hub; empty means the one in the environment")
	n := flag.Int64("n", 1, "how many events to handle")
	to := flag.String("to", "", "the event hub to send the events on to")
	link := flag.Bool("link", false, "link to the senders' spans instead of being their children")
	flag.Parse()
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		return err
	}
	if *hub != "" {
		cfg = cfg.Hub(*hub)
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spanlines.New(os.Stdout)))
	d := &driver{cfg, eventhubsotel.Options{TracerProvider: tracers, ChildSpans: !*link}}
	switch flag.Arg(0) {
	case "send":
		err = d.send(ctx, flag.Args()[1:])
	case "handle":
		err = d.handle(ctx, *n, *to)
	default:
		err = fmt.Errorf("the first argument is %q: it must be send or handle", flag.Arg(0))
	}
	return errors.Join(err, tracers.Shutdown(context.Background()))
}

func (d *driver) send(ctx context.Context, bodies []string) error {
	events := make([]eventhubs.Event, len(bodies))
	for i, b := range bodies {
		events[i].Body = []byte(b)
	}
	return d.sendTo(ctx, d.cfg, events...)
}

func (d *driver) sendTo(ctx context.Context, cfg eventhubs.Config, events ...eventhubs.Event) error {
	p, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		return err
	}
	err = eventhubsotel.New(cfg, &d.options).Sender(p).Send(ctx, events...)
	return errors.Join(err, p.Close(context.Background()))
}

func (d *driver) handle(ctx context.Context, n int64, to string) error {
	c, err := eventhubs.NewConsumer(d.cfg, eventhubs.NewMemoryCheckpointStore(), nil)
	if err != nil {
		return err
	}
	done, stop := context.WithCancel(ctx)
	defer stop()
	var handled atomic.Int64
	h := func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		if to != "" {
			if err := d.sendTo(ctx, d.cfg.Hub(to), eventhubs.Event{Body: e.Body}); err != nil {
				return err
			}
		}
		if handled.Add(1) == n {
			stop()
		}
		return nil
	}
	err = c.Receive(done, eventhubsotel.New(d.cfg, &d.options).Handler(h))
	if err == nil && handled.Load() < n {
		err = fmt.Errorf("%d of %d events were handled: %w", handled.Load(), n, context.Cause(ctx))
	}
	return errors.Join(err, c.Close(context.Background()))
}
