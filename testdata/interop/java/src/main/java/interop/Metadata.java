package interop;

import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.azure.messaging.eventhubs.EventHubProperties;
import com.azure.messaging.eventhubs.PartitionProperties;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

/** What a client is told of an event hub and its partitions. */
final class Metadata {
    static ObjectNode hub(Arguments arguments) {
        try (EventHubProducerClient client = arguments.client().buildProducerClient()) {
            EventHubProperties hub = client.getEventHubProperties();
            ObjectNode json = Main.JSON.createObjectNode()
                .put("name", hub.getName())
                .put("created_ms", hub.getCreatedAt().toEpochMilli());
            ArrayNode partitions = json.putArray("partitions");
            hub.getPartitionIds().forEach(id -> partitions.add(id));
            return json;
        }
    }

    static ObjectNode partition(Arguments arguments) {
        try (EventHubProducerClient client = arguments.client().buildProducerClient()) {
            PartitionProperties partition = client.getPartitionProperties(arguments.partition());
            return Main.JSON.createObjectNode()
                .put("hub", partition.getEventHubName())
                .put("partition", partition.getId())
                .put("begin", partition.getBeginningSequenceNumber())
                .put("last", partition.getLastEnqueuedSequenceNumber())
                .put("last_offset", partition.getLastEnqueuedOffset())
                .put("last_ms", partition.getLastEnqueuedTime().toEpochMilli())
                .put("empty", partition.isEmpty());
        }
    }
}
