package eventhubstest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// patience is how long a test waits for something that must happen. If all is well, no wait takes that long.
const patience = 10 * time.Second

var quick = azeventhubs.RetryOptions{RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 50 * time.Millisecond}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

func ptr[T any](v T) *T { return &v }

// producer returns a producer client of the SDK, for a hub of a server.
func producer(t *testing.T, cfg eventhubs.Config) *azeventhubs.ProducerClient {
	t.Helper()
	p, err := azeventhubs.NewProducerClientFromConnectionString(
		cfg.ConnectionString, "", &azeventhubs.ProducerClientOptions{TLSConfig: cfg.TLSConfig, RetryOptions: quick},
	)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

func consumer(t *testing.T, cfg eventhubs.Config) *azeventhubs.ConsumerClient {
	t.Helper()
	c, err := azeventhubs.NewConsumerClientFromConnectionString(cfg.ConnectionString, "", azeventhubs.DefaultConsumerGroup,
		&azeventhubs.ConsumerClientOptions{TLSConfig: cfg.TLSConfig, RetryOptions: quick})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// partition reads a partition from its first event.
func partition(t *testing.T, c *azeventhubs.ConsumerClient, id string) *azeventhubs.PartitionClient {
	t.Helper()
	pc, err := c.NewPartitionClient(id, &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{Earliest: ptr(true)},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = pc.Close(context.Background()) })
	return pc
}

// send sends one batch to a partition.
func send(ctx context.Context, p *azeventhubs.ProducerClient, partition string, bodies ...string) error {
	batch, err := p.NewEventDataBatch(ctx, &azeventhubs.EventDataBatchOptions{PartitionID: &partition})
	if err != nil {
		return err
	}
	for _, body := range bodies {
		if err := batch.AddEventData(&azeventhubs.EventData{Body: []byte(body)}, nil); err != nil {
			return err
		}
	}
	return p.SendEventDataBatch(ctx, batch, nil)
}

func bodies(events []eventhubstest.Event) (out []string) {
	for _, e := range events {
		out = append(out, string(e.Body))
	}
	return out
}

// failing is a TB that records how the test fails.
type failing struct {
	message string
	cleanup []func()
}

func (f *failing) Helper()                           {}
func (f *failing) Cleanup(fn func())                 { f.cleanup = append(f.cleanup, fn) }
func (f *failing) Fatalf(format string, args ...any) { f.message = fmt.Sprintf(format, args...) }
