package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"
)

// destination is where an event goes: to the partition of a key, to a partition, or, if both are empty, wherever the service likes.
type destination struct{ key, partition string }

func (d destination) options() *azeventhubs.EventDataBatchOptions {
	o := &azeventhubs.EventDataBatchOptions{}
	if d.key != "" {
		o.PartitionKey = &d.key
	}
	if d.partition != "" {
		o.PartitionID = &d.partition
	}
	return o
}

// batch is an SDK batch and the indexes of its events in the arguments of Send.
type batch struct {
	sdk     *azeventhubs.EventDataBatch
	indexes []int
}

// pack groups events by destination and splits each group into batches. Nothing is sent: what can't be sent is found out here.
func (p *Producer) pack(ctx context.Context, events []Event) ([][]batch, error) {
	var groups [][]batch
	at := map[destination]int{}
	for i := range events {
		e := &events[i]
		if e.PartitionKey != "" && e.PartitionID != "" {
			return nil, fmt.Errorf("eventhubs: send: event %d has both PartitionKey %q and PartitionID %q: set one of them", i, e.PartitionKey, e.PartitionID)
		}
		to := destination{e.PartitionKey, e.PartitionID}
		n, seen := at[to]
		if !seen {
			n = len(groups)
			at[to] = n
			groups = append(groups, nil)
		}
		var err error
		if groups[n], err = p.add(ctx, groups[n], to, e, i); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// add puts an event into the last batch of its group, or into a new one.
func (p *Producer) add(ctx context.Context, batches []batch, to destination, e *Event, index int) ([]batch, error) {
	data := e.sdk()
	if last := len(batches) - 1; last >= 0 {
		err := batches[last].sdk.AddEventData(data, nil)
		if err == nil {
			batches[last].indexes = append(batches[last].indexes, index)
			return batches, nil
		}
		if !errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
			return nil, badEvent(index, err)
		}
	}
	b, err := p.client.NewEventDataBatch(ctx, to.options())
	if err != nil {
		return nil, p.cfg.explain("send", p.cfg.EventHub, err)
	}
	err = b.AddEventData(data, nil)
	if errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
		return nil, &EventTooLargeError{Index: index, Size: e.size(), Limit: p.limit(ctx, to)}
	}
	if err != nil {
		return nil, badEvent(index, err)
	}
	return append(batches, batch{b, []int{index}}), nil
}

func badEvent(index int, err error) error {
	return fmt.Errorf("eventhubs: send: event %d can't be encoded: nothing was sent: %w", index, err)
}

func (e *Event) sdk() *azeventhubs.EventData {
	d := &azeventhubs.EventData{Body: e.Body, Properties: e.Properties, CorrelationID: e.CorrelationID}
	if e.ContentType != "" {
		d.ContentType = &e.ContentType
	}
	if e.MessageID != "" {
		d.MessageID = &e.MessageID
	}
	return d
}

// size is how many bytes the event has when it is encoded, but for the message id that the SDK adds if there is none.
func (e *Event) size() int {
	m := amqp.NewMessage(e.Body)
	m.ApplicationProperties = e.Properties
	m.Properties = &amqp.MessageProperties{CorrelationID: e.CorrelationID}
	if e.MessageID != "" {
		m.Properties.MessageID = e.MessageID
	}
	if e.ContentType != "" {
		m.Properties.ContentType = &e.ContentType
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return len(e.Body)
	}
	return len(b)
}

var limitInError = regexp.MustCompile(`\((\d+)\)$`)

// limit is the link's max-message-size. The SDK tells it only when asked for a batch that is larger (event_data_batch.go, newEventDataBatch).
func (p *Producer) limit(ctx context.Context, to destination) int64 {
	o := to.options()
	o.MaxBytes = math.MaxUint64
	_, err := p.client.NewEventDataBatch(ctx, o)
	if err == nil {
		return 0
	}
	if m := limitInError.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return n
	}
	return 0
}
