package broker

import (
	"strings"
	"time"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// read handles a request to $management.
func (p *peer) read(m *amqp.Message) question {
	name, _ := m.ApplicationProperties.Get("name").(string)
	partition, _ := m.ApplicationProperties.Get("partition").(string)
	q := question{
		op:     OnManagement,
		on:     entity{hub: strings.ToLower(name), link: ManagementLink},
		answer: func() *amqp.Message { return p.describe(m, name, partition) },
	}
	switch m.ApplicationProperties.Get("type") {
	case typeHub:
		q.op = OnHubProperties
	case typePartition:
		q.op, q.on.partition = OnPartitionProperties, partition
	}
	return q
}

// The types of entities that can be read.
const (
	typeHub       = "com.microsoft:eventhub"
	typePartition = "com.microsoft:partition"
)

func (p *peer) describe(m *amqp.Message, name, partition string) *amqp.Message {
	if op, _ := m.ApplicationProperties.Get("operation").(string); op != "READ" {
		return refusalf(amqp.CondNotAllowed, "the operation has to be READ")
	}
	if !p.mayAsk(m, strings.ToLower(name)) {
		return refusalf(amqp.CondUnauthorized,
			"Unauthorized access. A token for '%s' is required to perform this operation.", name)
	}
	h := p.broker.hub(name)
	if h == nil {
		return refusal(notFound(name))
	}
	switch kind, _ := m.ApplicationProperties.Get("type").(string); kind {
	case typeHub:
		return h.describe()
	case typePartition:
		part := h.partition(partition)
		if part == nil {
			return refusalf(condArgumentOutOfRange, "%s TrackingId:%s", noSuchPartition, trackingID())
		}
		return part.describe()
	default:
		return refusalf(condArgumentError, "the type has to be %s or %s", typeHub, typePartition)
	}
}

// mayAsk reports whether a token covers the event hub: one that was put on $cbs, or the one in the request, where
// Java's client sends it (azure-core-amqp, ManagementChannel).
func (p *peer) mayAsk(m *amqp.Message, path string) bool {
	token, ok := m.ApplicationProperties.Get("security_token").(string)
	if !ok {
		return p.allowed(path, "")
	}
	kind := "jwt"
	if strings.HasPrefix(token, "SharedAccessSignature ") {
		kind = "servicebus.windows.net:sastoken"
	}
	g, err := p.broker.checkToken(kind, token, path)
	if err != nil || !g.covers("", time.Now()) {
		return false
	}
	p.trust()
	return true
}

func (h *hub) describe() *amqp.Message {
	ids := h.partitionIDs()
	m := status(200, "OK")
	m.Value = amqp.Map{
		{Key: "name", Value: h.name},
		{Key: "type", Value: typeHub},
		{Key: "created_at", Value: h.created},
		{Key: "partition_count", Value: int32(len(ids))},
		{Key: "partition_ids", Value: ids},
		{Key: "georeplication_factor", Value: int32(1)},
	}
	return m
}

func (p *partition) describe() *amqp.Message {
	i := p.info()
	m := status(200, "OK")
	m.Value = amqp.Map{
		{Key: "name", Value: p.hub.name},
		{Key: "type", Value: typePartition},
		{Key: "partition", Value: p.id},
		{Key: "begin_sequence_number", Value: i.begin},
		{Key: "last_enqueued_sequence_number", Value: i.last},
		{Key: "last_enqueued_offset", Value: i.lastOffset()},
		{Key: "last_enqueued_time_utc", Value: i.lastTime},
		{Key: "is_partition_empty", Value: i.empty},
	}
	return m
}
