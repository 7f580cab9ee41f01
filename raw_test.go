package eventhubs_test

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/stretchr/testify/require"
)

// raw is the SDK's own Processor with its own checkpoint store, run as its example does. Subtests called "raw SDK" put it where our Receive is in the subtests
// beside them, and say what it does: that is why our code is there.
type raw struct {
	client  *azeventhubs.ConsumerClient
	store   *checkpoints.BlobStore
	clients chan *azeventhubs.ProcessorPartitionClient // as they are handed out
	cancel  context.CancelFunc
	ended   chan struct{} // closed when Run has returned
	err     error         // what it has returned
}

// rawStore is the SDK's store, in a container that the library doesn't use.
func (s *scene) rawStore() *checkpoints.BlobStore {
	s.t.Helper()
	store, err := checkpoints.NewBlobStore(s.openStore("raw").Client(), nil)
	require.NoError(s.t, err)
	return store
}

// raw runs a Processor.
func (s *scene) raw(who, group string, start azeventhubs.StartPosition) *raw {
	s.t.Helper()
	r := &raw{store: s.rawStore(), clients: make(chan *azeventhubs.ProcessorPartitionClient, 100), ended: make(chan struct{})}
	var err error
	r.client, err = azeventhubs.NewConsumerClientFromConnectionString(s.cfg.ConnectionString, "", group, &azeventhubs.ConsumerClientOptions{
		InstanceID: who, RetryOptions: s.cfg.Retry,
	})
	require.NoError(s.t, err)
	p, err := azeventhubs.NewProcessor(r.client, r.store, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: azeventhubs.ProcessorStrategyGreedy, UpdateInterval: updateInterval, PartitionExpirationDuration: expiration,
		StartPositions: azeventhubs.StartPositions{Default: start},
	})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	r.cancel = cancel
	go func() {
		defer close(r.ended)
		r.err = p.Run(ctx)
	}()
	go func() {
		defer close(r.clients)
		for c := p.NextPartitionClient(context.WithoutCancel(ctx)); c != nil; c = p.NextPartitionClient(context.WithoutCancel(ctx)) {
			r.clients <- c
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		<-r.ended
		for c := range r.clients {
			_ = c.Close(context.Background())
		}
		require.NoError(s.t, r.client.Close(context.Background()))
	})
	return r
}

// partition returns the next partition client.
func (r *raw) partition(t *testing.T) *azeventhubs.ProcessorPartitionClient {
	t.Helper()
	select {
	case c := <-r.clients:
		require.NotNil(t, c, "the Processor has ended: %v", r.err)
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		return c
	case <-time.After(patience):
		t.Fatal("the Processor hands out no partition")
		return nil
	}
}

// rawEvent returns the next event of a partition.
func rawEvent(t *testing.T, c *azeventhubs.ProcessorPartitionClient) *azeventhubs.ReceivedEventData {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	events, err := c.ReceiveEvents(ctx, 1, nil)
	require.NoError(t, err)
	return events[0]
}

// rounds waits until the Processor has renewed its claim of a partition so many times.
func (s *scene) rounds(r *raw, group, partition string, n int) {
	s.t.Helper()
	tag := func() string {
		if e := s.ownership(r.store, group)[partition].ETag; e != nil {
			return string(*e)
		}
		return ""
	}
	for range n {
		was := tag()
		s.until("the Processor has renewed its claims", func() bool { return tag() != was })
	}
}

// mended says that the SDK does not do any more what a twin records.
func mended(t *testing.T, fact, workaround string) {
	t.Helper()
	t.Errorf("the SDK has mended this: %s. Our work-around may go: %s", fact, workaround)
}

// earliest is where the Processor begins where the library would without being told.
var earliest = azeventhubs.StartPosition{Earliest: ptr(true)}
