package interop;

import com.azure.core.amqp.AmqpTransportType;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.models.CreateBatchOptions;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import com.azure.messaging.eventhubs.models.SendOptions;
import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.time.Instant;

/** A request's arguments, as the client wants them. */
record Arguments(JsonNode json) {
    /** A connection of its own: all that the request does with it is closed with what is built. */
    EventHubClientBuilder client() {
        EventHubClientBuilder builder = new EventHubClientBuilder()
            .connectionString(connection())
            .consumerGroup(group());
        if (json.path("websockets").asBoolean()) {
            if (!json.hasNonNull("ca")) {
                throw new Unsupported("the client speaks WebSockets over TLS only");
            }
            builder.transportType(AmqpTransportType.AMQP_WEB_SOCKETS)
                .customEndpointAddress("https://" + namespace());
        }
        if (json.has("prefetch")) {
            int prefetch = json.get("prefetch").intValue();
            if (prefetch < 1) {
                throw new Unsupported("prefetchCount must be at least 1");
            }
            builder.prefetchCount(prefetch);
        }
        return builder;
    }

    String connection() {
        return text("connection");
    }

    /**
     * The namespace with its port, as clients in other languages have it in the names of checkpoint blobs. This one leaves the port out, which
     * makes no difference in Azure, where there is none.
     */
    String namespace() {
        for (String part : connection().split(";")) {
            if (part.startsWith("Endpoint=")) {
                return URI.create(part.substring("Endpoint=".length())).getAuthority();
            }
        }
        throw new IllegalArgumentException("the connection string has no Endpoint");
    }

    String group() {
        return json.path("group").asText(EventHubClientBuilder.DEFAULT_CONSUMER_GROUP_NAME);
    }

    String partition() {
        return text("partition");
    }

    String text(String name) {
        if (!json.hasNonNull(name)) {
            throw new IllegalArgumentException("the request has no argument " + name);
        }
        return json.get(name).asText();
    }

    CreateBatchOptions batchOptions() {
        CreateBatchOptions options = new CreateBatchOptions();
        if (json.hasNonNull("partition")) {
            options.setPartitionId(json.get("partition").asText());
        }
        if (json.hasNonNull("key")) {
            options.setPartitionKey(json.get("key").asText());
        }
        return options;
    }

    /** Where one event goes: {@code target} is the request itself, or one of its events. */
    static SendOptions sendOptions(JsonNode target) {
        SendOptions options = new SendOptions();
        if (target.hasNonNull("partition")) {
            options.setPartitionId(target.get("partition").asText());
        }
        if (target.hasNonNull("key")) {
            options.setPartitionKey(target.get("key").asText());
        }
        return options;
    }

    ReceiveOptions receiveOptions() {
        ReceiveOptions options = new ReceiveOptions();
        if (json.hasNonNull("owner_level")) {
            options.setOwnerLevel(json.get("owner_level").asLong());
        }
        options.setTrackLastEnqueuedEventProperties(json.path("track").asBoolean());
        return options;
    }

    EventPosition start() {
        JsonNode start = json.path("start");
        boolean inclusive = start.path("inclusive").asBoolean();
        if (start.has("sequence")) {
            return EventPosition.fromSequenceNumber(start.get("sequence").asLong(), inclusive);
        }
        if (start.has("offset")) {
            if (inclusive) {
                throw new Unsupported("EventPosition.fromOffsetString excludes the event at the offset");
            }
            return EventPosition.fromOffsetString(start.get("offset").asText());
        }
        if (start.has("time_ms")) {
            if (inclusive) {
                throw new Unsupported("EventPosition.fromEnqueuedTime excludes events of that very time");
            }
            return EventPosition.fromEnqueuedTime(Instant.ofEpochMilli(start.get("time_ms").asLong()));
        }
        return start.path("latest").asBoolean() ? EventPosition.latest() : EventPosition.earliest();
    }
}
