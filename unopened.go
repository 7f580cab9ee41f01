package eventhubs

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs/internal/retry"
	"github.com/go-eventhubs/eventhubs/internal/sdkerr"
)

const (
	// firstProbeTimeout and probeTimeout are how long a link may take to be opened, or refused. The SDK tries several times before it says why it can't.
	firstProbeTimeout = 5 * time.Second
	probeTimeout      = time.Minute
	// unopenedAfter is how long a partition that was claimed may take to be opened before it is asked why it isn't.
	unopenedAfter = 5 * time.Second
)

// watchUnopened finds out why partitions can't be read. The Processor only writes it to the SDK's log, and tries again for ever (processor.go, dispatch): nothing would arrive,
// and nobody would be told. So one partition is probed at the start, and later each one that was claimed and isn't opened.
func (g *generation) watchUnopened() {
	g.probeFirst()
	tick := time.NewTicker(unopenedAfter / 2)
	defer tick.Stop()
	looks := map[string]int{} // how often in a row a partition was claimed and not opened
	for {
		select {
		case <-g.fetch.Done():
			return
		case <-tick.C:
		}
		for id := range looks {
			if g.isOpen(id) {
				delete(looks, id)
			}
		}
		for id, since := range g.lease.Held() {
			if time.Since(since) < unopenedAfter || g.isOpen(id) {
				continue
			}
			if looks[id]++; retry.Worth(looks[id]) {
				g.explainUnopened(id)
			}
		}
	}
}

func (g *generation) isOpen(partition string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open[partition]
}

func (g *generation) setOpen(partition string, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[partition] = open
}

// probeFirst opens a link to any partition, at its end.
func (g *generation) probeFirst() {
	ctx, cancel := context.WithTimeout(g.fetch, firstProbeTimeout)
	defer cancel()
	properties, err := g.client.GetEventHubProperties(ctx, nil)
	if err != nil || len(properties.PartitionIDs) == 0 {
		return // the Processor asks the same, and says what is wrong
	}
	latest := true
	if err := g.probe(ctx, properties.PartitionIDs[0], azeventhubs.StartPosition{Latest: &latest}); err != nil && isFatal(err) {
		g.fail(g.target.explain(sdkerr.Receive, g.entity(), err))
	}
}

// explainUnopened says why a partition can't be opened where it is to begin.
func (g *generation) explainUnopened(partition string) {
	ctx, cancel := context.WithTimeout(g.fetch, probeTimeout)
	defer cancel()
	err := g.probe(ctx, partition, g.beginning(partition))
	switch {
	case err == nil, ctx.Err() != nil, g.isOpen(partition):
	case isFatal(err):
		g.fail(g.target.explain(sdkerr.Receive, g.entity()+"/"+partition, err))
	case sdkerr.IsRefusedPosition(err):
		g.beginAnew(partition)
		fallthrough
	default:
		g.logger().Error("eventhubs: a partition can't be opened, and is tried again", "partition", partition, "error", g.target.explain(sdkerr.Receive, g.entity()+"/"+partition, err))
	}
}

// probe opens a link, and returns why it can't be opened, or nil. It has no epoch, so it takes nothing away from anyone: where there is a reader with one, the probe is
// refused, which is as good an answer as any.
func (g *generation) probe(ctx context.Context, partition string, at azeventhubs.StartPosition) error {
	client, err := g.client.NewPartitionClient(partition, &azeventhubs.PartitionClientOptions{Prefetch: -1, StartPosition: at})
	if err != nil {
		return err
	}
	_, err = client.ReceiveEvents(ctx, 1, nil)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = client.Close(closing) // the link is gone either way
	if sdkerr.IsOwnershipLost(err) || ctx.Err() != nil {
		return nil
	}
	return err
}
