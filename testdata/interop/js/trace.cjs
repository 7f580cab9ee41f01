// Sends or receives one event with tracing, and prints the client's spans: ../README.md says how.
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { NodeTracerProvider, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-node");
const { createAzureSdkInstrumentation } = require("@azure/opentelemetry-instrumentation-azure-sdk");

const KINDS = ["internal", "server", "client", "producer", "consumer"];

const printed = {
  export(spans, done) {
    for (const s of spans) {
      const { traceId, spanId } = s.spanContext();
      console.log(
        JSON.stringify({
          name: s.name,
          kind: KINDS[s.kind],
          trace_id: traceId,
          span_id: spanId,
          parent_id: s.parentSpanContext?.spanId,
          links: s.links.map(({ context }) => ({ trace_id: context.traceId, span_id: context.spanId })),
        }),
      );
    }
    done({ code: 0 });
  },
  async shutdown() {},
};

const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(printed)] });
provider.register();
registerInstrumentations({ instrumentations: [createAzureSdkInstrumentation()] });

// The client is loaded after that, so that it is instrumented.
const { EventHubConsumerClient, EventHubProducerClient, earliestEventPosition } = require("@azure/event-hubs");

const [connection, hub] = [process.env.EVENT_HUB_CONNECTION_STRING, process.env.EVENT_HUB_NAME];

async function send() {
  const producer = new EventHubProducerClient(connection, hub);
  const batch = await producer.createBatch();
  if (!batch.tryAdd({ body: Buffer.from("traced") })) throw new Error("the batch takes no event");
  await producer.sendBatch(batch);
  await producer.close();
}

async function receive() {
  const consumer = new EventHubConsumerClient("$Default", connection, hub);
  let finish, subscription;
  const done = new Promise((resolve) => (finish = resolve));
  subscription = consumer.subscribe(
    {
      async processEvents(events) {
        if (events.length > 0) finish();
      },
      async processError(error) {
        console.error(error);
      },
    },
    { startPosition: earliestEventPosition, skipParsingBodyAsJson: true, maxWaitTimeInSeconds: 1 },
  );
  await done;
  await subscription.close();
  await consumer.close();
}

({ send, receive })[process.argv[2]]().then(() => provider.shutdown());
