package interop;

import com.azure.messaging.eventhubs.EventHubConsumerAsyncClient;
import com.azure.messaging.eventhubs.models.LastEnqueuedEventProperties;
import com.azure.messaging.eventhubs.models.PartitionEvent;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import reactor.core.Disposable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Reads one partition: for as long as a request lasts, or in the background until it is released. */
final class Reader {
    private final EventHubConsumerAsyncClient client;
    private final Disposable subscription;
    private final AtomicInteger count = new AtomicInteger();
    private volatile Throwable failure;

    static ObjectNode receive(Arguments arguments) {
        try (EventHubConsumerAsyncClient client = arguments.client().buildAsyncConsumerClient()) {
            Duration timeout = Duration.ofMillis(arguments.json().path("timeout_ms").asLong());
            List<PartitionEvent> received = events(client, arguments)
                .take(arguments.json().path("count").asLong())
                .takeUntilOther(Mono.delay(timeout))
                .collectList()
                .block();

            ObjectNode result = Main.JSON.createObjectNode();
            ArrayNode events = result.putArray("events");
            for (PartitionEvent event : received) {
                events.add(Event.toJson(event));
                if (event.getLastEnqueuedEventProperties() != null) {
                    result.set("last", last(event.getLastEnqueuedEventProperties()));
                }
            }
            return result;
        }
    }

    private static Flux<PartitionEvent> events(EventHubConsumerAsyncClient client, Arguments arguments) {
        return client.receiveFromPartition(arguments.partition(), arguments.start(), arguments.receiveOptions());
    }

    private static ObjectNode last(LastEnqueuedEventProperties last) {
        return Main.JSON.createObjectNode()
            .put("sequence", last.getSequenceNumber())
            .put("offset", last.getOffsetString())
            .put("enqueued_ms", last.getEnqueuedTime().toEpochMilli())
            .put("retrieved_ms", last.getRetrievalTime().toEpochMilli());
    }

    /** Begins to read in the background. */
    Reader(Arguments arguments) {
        client = arguments.client().buildAsyncConsumerClient();
        subscription = events(client, arguments).subscribe(event -> count.incrementAndGet(), e -> failure = e);
    }

    ObjectNode state() {
        ObjectNode state = Main.JSON.createObjectNode().put("count", count.get());
        if (failure != null) {
            state.set("error", Failure.toJson(failure));
        }
        return state;
    }

    ObjectNode close() {
        subscription.dispose();
        client.close();
        return Main.JSON.createObjectNode();
    }
}
