// Command send sends three events: the twin of the Python quickstart's send.py.
// It finds the event hub in the environment; see eventhubs.ConfigFromEnv.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/go-eventhubs/eventhubs"
)

func main() {
	if err := send(context.Background(), "First event", "Second event", "Third event"); err != nil {
		log.Fatal(err)
	}
}

func send(ctx context.Context, texts ...string) error {
	cfg, err := eventhubs.ConfigFromEnv()
	if err != nil {
		return err
	}
	producer, err := eventhubs.NewProducer(cfg, nil)
	if err != nil {
		return err
	}
	defer producer.Close(ctx)

	events := make([]eventhubs.Event, len(texts))
	for i, text := range texts {
		events[i].Body = []byte(text)
	}
	if err := producer.Send(ctx, events...); err != nil {
		return err
	}
	fmt.Println("Sent", len(events), "events")
	return nil
}
