package interop;

import com.azure.messaging.eventhubs.EventProcessorClient;
import com.azure.messaging.eventhubs.EventProcessorClientBuilder;
import com.azure.messaging.eventhubs.checkpointstore.blob.BlobCheckpointStore;
import com.azure.messaging.eventhubs.models.EventContext;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.storage.blob.BlobContainerAsyncClient;
import com.azure.storage.blob.BlobContainerClientBuilder;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Set;
import java.util.TreeSet;

/** The client's balanced processor, which goes on in the background until it is stopped. */
final class Processor {
    private final EventProcessorClient client;
    private final int stopAfter;

    // Guarded by this: the client calls from many threads.
    private final ArrayNode events = Main.JSON.createArrayNode();
    private final Set<String> owned = new TreeSet<>();
    private Throwable failure;

    Processor(Arguments arguments) {
        stopAfter = arguments.json().path("stop_after").asInt(Integer.MAX_VALUE);
        EventPosition start = arguments.start();
        BlobContainerAsyncClient container = new BlobContainerClientBuilder()
            .connectionString(arguments.text("store"))
            .containerName(arguments.text("container"))
            .buildAsyncClient();
        client = new EventProcessorClientBuilder()
            .connectionString(arguments.connection())
            .fullyQualifiedNamespace(arguments.namespace())
            .consumerGroup(arguments.group())
            .checkpointStore(new BlobCheckpointStore(container))
            .initialPartitionEventPosition(partition -> start)
            .loadBalancingUpdateInterval(Duration.ofSeconds(1))
            .partitionOwnershipExpirationInterval(Duration.ofSeconds(10))
            .processPartitionInitialization(opened -> owns(opened.getPartitionContext().getPartitionId(), true))
            .processPartitionClose(closed -> owns(closed.getPartitionContext().getPartitionId(), false))
            .processEvent(this::process)
            .processError(failed -> fails(failed.getThrowable()))
            .buildEventProcessorClient();
        client.start();
    }

    private void process(EventContext context) {
        if (note(context)) {
            context.updateCheckpoint();
        }
    }

    private synchronized boolean note(EventContext context) {
        if (events.size() >= stopAfter) {
            return false;
        }
        events.addObject()
            .put("partition", context.getPartitionContext().getPartitionId())
            .put("sequence", context.getEventData().getSequenceNumber());
        return true;
    }

    private synchronized void owns(String partition, boolean begins) {
        if (begins) {
            owned.add(partition);
        } else {
            owned.remove(partition);
        }
    }

    /** That a partition goes to another processor reaches this one as a stolen link, and is no failure. */
    private synchronized void fails(Throwable e) {
        if (failure == null && !Failure.kind(e).equals("stolen")) {
            failure = e;
        }
    }

    synchronized ObjectNode state() {
        ObjectNode state = Main.JSON.createObjectNode();
        state.set("events", events.deepCopy());
        ArrayNode partitions = state.putArray("owned");
        owned.forEach(partition -> partitions.add(partition));
        if (failure != null) {
            state.set("error", Failure.toJson(failure));
        }
        return state;
    }

    ObjectNode close() {
        client.stop();
        return Main.JSON.createObjectNode();
    }
}
