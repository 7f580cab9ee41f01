package eventhubsotel_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// One trace, from a request through the sender to the handler and what that does. A program sets the global providers,
// and leaves TracerProvider out.
func Example() {
	srv, err := eventhubstest.New(&eventhubstest.Options{Hubs: []eventhubstest.Hub{{Name: "orders"}}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	cfg, store := srv.Config("orders"), eventhubs.NewMemoryCheckpointStore()
	spans := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))

	producer, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	handle := func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
		_, span := tracers.Tracer("shop").Start(ctx, "book "+string(e.Body))
		span.End()
		stop()
		return nil
	}

	telemetry := eventhubsotel.New(cfg, &eventhubsotel.Options{TracerProvider: tracers, ChildSpans: true})
	sender := telemetry.Sender(producer)
	consumer, err := eventhubs.NewConsumer(cfg, telemetry.CheckpointStore(store), nil)
	if err != nil {
		log.Fatal(err)
	}
	unobserve := telemetry.Observe(consumer)

	request, span := tracers.Tracer("shop").Start(context.Background(), "POST /orders")
	if err := sender.Send(request, eventhubs.Event{Body: []byte("a book"), PartitionID: "0"}); err != nil {
		log.Fatal(err)
	}
	span.End()
	if err := consumer.Receive(ctx, telemetry.Handler(handle)); err != nil {
		log.Fatal(err)
	}

	unobserve()
	_ = consumer.Close(context.Background())
	_ = producer.Close(context.Background())
	printTree(spans.GetSpans(), trace.SpanID{}, 0)
	// Output:
	// POST /orders (internal)
	//   send orders (producer)
	//     process orders (consumer)
	//       book a book (internal)
	// checkpoint orders (client)
}

// printTree prints the spans below a span.
func printTree(all tracetest.SpanStubs, parent trace.SpanID, depth int) {
	for _, s := range all {
		if s.Parent.SpanID() == parent {
			fmt.Printf("%s%s (%s)\n", strings.Repeat("  ", depth), s.Name, s.SpanKind)
			printTree(all, s.SpanContext.SpanID(), depth+1)
		}
	}
}

// Log records have the ids of the span that is in their context.
func ExampleLogHandler() {
	plain := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // which differs from run to run
			}
			return a
		},
	})
	logger := slog.New(eventhubsotel.LogHandler(plain)) // for eventhubs.Config as well

	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2},
	}))
	logger.InfoContext(ctx, "booked", "order", 7)
	logger.Info("started")
	// Output:
	// level=INFO msg=booked order=7 trace_id=01000000000000000000000000000000 span_id=0200000000000000
	// level=INFO msg=started
}

// Set-up takes one line each.
func ExampleNew() {
	srv, err := eventhubstest.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	cfg, store := srv.Config("hub"), eventhubs.NewMemoryCheckpointStore()
	producer, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	handle := func(_ context.Context, e *eventhubs.ReceivedEvent) error {
		fmt.Printf("handled %s\n", e.Body)
		stop()
		return nil
	}
	run := func() error {
		telemetry := eventhubsotel.New(cfg, nil) // with the global providers
		sender := telemetry.Sender(producer)     // its Send is Producer.Send
		store = telemetry.CheckpointStore(store)
		consumer, err := eventhubs.NewConsumer(cfg, store, nil)
		if err != nil {
			return err
		}
		defer telemetry.Observe(consumer)() // lag, checkpoints, partitions
		defer consumer.Close(context.Background())
		if err := sender.Send(ctx, eventhubs.Event{Body: []byte("a book")}); err != nil {
			return err
		}
		return consumer.Receive(ctx, telemetry.Handler(handle)) // or ReceiveBatch and BatchHandler
	}
	fmt.Println(run(), producer.Close(context.Background()))
	// Output:
	// handled a book
	// <nil> <nil>
}
