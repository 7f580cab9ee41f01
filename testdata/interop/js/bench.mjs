// What "make bench" measures of Microsoft's JavaScript client: `bench.mjs send|receive CONNECTION HUB EVENTS SIZE`.
// It does the work once, as the client's quickstart does it, and prints events a second.

import { EventHubConsumerClient, EventHubProducerClient, earliestEventPosition } from "@azure/event-hubs";

const [work, connection, hub, count, bytes] = process.argv.slice(2);
const events = Number(count);

async function send() {
  const body = Buffer.alloc(Number(bytes), "x");
  const producer = new EventHubProducerClient(connection, hub);
  const first = await producer.createBatch();
  first.tryAdd({ body });
  await producer.sendBatch(first); // the link is open now
  const began = performance.now();
  let batch = await producer.createBatch();
  for (let i = 0; i < events; i++) {
    if (!batch.tryAdd({ body })) {
      await producer.sendBatch(batch);
      batch = await producer.createBatch();
      batch.tryAdd({ body });
    }
  }
  await producer.sendBatch(batch);
  const took = performance.now() - began;
  await producer.close();
  return took;
}

async function receive() {
  const consumer = new EventHubConsumerClient("$Default", connection, hub);
  let got = 0;
  let began;
  const took = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${got} of ${events} events after a minute`)), 60_000);
    consumer.subscribe(
      {
        processEvents: async (batch) => {
          if (batch.length === 0) {
            return;
          }
          began ??= performance.now();
          got += batch.length;
          if (got >= events) {
            clearTimeout(late);
            resolve(performance.now() - began);
          }
        },
        processError: async (err) => reject(err),
      },
      { startPosition: earliestEventPosition, maxBatchSize: 300, maxWaitTimeInSeconds: 1 },
    );
  });
  await consumer.close();
  return took;
}

const took = await { send, receive }[work]();
console.log((events / took) * 1000);
process.exit(0); // timers of the client would keep the process for a while
