package interop;

import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.models.PartitionEvent;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;

/** An event in JSON, and as the client takes and gives it. */
final class Event {
    static List<EventData> listFromJson(JsonNode events) {
        List<EventData> list = new ArrayList<>();
        events.forEach(e -> list.add(fromJson(e)));
        return list;
    }

    static EventData fromJson(JsonNode json) {
        if (json.path("null_body").asBoolean()) {
            throw new Unsupported("EventData takes no null");
        }
        EventData event = new EventData(body(json));
        if (json.has("footer")) {
            throw new Unsupported("the client can't encode a footer's names (ClassCastException: String to Symbol)");
        }
        event.getRawAmqpMessage().getDeliveryAnnotations().putAll(Value.map(json.path("delivery_annotations")));
        event.getProperties().putAll(Value.map(json.path("properties")));
        if (json.hasNonNull("message_id")) {
            event.setMessageId(string("setMessageId", json.get("message_id")));
        }
        if (json.hasNonNull("correlation_id")) {
            event.setCorrelationId(string("setCorrelationId", json.get("correlation_id")));
        }
        if (json.hasNonNull("content_type")) {
            event.setContentType(string("setContentType", json.get("content_type")));
        }
        return event;
    }

    private static byte[] body(JsonNode event) {
        try {
            return event.path("body").binaryValue() == null ? new byte[0] : event.get("body").binaryValue();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String string(String method, JsonNode value) {
        if (Value.fromJson(value) instanceof String string) {
            return string;
        }
        throw new Unsupported("EventData." + method + " takes a string only");
    }

    static ObjectNode toJson(PartitionEvent received) {
        EventData event = received.getData();
        ObjectNode json = Main.JSON.createObjectNode()
            .put("body", event.getBody())
            .put("partition", received.getPartitionContext().getPartitionId())
            .put("sequence", event.getSequenceNumber())
            .put("offset", event.getOffsetString())
            .put("enqueued_ms", event.getEnqueuedTime().toEpochMilli())
            .put("key", event.getPartitionKey());
        json.set("properties", Value.fields(event.getProperties()));
        json.set("system", Value.fields(event.getSystemProperties()));
        json.set("footer", Value.fields(event.getRawAmqpMessage().getFooter()));
        json.set("delivery_annotations", Value.fields(event.getRawAmqpMessage().getDeliveryAnnotations()));
        put(json, "message_id", event.getMessageId());
        put(json, "correlation_id", event.getCorrelationId());
        put(json, "content_type", event.getContentType());
        return json;
    }

    private static void put(ObjectNode json, String name, String value) {
        if (value != null) {
            json.set(name, Value.toJson(value));
        }
    }
}
