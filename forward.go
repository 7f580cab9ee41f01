package eventhubs

import "maps"

// Event is a copy of the event to send on, as it was sent to begin with: to another event hub, say. It has the same body, properties, ids, content type and
// partition key, and no PartitionID. The properties are a copy, to which more can be added; the body is not.
func (e *ReceivedEvent) Event() Event {
	properties := make(map[string]any, len(e.Properties))
	maps.Copy(properties, e.Properties)
	return Event{
		Body: e.Body, PartitionKey: valueOf(e.PartitionKey), Properties: properties,
		ContentType: valueOf(e.ContentType), MessageID: valueOf(e.MessageID), CorrelationID: e.CorrelationID,
	}
}

func valueOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
