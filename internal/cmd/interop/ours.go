package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/go-eventhubs/eventhubs"
)

// ours is this library, and the SDK through Client for operations that the library leaves to it.
type ours struct {
	*goSDK
	stores map[string]claims // of each processor; guarded by openMu
}

func newOurs() *ours { return &ours{goSDK: newGoSDK(), stores: map[string]claims{}} }

func (o *ours) hello(context.Context) (hello, error) { return helloOf("ours"), nil }

func (o *ours) config(at target) (eventhubs.Config, error) {
	trusted, err := trust(at)
	return eventhubs.Config{ConnectionString: at.Connection, TLSConfig: trusted, Retry: quick, WebSockets: at.WebSockets,
		Logger: slog.New(slog.DiscardHandler)}, err
}

func (o *ours) producer(at target) (*eventhubs.Producer, error) {
	cfg, err := o.config(at)
	if err != nil {
		return nil, err
	}
	return eventhubs.NewProducer(cfg, nil)
}

// consumer returns a consumer's Client. Its checkpoint store is never used.
func (o *ours) consumer(at target) (*azeventhubs.ConsumerClient, error) {
	cfg, err := o.config(at)
	if err != nil {
		return nil, err
	}
	c, err := eventhubs.NewConsumer(cfg, eventhubs.NewMemoryCheckpointStore(),
		&eventhubs.ConsumerOptions{ConsumerGroup: at.Group})
	if err != nil {
		return nil, err
	}
	return c.Client(), nil
}

func (o *ours) hubProperties(ctx context.Context, at target) (hubProperties, error) {
	p, err := o.producer(at)
	if err != nil {
		return hubProperties{}, err
	}
	defer p.Close(ctx)
	return hubOf(ctx, p.Client())
}

func (o *ours) partitionProperties(ctx context.Context, at target, partition string) (partitionProperties, error) {
	c, err := o.consumer(at)
	if err != nil {
		return partitionProperties{}, err
	}
	defer c.Close(ctx)
	return partitionOf(ctx, c, partition)
}

func (o *ours) send(ctx context.Context, at target, b batch) error {
	events := make([]addressed, len(b.Events))
	for i, e := range b.Events {
		events[i] = addressed{e, b.Partition, b.Key}
	}
	return o.sendBuffered(ctx, at, events)
}

func (o *ours) sendOne(ctx context.Context, at target, s single) error {
	return o.sendBuffered(ctx, at, []addressed{{s.Event, s.Partition, s.Key}})
}

// sendBuffered is Send, which puts events with the same destination into batches by itself.
func (o *ours) sendBuffered(ctx context.Context, at target, events []addressed) error {
	p, err := o.producer(at)
	if err != nil {
		return err
	}
	defer p.Close(ctx)
	out := make([]eventhubs.Event, len(events))
	for i, e := range events {
		if out[i], err = ourEvent(e); err != nil {
			return err
		}
	}
	return ourFault(p.Send(ctx, out...))
}

func ourEvent(e addressed) (eventhubs.Event, error) {
	out := eventhubs.Event{Body: e.Body, PartitionID: e.Partition, PartitionKey: e.Key, Properties: map[string]any{}}
	var err error
	if !e.plain() {
		return out, unsupported("an Event has no footer, no delivery annotations and no null")
	}
	for name, v := range e.Properties {
		if out.Properties[name], err = goValue(v); err != nil {
			return out, err
		}
	}
	if e.CorrelationID != nil {
		if out.CorrelationID, err = goValue(*e.CorrelationID); err != nil {
			return out, err
		}
	}
	for _, field := range []struct {
		name string
		from *value
		to   *string
	}{{"message id", e.MessageID, &out.MessageID}, {"content type", e.ContentType, &out.ContentType}} {
		s, err := stringOf(field.name, field.from)
		if err != nil {
			return out, err
		}
		if s != nil {
			*field.to = *s
		}
	}
	return out, nil
}

