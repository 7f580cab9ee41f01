// Microsoft's JavaScript quickstart, send.js: sends three events, or those that the arguments name.
import { EventHubProducerClient } from "@azure/event-hubs";
import { DefaultAzureCredential } from "@azure/identity";

const fullyQualifiedNamespace = process.env.EVENT_HUB_FULLY_QUALIFIED_NAMESPACE;
const eventHubName = process.env.EVENT_HUB_NAME;

const texts = process.argv.length > 2 ? process.argv.slice(2) : ["First event", "Second event", "Third event"];

const credential = new DefaultAzureCredential();
const producer = new EventHubProducerClient(fullyQualifiedNamespace, eventHubName, credential);

const batch = await producer.createBatch();
for (const text of texts) {
  if (!batch.tryAdd({ body: text })) throw new Error(`The batch takes no more: ${text}`);
}
await producer.sendBatch(batch);
await producer.close();
console.log("Sent", texts.length, "events");
