package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// Two consumers read 32 partitions for ten minutes, with default options, and the calls to the storage account are
// counted.
const (
	storageCommand    = "storage"
	storagePartitions = 32
	storageTime       = 10 * time.Minute
)

func storageRows() []row {
	return []row{
		{"calls to storage in ten minutes: 32 partitions, 2 consumers, an event a second each", 1,
			target{kind: within, value: 3000, unit: count}, setupStorage("events")},
		{"calls to storage in ten minutes: 32 partitions, 2 consumers, no events", 1,
			target{kind: within, value: 400, unit: count}, setupStorage("idle")},
	}
}

func setupStorage(load string) func(context.Context) (sides, func(), error) {
	return func(context.Context) (sides, func(), error) {
		side := func(who string) func(context.Context) (float64, error) {
			return func(ctx context.Context) (float64, error) {
				c, err := countStorage(ctx, who, load)
				if err != nil {
					return 0, err
				}
				fmt.Printf("bench:   %s, %s: %s\n", who, load, c)
				return float64(c.total()), nil
			}
		}
		return sides{side("ours"), side("sdk")}, nil, nil
	}
}

// calls counts calls to the storage account by their kind.
type calls map[string]int

func (c calls) total() (n int) {
	for _, k := range c {
		n += k
	}
	return n
}

// Prices in dollars of 10,000 writes or listings, and of 10,000 reads, for a general-purpose account, hot, locally
// redundant.
const (
	priceWrite = 0.05
	priceRead  = 0.004
)

func (c calls) String() string {
	var b strings.Builder
	dollars := 0.0
	for _, kind := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%s=%d ", strings.ReplaceAll(kind, " ", "_"), c[kind])
		price := priceWrite
		if strings.HasPrefix(kind, "read") {
			price = priceRead
		}
		dollars += float64(c[kind]) * price / 10_000
	}
	const month = 30 * 24 * time.Hour
	fmt.Fprintf(&b, "together=%d, $%.2f a month", c.total(), dollars*float64(month/storageTime))
	return b.String()
}

// countStorage counts the calls in a process of its own, in virtual time.
func countStorage(ctx context.Context, who, load string) (c calls, err error) {
	line, err := inBubble(ctx, storageCommand, who, load)
	if err != nil {
		return nil, err
	}
	return c, json.Unmarshal([]byte(line), &c)
}

// storageBubble is what the process of countStorage runs. It returns the calls as JSON.
func storageBubble(t *testing.T, args []string) string {
	line, err := json.Marshal(storageCalls(t, args[0], args[1] == "events"))
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

// storageCalls counts the calls of ten minutes, those at the start included.
func storageCalls(t *testing.T, who string, events bool) calls {
	srv := eventhubstest.Start(t, &eventhubstest.Options{
		InMemory: true, Hubs: []eventhubstest.Hub{{Name: hub, Partitions: storagePartitions}},
	})
	counter := &callCounter{calls: calls{}}
	blobs := srv.BlobConfig("checkpoints")
	blobs.ClientOptions.PerCallPolicies = []policy.Policy{counter}
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	for i := range 2 {
		receive := storedByOurs
		if who == "sdk" {
			receive = storedBySDK
		}
		reading.Go(func() {
			if err := receive(ctx, t, srv, blobs, fmt.Sprintf("consumer-%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	p, err := eventhubs.NewProducer(srv.Config(hub), nil)
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < storageTime; time.Sleep(time.Second) {
		if !events {
			continue
		}
		var second []eventhubs.Event
		for id := range storagePartitions {
			second = append(second, eventhubs.Event{PartitionID: fmt.Sprint(id)})
		}
		if err := p.Send(ctx, second...); err != nil {
			t.Fatal(err)
		}
	}
	counted := counter.take()
	cancel()
	reading.Wait()
	if err := p.Close(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
	return counted
}

func storedByOurs(
	ctx context.Context, _ *testing.T, srv *eventhubstest.Server, blobs eventhubs.BlobConfig, name string,
) error {
	store, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
	if err != nil {
		return err
	}
	c, err := eventhubs.NewConsumer(srv.Config(hub), store, &eventhubs.ConsumerOptions{InstanceID: name})
	if err != nil {
		return err
	}
	err = c.Receive(ctx, func(context.Context, *eventhubs.ReceivedEvent) error { return nil })
	return errors.Join(err, c.Close(context.WithoutCancel(ctx)))
}

// storedBySDK is the SDK's example with its defaults.
func storedBySDK(
	ctx context.Context, _ *testing.T, srv *eventhubstest.Server, blobs eventhubs.BlobConfig, name string,
) error {
	ours, err := eventhubs.NewBlobCheckpointStore(ctx, blobs)
	if err != nil {
		return err
	}
	store, err := checkpoints.NewBlobStore(ours.Client(), nil)
	if err != nil {
		return err
	}
	client, err := azeventhubs.NewConsumerClientFromConnectionString(srv.ConnectionString(hub), "", "$Default",
		&azeventhubs.ConsumerClientOptions{InstanceID: name, NewWebSocketConn: srv.NewWebSocketConn})
	if err != nil {
		return err
	}
	r := &rawReceiver{client: client, store: store, wait: exampleWait, handle: func(*azeventhubs.ReceivedEventData) {}}
	err = r.run(ctx)
	return errors.Join(err, client.Close(context.WithoutCancel(ctx)))
}

// callCounter counts the calls of a client by their kind.
type callCounter struct {
	callsMu sync.Mutex
	calls   calls
}

func (c *callCounter) Do(r *policy.Request) (*http.Response, error) {
	c.callsMu.Lock()
	c.calls[kindOf(r.Raw())]++
	c.callsMu.Unlock()
	return r.Next()
}

func (c *callCounter) take() calls {
	c.callsMu.Lock()
	defer c.callsMu.Unlock()
	taken := c.calls
	c.calls = calls{}
	return taken
}

func kindOf(r *http.Request) string {
	what := "container"
	for _, part := range []string{"ownership-request", "ownership", "checkpoint"} {
		if strings.Contains(r.URL.Path, "/"+part+"/") {
			what = part
			break
		}
	}
	switch {
	case r.URL.Query().Get("comp") == "list":
		return "list"
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return "read " + what
	}
	return "write " + what
}
