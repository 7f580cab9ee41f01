package interop;

import com.azure.core.amqp.exception.AmqpException;
import com.azure.messaging.eventhubs.EventHubConsumerAsyncClient;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.messaging.eventhubs.models.LastEnqueuedEventProperties;
import com.azure.messaging.eventhubs.models.PartitionEvent;
import com.azure.messaging.eventhubs.models.ReceiveOptions;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import reactor.core.Disposable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.util.retry.Retry;

/** Reads one partition: for as long as a request lasts, or in the background until it is released. */
final class Reader {
    private static final Duration PAUSE = Duration.ofMillis(200);
    private static final int RETRIES = 10;

    private final EventHubConsumerAsyncClient client;
    private final Disposable subscription;
    private final AtomicInteger count = new AtomicInteger();
    private volatile EventPosition next;
    private volatile Throwable failure;

    static ObjectNode receive(Arguments arguments) {
        try (EventHubConsumerAsyncClient client = arguments.client().buildAsyncConsumerClient()) {
            Duration timeout = Duration.ofMillis(arguments.json().path("timeout_ms").asLong());
            List<PartitionEvent> received = client
                .receiveFromPartition(arguments.partition(), arguments.start(), arguments.receiveOptions())
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

    private static ObjectNode last(LastEnqueuedEventProperties last) {
        return Main.JSON.createObjectNode()
            .put("sequence", last.getSequenceNumber())
            .put("offset", last.getOffsetString())
            .put("enqueued_ms", last.getEnqueuedTime().toEpochMilli())
            .put("retrieved_ms", last.getRetrievalTime().toEpochMilli());
    }

    /**
     * Begins to read in the background. What the client returns for a partition ends with the link, so that it is left to its user to go
     * on after the last event, unless the reason is final.
     */
    Reader(Arguments arguments) {
        client = arguments.client().buildAsyncConsumerClient();
        next = arguments.start();
        String partition = arguments.partition();
        ReceiveOptions options = arguments.receiveOptions();
        subscription = Flux.defer(() -> client.receiveFromPartition(partition, next, options))
            .doOnNext(event -> next = EventPosition.fromSequenceNumber(event.getData().getSequenceNumber()))
            .repeatWhen(ends -> ends.delayElements(PAUSE))
            .retryWhen(Retry.fixedDelay(RETRIES, PAUSE).transientErrors(true).filter(Reader::isTransient))
            .subscribe(event -> count.incrementAndGet(), e -> failure = e);
    }

    private static boolean isTransient(Throwable e) {
        return e instanceof AmqpException amqp && amqp.isTransient();
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
