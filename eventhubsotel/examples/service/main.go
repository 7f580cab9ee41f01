// Command service is the example of the same name with tracing and metrics: it sends what is posted to /events and
// handles the events that come, and Prometheus scrapes /metrics. SIGTERM ends it in good order. It listens on
// HTTP_ADDRESS; for the rest of the environment see eventhubs.ConfigFromEnv, eventhubs.BlobConfigFromEnv and setUp.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
)

// grace is what each step of stopping has; the consumer has 10 seconds more, for its handlers.
const (
	grace        = 6 * time.Second
	drainTimeout = 10 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	registry := prometheus.NewRegistry()
	shutDown, err := setUp(ctx, registry)
	if err != nil {
		return err
	}
	s, err := open(ctx)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("HTTP_ADDRESS"), "127.0.0.1:8080"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.routes(registry), ReadHeaderTimeout: 10 * time.Second}
	received, served := make(chan error, 1), make(chan error, 1)
	go func() { defer stop(); received <- s.receive(context.WithoutCancel(ctx)) }()
	go func() { defer stop(); served <- server.Serve(listener) }()
	fmt.Println("Listening on http://" + listener.Addr().String())
	<-ctx.Done() // a signal has come, or one of the two can't go on

	err = errors.Join(
		within(grace, server.Shutdown), within(drainTimeout+grace, s.consumer.Close), <-received,
		within(grace, s.producer.Close), within(grace, shutDown)) // spans last, so that none is missing
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

func within(d time.Duration, end func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return end(ctx)
}

// service is a producer and a consumer, and what watches them.
type service struct {
	producer  *eventhubs.Producer
	consumer  *eventhubs.Consumer
	telemetry *eventhubsotel.Telemetry
	sender    *eventhubsotel.Sender
}

func open(ctx context.Context) (*service, error) {
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		return nil, err
	}
	blobs, err := eventhubs.BlobConfigFromEnv()
	if err != nil {
		return nil, err
	}
	store, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
	if err != nil {
		return nil, err
	}
	group := os.Getenv("EVENT_HUB_CONSUMER_GROUP")
	s := &service{telemetry: eventhubsotel.New(cfg, &eventhubsotel.Options{ConsumerGroup: group, ChildSpans: true})}
	if s.producer, err = eventhubs.NewProducer(cfg, nil); err != nil {
		return nil, err
	}
	s.sender = s.telemetry.Sender(s.producer)
	s.consumer, err = eventhubs.NewConsumer(cfg, s.telemetry.CheckpointStore(store), &eventhubs.ConsumerOptions{
		ConsumerGroup: group, InstanceID: os.Getenv("INSTANCE_ID"),
		DrainTimeout: drainTimeout, LagInterval: time.Minute,
	})
	return s, err
}

func (s *service) receive(ctx context.Context) error {
	defer s.telemetry.Observe(s.consumer)()
	return s.consumer.Receive(ctx, s.telemetry.Handler(handle))
}

func handle(ctx context.Context, e *eventhubs.ReceivedEvent) error {
	slog.InfoContext(ctx, "handled", "body", string(e.Body), "partition", e.PartitionID) // has a trace_id
	return nil
}

func (s *service) routes(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge) // or the client has gone
			return
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		if err := s.sender.Send(ctx, eventhubs.Event{Body: body}); err != nil {
			slog.ErrorContext(ctx, "not sent", "error", err)
			http.Error(w, "not sent: try again", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted) // and Event Hubs has the event
	})
	return mux
}
