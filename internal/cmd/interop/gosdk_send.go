package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

func (g *goSDK) send(ctx context.Context, at target, b batch) error {
	p, err := g.producer(at)
	if err != nil {
		return err
	}
	defer p.Close(ctx)
	out, err := p.NewEventDataBatch(ctx, batchOptions(b.Partition, b.Key))
	if err != nil {
		return goFault(err)
	}
	for _, e := range b.Events {
		if err := add(out, e); err != nil {
			return goFault(err)
		}
	}
	return goFault(p.SendEventDataBatch(ctx, out, nil))
}

func (g *goSDK) sendOne(context.Context, target, single) error {
	return unsupported("azeventhubs sends batches only")
}

func (g *goSDK) sendBuffered(context.Context, target, []addressed) error {
	return unsupported("azeventhubs has no buffered producer")
}

func (g *goSDK) sendIdempotent(context.Context, target, []addressed) error {
	return unsupported("azeventhubs has no idempotent publishing")
}

func batchOptions(partition, key string) *azeventhubs.EventDataBatchOptions {
	o := &azeventhubs.EventDataBatchOptions{}
	if partition != "" {
		o.PartitionID = &partition
	}
	if key != "" {
		o.PartitionKey = &key
	}
	return o
}

func add(b *azeventhubs.EventDataBatch, e event) error {
	if !e.plain() {
		return addAnnotated(b, e)
	}
	d := &azeventhubs.EventData{Body: e.Body, Properties: map[string]any{}}
	var err error
	for name, v := range e.Properties {
		if d.Properties[name], err = goValue(v); err != nil {
			return err
		}
	}
	if e.CorrelationID != nil {
		if d.CorrelationID, err = goValue(*e.CorrelationID); err != nil {
			return err
		}
	}
	if d.ContentType, err = stringOf("content type", e.ContentType); err != nil {
		return err
	}
	if d.MessageID, err = stringOf("message id", e.MessageID); err != nil {
		return err
	}
	return b.AddEventData(d, nil)
}

// addAnnotated adds a message with sections that an EventData can't have.
func addAnnotated(b *azeventhubs.EventDataBatch, e event) error {
	if e.NullBody {
		return unsupported("azeventhubs sends no null")
	}
	m := &azeventhubs.AMQPAnnotatedMessage{
		Body: azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{e.Body}},
	}
	var err error
	if m.Footer, err = annotations(e.Footer); err != nil {
		return err
	}
	if m.DeliveryAnnotations, err = annotations(e.DeliveryAnnotations); err != nil {
		return err
	}
	return b.AddAMQPAnnotatedMessage(m, nil)
}

func annotations(values map[string]value) (map[any]any, error) {
	out := map[any]any{}
	for name, v := range values {
		decoded, err := goValue(v)
		if err != nil {
			return nil, err
		}
		out[name] = decoded
	}
	return out, nil
}

func stringOf(what string, v *value) (*string, error) {
	if v == nil {
		return nil, nil
	}
	s, ok := v.V.(string)
	if v.T != "string" || !ok {
		return nil, unsupported("EventData has no %s of the type %s", what, v.T)
	}
	return &s, nil
}

func (g *goSDK) fill(ctx context.Context, at target, partition string, size int) (int, error) {
	p, err := g.producer(at)
	if err != nil {
		return 0, err
	}
	defer p.Close(ctx)
	return fillBatch(ctx, p, partition, size)
}

func fillBatch(ctx context.Context, p *azeventhubs.ProducerClient, partition string, size int) (int, error) {
	b, err := p.NewEventDataBatch(ctx, batchOptions(partition, ""))
	if err != nil {
		return 0, goFault(err)
	}
	for {
		err := b.AddEventData(&azeventhubs.EventData{Body: make([]byte, size)}, nil)
		if errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
			return int(b.NumEvents()), goFault(p.SendEventDataBatch(ctx, b, nil))
		}
		if err != nil {
			return 0, goFault(err)
		}
	}
}

func (g *goSDK) largest(ctx context.Context, at target, partition string) (largest, error) {
	p, err := g.producer(at)
	if err != nil {
		return largest{}, err
	}
	defer p.Close(ctx)
	fits := func(size int) (*azeventhubs.EventDataBatch, error) {
		b, err := p.NewEventDataBatch(ctx, batchOptions(partition, ""))
		if err != nil {
			return nil, err
		}
		return b, b.AddEventData(&azeventhubs.EventData{Body: make([]byte, size)}, nil)
	}
	size, refused, err := bisect(func(size int) error {
		_, err := fits(size)
		return err
	})
	if err != nil {
		return largest{}, goFault(err)
	}
	b, err := fits(size)
	if err == nil {
		err = p.SendEventDataBatch(ctx, b, nil)
	}
	return largest{size, refused}, goFault(err)
}

// bisect finds the largest size that take accepts, and the kind of the error for one byte more.
func bisect(take func(size int) error) (size int, refused string, err error) {
	low, high := 0, 2<<20
	if err := take(low); err != nil {
		return 0, "", fmt.Errorf("even %d bytes are refused: %w", low, err)
	}
	for high-low > 1 {
		mid := (low + high) / 2
		if err := take(mid); err == nil {
			low = mid
		} else {
			high, refused = mid, kindOf(goFault(err))
		}
	}
	return low, refused, nil
}
