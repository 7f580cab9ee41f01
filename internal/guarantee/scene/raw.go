package scene

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/stretchr/testify/require"
)

// Raw is the SDK's own Processor, run as its example does. Subtests called "raw SDK" use it where the subtests beside
// them use our Receive, and record what it does: that is why our code exists.
type Raw struct {
	Store   azeventhubs.CheckpointStore
	Clients chan *azeventhubs.ProcessorPartitionClient // as they are handed out
	Ended   chan struct{}                              // closed when Run has returned
	Err     error                                      // what it has returned

	scene  *Scene
	cancel context.CancelFunc
}

// RawStore returns the SDK's store, in a container that the library doesn't use.
func (s *Scene) RawStore() *checkpoints.BlobStore {
	s.T.Helper()
	store, err := checkpoints.NewBlobStore(s.OpenStore("raw").Client(), nil)
	require.NoError(s.T, err)
	return store
}

// RawClient returns a client of the SDK. The client leaves goroutines behind: see Scene.leave.
func (s *Scene) RawClient(who, group string) *azeventhubs.ConsumerClient {
	s.T.Helper()
	s.leaves = true
	c, err := azeventhubs.NewConsumerClientFromConnectionString(s.Config.ConnectionString, "", group,
		&azeventhubs.ConsumerClientOptions{InstanceID: who, NewWebSocketConn: s.Server.NewWebSocketConn})
	require.NoError(s.T, err)
	s.T.Cleanup(func() { require.NoError(s.T, c.Close(s.late())) })
	return c
}

// Raw runs a Processor of the SDK with default intervals.
func (s *Scene) Raw(who, group string, store azeventhubs.CheckpointStore, start azeventhubs.StartPosition) *Raw {
	s.T.Helper()
	r := &Raw{
		Store: store, Clients: make(chan *azeventhubs.ProcessorPartitionClient, 100), Ended: make(chan struct{}),
		scene: s,
	}
	p, err := azeventhubs.NewProcessor(s.RawClient(who, group), store, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: azeventhubs.ProcessorStrategyGreedy,
		StartPositions:        azeventhubs.StartPositions{Default: start},
	})
	require.NoError(s.T, err)
	ctx, cancel := context.WithCancel(s.late())
	r.cancel = cancel
	go func() {
		defer close(r.Ended)
		r.Err = p.Run(ctx)
	}()
	go func() {
		defer close(r.Clients)
		for {
			c := p.NextPartitionClient(s.late())
			if c == nil {
				return
			}
			r.Clients <- c
		}
	}()
	s.T.Cleanup(r.close)
	return r
}

// Cancel ends Run, and waits until it has returned.
func (r *Raw) Cancel() {
	r.cancel()
	<-r.Ended
}

func (r *Raw) close() {
	r.Cancel()
	for c := range r.Clients {
		_ = c.Close(r.scene.late())
	}
}

// Partition returns the next partition client.
func (r *Raw) Partition() *azeventhubs.ProcessorPartitionClient {
	t := r.scene.T
	t.Helper()
	late := time.NewTimer(r.scene.Patience())
	defer late.Stop()
	select {
	case c := <-r.Clients:
		require.NotNil(t, c, "the Processor has ended: %v", r.Err)
		t.Cleanup(func() { _ = c.Close(r.scene.late()) })
		return c
	case <-late.C:
		t.Fatal("the Processor hands out no partition")
		return nil
	}
}

// Next returns the next event of a partition.
func (r *Raw) Next(c *azeventhubs.ProcessorPartitionClient) *azeventhubs.ReceivedEventData {
	t := r.scene.T
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), r.scene.Patience())
	defer cancel()
	events, err := c.ReceiveEvents(ctx, 1, nil)
	require.NoError(t, err)
	return events[0]
}

// Rounds waits until the Processor has renewed its claim of a partition n times.
func (r *Raw) Rounds(group, partition string, n int) {
	r.scene.T.Helper()
	tag := func() string {
		if e := r.scene.Ownership(r.Store, group)[partition].ETag; e != nil {
			return string(*e)
		}
		return ""
	}
	for range n {
		was := tag()
		r.scene.Until("the Processor has renewed its claims", func() bool { return tag() != was })
	}
}

// Mended fails the test because the SDK no longer does what a "raw SDK" test records.
func (s *Scene) Mended(fact, workaround string) {
	s.T.Helper()
	s.T.Errorf("the SDK has mended this: %s. Our work-around may go: %s", fact, workaround)
}
