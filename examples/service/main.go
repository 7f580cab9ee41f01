// Command service sends what is posted to /events, and handles the events that come. SIGTERM ends it in good order. It
// listens on HTTP_ADDRESS; for the rest of the environment see eventhubs.ConfigFromEnv and eventhubs.BlobConfigFromEnv.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-eventhubs/eventhubs"
)

// SIGTERM ends requests, the consumer, and the producer, in turn. Their times add up to what an orchestrator has to
// grant before it kills the process: 26 seconds. Kubernetes' terminationGracePeriodSeconds is 30 by default.
const (
	requestsGrace = 5 * time.Second
	drainTimeout  = 10 * time.Second // what running handlers get
	// consumerGrace is what Close needs: DrainTimeout, the 5 seconds that ConsumerOptions.DrainTimeout says for the last
	// checkpoints and to give the partitions back, and a little.
	consumerGrace = drainTimeout + 5*time.Second + time.Second
	producerGrace = 5 * time.Second
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
	producer, consumer, err := open(ctx)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("HTTP_ADDRESS"), "127.0.0.1:8080"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes(ctx, producer, consumer), ReadHeaderTimeout: 10 * time.Second}
	received, served := make(chan error, 1), make(chan error, 1)
	go func() { defer stop(); received <- consumer.Receive(context.WithoutCancel(ctx), handle) }()
	go func() { defer stop(); served <- server.Serve(listener) }()
	fmt.Println("Listening on http://" + listener.Addr().String())
	<-ctx.Done() // a signal has come, or one of the two can't go on

	// Requests first: no new ones are taken, and those under way are answered. Then the handlers finish, the last
	// checkpoints are written, and the partitions go to other instances. Then nobody sends any more.
	err = errors.Join(
		within(requestsGrace, server.Shutdown), within(consumerGrace, consumer.Close), <-received,
		within(producerGrace, producer.Close))
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

func open(ctx context.Context) (*eventhubs.Producer, *eventhubs.Consumer, error) {
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		return nil, nil, err
	}
	blobs, err := eventhubs.BlobConfigFromEnv()
	if err != nil {
		return nil, nil, err
	}
	store, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
	if err != nil {
		return nil, nil, err
	}
	producer, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		return nil, nil, err
	}
	consumer, err := eventhubs.NewConsumer(cfg, store, &eventhubs.ConsumerOptions{
		ConsumerGroup: os.Getenv("EVENT_HUB_CONSUMER_GROUP"), InstanceID: os.Getenv("INSTANCE_ID"),
		DrainTimeout: drainTimeout, LagInterval: time.Minute,
	})
	return producer, consumer, err
}

func routes(ctx context.Context, producer *eventhubs.Producer, consumer *eventhubs.Consumer) http.Handler {
	mux, after := http.NewServeMux(), unhealthyAfter()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		why := unhealthy(consumer.Status(), after)
		if ctx.Err() != nil {
			why = "ending"
		}
		if why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
		}
	})
	// The status is that of the store, and of each partition: how far behind it is, and what its handler is at.
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(consumer.Status()) // a client that has gone needs no answer
	})
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge) // or the client has gone
			return
		}
		switch err := producer.Send(r.Context(), eventhubs.Event{Body: body, PartitionKey: r.URL.Query().Get("key")}); {
		case err == nil:
			w.WriteHeader(http.StatusAccepted) // and Event Hubs has the event
		case errors.As(err, new(*eventhubs.EventTooLargeError)):
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		default:
			log.Print(err)
			http.Error(w, "not sent: try again", http.StatusServiceUnavailable)
		}
	})
	return mux
}

func handle(_ context.Context, e *eventhubs.ReceivedEvent) error {
	_, err := fmt.Printf("Handled %s from partition %s\n", e.Body, e.PartitionID)
	return err
}
