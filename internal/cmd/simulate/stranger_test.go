package simulate_test

import (
	"context"
	"net"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
)

// steal has a stranger read a partition with a higher epoch, until calm is called. The stranger asks nobody, and knows
// nothing of claims.
//
// Only one goroutine uses the stranger's client. Of two, one might wait for a mutex of the SDK that the other holds
// over the network, and virtual time would stand still.
func (s *simulation) steal(ctx context.Context, partition string) (calm func()) {
	n := newNetwork(s.server.DialContext)
	stealing, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.read(stealing, n, partition)
	}()
	return func() {
		cancel()
		n.kill() // whatever it waits for fails
		<-ended
	}
}

func (s *simulation) read(ctx context.Context, n *network, partition string) {
	cfg := s.server.Config(hub)
	c, err := azeventhubs.NewConsumerClientFromConnectionString(cfg.ConnectionString, "", group,
		&azeventhubs.ConsumerClientOptions{
			InstanceID: "stranger",
			NewWebSocketConn: func(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) {
				return n.dial(ctx, "tcp", s.address())
			},
			RetryOptions: azeventhubs.RetryOptions{MaxRetries: -1},
		})
	require.NoError(s.t, err)
	for epoch, latest := int64(1), true; ctx.Err() == nil; sleep(ctx, time.Second) {
		p, err := c.NewPartitionClient(partition, &azeventhubs.PartitionClientOptions{
			OwnerLevel: &epoch, StartPosition: azeventhubs.StartPosition{Latest: &latest},
		})
		require.NoError(s.t, err)
		for err == nil {
			_, err = p.ReceiveEvents(ctx, 100, nil)
		}
		closeRaw(ctx, p.Close)
	}
	closeRaw(ctx, c.Close)
}

// closeRaw closes a link or a client of the SDK. What that waits for has failed, or fails within closeTime.
func closeRaw(ctx context.Context, do func(context.Context) error) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	_ = do(closing)
}
