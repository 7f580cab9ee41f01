package quickstart;

import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.messaging.eventhubs.EventData;
import com.azure.messaging.eventhubs.EventDataBatch;
import com.azure.messaging.eventhubs.EventHubClientBuilder;
import com.azure.messaging.eventhubs.EventHubProducerClient;
import java.util.List;

/** Microsoft's Java quickstart, Sender.java: sends three events, or those that the arguments name. */
public final class Sender {
    private static final String NAMESPACE = System.getenv("EVENT_HUB_FULLY_QUALIFIED_NAMESPACE");
    private static final String EVENT_HUB = System.getenv("EVENT_HUB_NAME");

    public static void main(String[] arguments) {
        List<String> texts = arguments.length > 0 ? List.of(arguments) : List.of("First event", "Second event", "Third event");
        try (EventHubProducerClient producer = new EventHubClientBuilder()
            .credential(NAMESPACE, EVENT_HUB, new DefaultAzureCredentialBuilder().build())
            .buildProducerClient()) {
            EventDataBatch batch = producer.createBatch();
            for (String text : texts) {
                if (!batch.tryAdd(new EventData(text))) {
                    throw new IllegalArgumentException("The batch takes no more: " + text);
                }
            }
            producer.send(batch);
        }
        System.out.println("Sent " + texts.size() + " events");
        System.exit(0); // threads of the clients would keep the process for a while
    }
}
