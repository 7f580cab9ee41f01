// Microsoft's JavaScript quickstart, receive.js: prints events as they come and checkpoints each batch, until Ctrl-C.
import { earliestEventPosition, EventHubConsumerClient } from "@azure/event-hubs";
import { BlobCheckpointStore } from "@azure/eventhubs-checkpointstore-blob";
import { DefaultAzureCredential } from "@azure/identity";
import { ContainerClient } from "@azure/storage-blob";

const fullyQualifiedNamespace = process.env.EVENT_HUB_FULLY_QUALIFIED_NAMESPACE;
const eventHubName = process.env.EVENT_HUB_NAME;
const consumerGroup = "$Default";
const storageAccountUrl = process.env.BLOB_STORAGE_ACCOUNT_URL;
const containerName = process.env.BLOB_CONTAINER_NAME;

const credential = new DefaultAzureCredential();
const containerClient = new ContainerClient(`${storageAccountUrl}/${containerName}`, credential);
const checkpointStore = new BlobCheckpointStore(containerClient);
const consumerClient = new EventHubConsumerClient(
  consumerGroup,
  fullyQualifiedNamespace,
  eventHubName,
  credential,
  checkpointStore,
);

const subscription = consumerClient.subscribe(
  {
    processEvents: async (events, context) => {
      if (events.length === 0) return;
      for (const event of events) {
        console.log(`Received the event: "${event.body}" from the partition with ID: "${context.partitionId}"`);
      }
      await context.updateCheckpoint(events[events.length - 1]);
    },
    processError: async (err, context) => {
      console.error(`Error on partition "${context.partitionId}": ${err}`);
    },
  },
  { startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1 },
);

process.once("SIGINT", async () => {
  await subscription.close();
  await consumerClient.close();
  console.log("Stopped receiving");
});
