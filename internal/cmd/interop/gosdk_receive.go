package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

func (g *goSDK) receive(ctx context.Context, at target, r reading) (received, error) {
	c, err := g.consumer(at)
	if err != nil {
		return received{}, err
	}
	defer c.Close(ctx)
	return readWith(ctx, c, r)
}

func readWith(ctx context.Context, c *azeventhubs.ConsumerClient, r reading) (received, error) {
	if r.Track {
		return received{}, unsupported("azeventhubs has no last-enqueued tracking")
	}
	p, err := open(c, r)
	if err != nil {
		return received{}, err
	}
	defer p.Close(ctx)
	limited, cancel := context.WithTimeout(ctx, time.Duration(r.TimeoutMS)*time.Millisecond)
	defer cancel()
	events, err := p.ReceiveEvents(limited, r.Count, nil)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return received{}, goFault(err)
	}
	out := received{Events: []receivedEvent{}}
	for _, e := range events {
		out.Events = append(out.Events, goEvent(r.Partition, e))
	}
	return out, nil
}

// open makes a reader. The first call to ReceiveEvents opens the link.
func open(c *azeventhubs.ConsumerClient, r reading) (*azeventhubs.PartitionClient, error) {
	o := &azeventhubs.PartitionClientOptions{
		OwnerLevel: r.OwnerLevel, Prefetch: int32(r.Prefetch), StartPosition: position(r.Start),
	}
	if r.Prefetch == 1 { // one at a time
		o.Prefetch = -1
	}
	return c.NewPartitionClient(r.Partition, o)
}

func position(s start) azeventhubs.StartPosition {
	p := azeventhubs.StartPosition{Inclusive: s.Inclusive, SequenceNumber: s.Sequence}
	yes := true
	switch {
	case s.Earliest:
		p.Earliest = &yes
	case s.Latest:
		p.Latest = &yes
	case s.Offset != "":
		p.Offset = &s.Offset
	case s.TimeMS != nil:
		t := time.UnixMilli(*s.TimeMS)
		p.EnqueuedTime = &t
	}
	return p
}

func goEvent(partition string, e *azeventhubs.ReceivedEventData) receivedEvent {
	out := receivedEvent{Partition: partition, Sequence: e.SequenceNumber, Offset: e.Offset}
	out.Body = e.Body
	out.Properties = valuesOf(e.Properties)
	out.System = valuesOf(e.SystemProperties)
	out.Footer = annotationsOf(e.RawAMQPMessage.Footer)
	out.DeliveryAnnotations = annotationsOf(e.RawAMQPMessage.DeliveryAnnotations)
	if e.EnqueuedTime != nil {
		out.EnqueuedMS = e.EnqueuedTime.UnixMilli()
	}
	if e.PartitionKey != nil {
		out.Key = *e.PartitionKey
	}
	if e.MessageID != nil {
		out.MessageID = text(*e.MessageID)
	}
	if p := e.RawAMQPMessage.Properties; e.MessageID == nil && p != nil && p.MessageID != nil {
		v := valueOf(p.MessageID)
		out.MessageID = &v
	}
	if e.CorrelationID != nil {
		v := valueOf(e.CorrelationID)
		out.CorrelationID = &v
	}
	if e.ContentType != nil {
		out.ContentType = text(*e.ContentType)
	}
	return out
}

func valuesOf(m map[string]any) map[string]value {
	out := map[string]value{}
	for name, v := range m {
		out[name] = valueOf(v)
	}
	return out
}

func annotationsOf(a map[any]any) map[string]value {
	out := map[string]value{}
	for name, v := range a {
		out[fmt.Sprint(name)] = valueOf(v)
	}
	return out
}

// unfiltered reads with the AMQP library that azeventhubs uses: azeventhubs itself always sends a filter.
func (g *goSDK) unfiltered(ctx context.Context, at target, partition string, count int) (bodies [][]byte, err error) {
	session, done, err := signIn(ctx, at)
	if err != nil {
		return nil, err
	}
	defer done()
	source := at.Hub + "/ConsumerGroups/" + at.Group + "/Partitions/" + partition
	link, err := session.NewReceiver(ctx, source, nil)
	if err != nil {
		return nil, err
	}
	for len(bodies) < count {
		m, err := link.Receive(ctx, nil)
		if err != nil {
			return bodies, err
		}
		bodies = append(bodies, m.GetData())
	}
	return bodies, nil
}

func (g *goSDK) hold(ctx context.Context, at target, r reading) (string, error) {
	c, err := g.consumer(at)
	if err != nil {
		return "", err
	}
	return g.holdWith(c, r), nil
}

// holdWith reads with a client, and closes the client in the end.
func (g *goSDK) holdWith(c *azeventhubs.ConsumerClient, r reading) string {
	return g.background(func(ctx context.Context, b *background) error {
		defer c.Close(context.Background())
		p, err := open(c, r)
		if err != nil {
			return err
		}
		defer p.Close(context.Background())
		for {
			events, err := p.ReceiveEvents(ctx, 1, nil)
			if err != nil {
				return err
			}
			b.eventsMu.Lock()
			b.count += len(events)
			b.eventsMu.Unlock()
		}
	})
}

func (g *goSDK) held(_ context.Context, _ target, reader string) (held, error) {
	b, err := g.find(reader)
	if err != nil {
		return held{}, err
	}
	b.eventsMu.Lock()
	defer b.eventsMu.Unlock()
	return held{b.count, b.fault()}, nil
}

func (g *goSDK) release(_ context.Context, _ target, reader string) error { return g.end(reader) }
