// Command service sends what is posted to /events, and handles the events that come. SIGTERM ends it in good order. It listens on HTTP_ADDRESS; for the rest of
// the environment see eventhubs.ConfigFromEnv and eventhubs.BlobConfigFromEnv.
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

	// Requests first: no new ones are taken, and those under way are answered. Then the handlers finish, the last checkpoints are written, and the partitions
	// go to other instances. Then nobody sends any more.
	ending, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	err = errors.Join(server.Shutdown(ending), consumer.Close(ending), <-received, producer.Close(ending))
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
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
		DrainTimeout: 10 * time.Second,
	})
	return producer, consumer, err
}

func routes(ctx context.Context, producer *eventhubs.Producer, consumer *eventhubs.Consumer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil {
			http.Error(w, "ending", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /partitions", func(w http.ResponseWriter, _ *http.Request) { // how far behind each is, and what its handler is at
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(consumer.Partitions()) // a client that has gone needs no answer
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