func ourFault(err error) error {
	if errors.As(err, new(*eventhubs.EventTooLargeError)) {
		return &fault{kindTooLarge, err.Error()}
	}
	return goFault(err)
}

func (o *ours) fill(ctx context.Context, at target, partition string, size int) (int, error) {
	p, err := o.producer(at)
	if err != nil {
		return 0, err
	}
	defer p.Close(ctx)
	return fillBatch(ctx, p.Client(), partition, size)
}

func (o *ours) largest(ctx context.Context, at target, partition string) (largest, error) {
	p, err := o.producer(at)
	if err != nil {
		return largest{}, err
	}
	defer p.Close(ctx)
	size, refused, err := bisect(func(size int) error {
		return ourFault(p.Send(ctx, eventhubs.Event{Body: make([]byte, size), PartitionID: partition}))
	})
	return largest{size, refused}, err
}

func (o *ours) receive(ctx context.Context, at target, r reading) (received, error) {
	c, err := o.consumer(at)
	if err != nil {
		return received{}, err
	}
	defer c.Close(ctx)
	return readWith(ctx, c, r)
}

func (o *ours) hold(_ context.Context, at target, r reading) (string, error) {
	c, err := o.consumer(at)
	if err != nil {
		return "", err
	}
	return o.holdWith(c, r), nil
}

func (o *ours) process(ctx context.Context, at target, p processing) (string, error) {
	cfg, err := o.config(at)
	if err != nil {
		return "", err
	}
	store, err := eventhubs.NewBlobCheckpointStore(ctx, eventhubs.BlobConfig{
		ConnectionString: p.Store, Container: p.Container, KeepCase: p.KeepCase, Logger: cfg.Logger,
	})
	if err != nil {
		return "", err
	}
	c, err := eventhubs.NewConsumer(cfg, store, &eventhubs.ConsumerOptions{
		ConsumerGroup: at.Group, Start: azeventhubs.StartPositions{Default: position(p.Start)},
		CheckpointCount: 1, DrainTimeout: -1,
		UpdateInterval: balanceEvery, ExpirationInterval: expireAfter,
	})
	if err != nil {
		return "", err
	}
	name := o.background(func(ctx context.Context, b *background) error {
		defer c.Close(context.Background())
		return c.Receive(ctx, func(ctx context.Context, e *eventhubs.ReceivedEvent) error {
			b.eventsMu.Lock()
			enough := p.StopAfter > 0 && len(b.events) >= p.StopAfter
			if !enough {
				b.events = append(b.events, processedEvent{e.PartitionID, e.SequenceNumber})
			}
			b.eventsMu.Unlock()
			if enough {
				<-ctx.Done()
				return fmt.Errorf("enough was processed: %w", context.Cause(ctx))
			}
			return nil
		})
	})
	o.openMu.Lock()
	defer o.openMu.Unlock()
	o.stores[name] = claims{store, c.Client().InstanceID()}
	return name, nil
}

// claims is the store that keeps a consumer's claims, and the consumer's name there.
type claims struct {
	store *eventhubs.BlobCheckpointStore
	owner string
}

// processed asks the store which partitions are owned.
func (o *ours) processed(ctx context.Context, at target, processor string) (processed, error) {
	p, err := o.goSDK.processed(ctx, at, processor)
	if err != nil {
		return p, err
	}
	cs, err := azeventhubs.ParseConnectionString(at.Connection)
	if err != nil {
		return p, err
	}
	o.openMu.Lock()
	mine := o.stores[processor]
	o.openMu.Unlock()
	list, err := mine.store.ListOwnership(ctx, cs.FullyQualifiedNamespace, at.Hub, at.Group, nil)
	for _, claim := range list {
		if claim.OwnerID == mine.owner {
			p.Owned = append(p.Owned, claim.PartitionID)
		}
	}
	slices.Sort(p.Owned)
	return p, err
}
