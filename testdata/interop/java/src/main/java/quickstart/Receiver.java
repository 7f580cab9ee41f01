package quickstart;

import com.azure.identity.DefaultAzureCredential;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.EventProcessorClient;
import com.azure.messaging.eventhubs.EventProcessorClientBuilder;
import com.azure.messaging.eventhubs.checkpointstore.blob.BlobCheckpointStore;
import com.azure.messaging.eventhubs.models.ErrorContext;
import com.azure.messaging.eventhubs.models.EventContext;
import com.azure.messaging.eventhubs.models.EventPosition;
import com.azure.storage.blob.BlobContainerAsyncClient;
import com.azure.storage.blob.BlobContainerClientBuilder;

/** Microsoft's Java quickstart, Receiver.java: prints events as they come and checkpoints each, until Ctrl-C. */
public final class Receiver {
    private static final String NAMESPACE = System.getenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE");
    private static final String EVENT_HUB = System.getenv("EVENT_HUB_NAME");
    private static final String ACCOUNT = System.getenv("BLOB_STORAGE_ACCOUNT_URL");
    private static final String CONTAINER = System.getenv("BLOB_CONTAINER_NAME");

    public static void main(String[] arguments) {
        DefaultAzureCredential credential = new DefaultAzureCredentialBuilder().build();
        BlobContainerAsyncClient container = new BlobContainerClientBuilder()
            .credential(credential)
            .endpoint(ACCOUNT)
            .containerName(CONTAINER)
            .buildAsyncClient();
        EventProcessorClient client = new EventProcessorClientBuilder()
            .fullyQualifiedNamespace(NAMESPACE)
            .eventHubName(EVENT_HUB)
            .consumerGroup(EventHubClientBuilder.DEFAULT_CONSUMER_GROUP_NAME)
            .credential(credential)
            .checkpointStore(new BlobCheckpointStore(container))
            .initialPartitionEventPosition(partition -> EventPosition.earliest())
            .processEvent(Receiver::process)
            .processError(Receiver::fails)
            .buildEventProcessorClient();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            client.stop();
            System.out.println("Stopped receiving");
        }));
        client.start();
    }

    private static void process(EventContext context) {
        System.out.printf("Received the event: \"%s\" from the partition with ID: \"%s\"%n",
            context.getEventData().getBodyAsString(), context.getPartitionContext().getPartitionId());
        context.updateCheckpoint();
    }

    private static void fails(ErrorContext context) {
        System.err.printf("Error on partition \"%s\": %s%n", context.getPartitionContext().getPartitionId(),
            context.getThrowable());
    }
}
