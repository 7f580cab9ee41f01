package interop;

import com.azure.core.amqp.exception.AmqpErrorCondition;
import com.azure.core.amqp.exception.AmqpException;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventDataBatch;
import com.azure.messaging.eventhubs.EventHubBufferedProducerClient;
import com.azure.messaging.eventhubs.EventHubBufferedProducerClientBuilder;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;

/** The ways in which the client sends. */
final class Sending {
    static ObjectNode batch(Arguments arguments) {
        List<EventData> events = Event.listFromJson(arguments.json().path("events"));
        try (EventHubProducerClient client = arguments.client().buildProducerClient()) {
            EventDataBatch batch = client.createBatch(arguments.batchOptions());
            for (EventData event : events) {
                if (!batch.tryAdd(event)) {
                    throw tooLarge("the batch takes no more than " + batch.getCount() + " of the events");
                }
            }
            client.send(batch);
        }
        return Main.JSON.createObjectNode();
    }

    /**
     * The client has no public call for a single event. The one for a few, which makes the batch itself, comes closest.
     * Mind that it returns without an error, and sends nothing, when the only event is a little too large for a batch.
     */
    static ObjectNode one(Arguments arguments) {
        EventData event = Event.fromJson(arguments.json().path("event"));
        try (EventHubProducerClient client = arguments.client().buildProducerClient()) {
            client.send(List.of(event), Arguments.sendOptions(arguments.json()));
        }
        return Main.JSON.createObjectNode();
    }

    static ObjectNode fill(Arguments arguments) {
        byte[] body = new byte[arguments.json().path("size").intValue()];
        try (EventHubProducerClient client = arguments.client().buildProducerClient()) {
            EventDataBatch batch = client.createBatch(arguments.batchOptions());
            while (batch.tryAdd(new EventData(body))) { }
            client.send(batch);
            return Main.JSON.createObjectNode().put("count", batch.getCount());
        }
    }

    static ObjectNode largest(Arguments arguments) {
        try (EventHubProducerClient client = arguments.client().buildProducerClient()) {
            int fits = 0;
            int tooLarge = client.createBatch(arguments.batchOptions()).getMaxSizeInBytes() + 1;
            while (tooLarge - fits > 1) {
                int size = (fits + tooLarge) >>> 1;
                if (tryAdd(client.createBatch(arguments.batchOptions()), size)) {
                    fits = size;
                } else {
                    tooLarge = size;
                }
            }
            EventDataBatch batch = client.createBatch(arguments.batchOptions());
            batch.tryAdd(new EventData(new byte[fits]));
            client.send(batch);
            ObjectNode result = Main.JSON.createObjectNode().put("size", fits);
            if (!tryAdd(client.createBatch(arguments.batchOptions()), tooLarge)) {
                result.put("refused", "too-large");
            }
            return result;
        }
    }

    /** The client says false for a body a little over what a batch takes, and throws for one that is far over it. */
    private static boolean tryAdd(EventDataBatch batch, int size) {
        try {
            return batch.tryAdd(new EventData(new byte[size]));
        } catch (AmqpException e) {
            if (e.getErrorCondition() == AmqpErrorCondition.LINK_PAYLOAD_SIZE_EXCEEDED) {
                return false;
            }
            throw e;
        }
    }

    static ObjectNode buffered(Arguments arguments) {
        if (arguments.json().path("idempotent").asBoolean()) {
            throw new Unsupported("the client has no idempotent publishing");
        }
        AtomicReference<Throwable> failure = new AtomicReference<>();
        EventHubBufferedProducerClient client = new EventHubBufferedProducerClientBuilder()
            .connectionString(arguments.connection())
            .maxWaitTime(Duration.ofSeconds(1))
            .onSendBatchSucceeded(sent -> { })
            .onSendBatchFailed(failed -> failure.compareAndSet(null, failed.getThrowable()))
            .buildClient();
        try (client) {
            for (JsonNode event : arguments.json().path("events")) {
                client.enqueueEvent(Event.fromJson(event), Arguments.sendOptions(event));
            }
            client.flush();
        }
        if (failure.get() != null) {
            throw new IllegalStateException("a batch was not sent", failure.get());
        }
        return Main.JSON.createObjectNode();
    }

    private static AmqpException tooLarge(String text) {
        return new AmqpException(false, AmqpErrorCondition.LINK_PAYLOAD_SIZE_EXCEEDED, text, null);
    }
}
