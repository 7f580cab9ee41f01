// The driver for Microsoft's JavaScript client: ../README.md says how it is spoken to.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import {
  EventHubBufferedProducerClient,
  EventHubConsumerClient,
  EventHubProducerClient,
} from "@azure/event-hubs";
import WebSocket from "ws";
import { eventOfSize, lastEnqueued, position, receivedEvent, toSend } from "./event.mjs";
import { failure, unsupported } from "./failure.mjs";
import { checkpointStore } from "./store.mjs";

const PACKAGES = [
  "@azure/event-hubs",
  "@azure/eventhubs-checkpointstore-blob",
  "@azure/identity",
  "@azure/opentelemetry-instrumentation-azure-sdk",
  "@azure/storage-blob",
];

// The client takes host, port and, with UseDevelopmentEmulator=true, plaintext from the connection string. The CA that it
// trusts is in NODE_EXTRA_CA_CERTS since before node was started.
//
// It tries again after some errors that will not pass: this keeps the pauses short.
// A send whose connection or link has gone is given up only when its time is over.
const retryOptions = { retryDelayInMs: 200, timeoutInMs: 10_000 };

function clientOptions(args) {
  if (args.websockets && !args.ca) throw unsupported("the client speaks WebSockets over TLS only");
  return { retryOptions, webSocketOptions: args.websockets ? { webSocket: WebSocket } : undefined };
}

function consumer(args, store, options) {
  const where = [args.group ?? "$Default", args.connection, args.hub];
  const all = { ...clientOptions(args), ...options };
  return store ? new EventHubConsumerClient(...where, store, all) : new EventHubConsumerClient(...where, all);
}

async function withProducer(args, use) {
  const client = new EventHubProducerClient(args.connection, args.hub, clientOptions(args));
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

// Where a batch goes. Neither: the service chooses.
function destination(args) {
  if (args.partition !== undefined) return { partitionId: args.partition };
  if (args.key !== undefined) return { partitionKey: args.key };
  return {};
}

function tooLarge() {
  const error = new Error("the batch takes no more");
  error.code = "MessageTooLargeError";
  return error;
}

// reader reads a partition until it is closed, or until the client reports an error.
function reader(args, enough = Infinity) {
  const r = { events: [], last: undefined, error: undefined };
  const client = consumer(args);
  let finish;
  r.done = new Promise((resolve) => (finish = resolve));
  const options = {
    startPosition: position(args.start),
    ownerLevel: args.owner_level,
    prefetchCount: args.prefetch,
    trackLastEnqueuedEventProperties: args.track,
    skipParsingBodyAsJson: true,
    maxBatchSize: 100,
    maxWaitTimeInSeconds: 1,
  };
  const subscription = client.subscribe(
    args.partition,
    {
      async processEvents(events, context) {
        if (r.error || events.length === 0) return;
        r.events.push(...events.map((e) => receivedEvent(e, context.partitionId)));
        r.last = context.lastEnqueuedEventProperties;
        if (r.events.length >= enough) finish();
      },
      async processError(error) {
        if (r.error) return;
        r.error = error;
        finish();
        r.close(); // or it would be opened anew, and would win back what it has lost
      },
    },
    options,
  );
  r.close = async () => {
    try {
      await subscription.close();
    } finally {
      await client.close();
    }
  };
  return r;
}

// unfiltered reads a partition on a link without a filter: the client itself always sends one. The connection, and the token for
// the link, are the client's.
async function unfiltered(args) {
  const client = consumer(args);
  try {
    await client.getPartitionIds();
    const context = client._context;
    const audience = context.config.getReceiverAudience(args.partition, args.group ?? "$Default");
    const { token } = await context.tokenCredential.getToken(audience);
    await context.cbsSession.negotiateClaim(audience, token, "servicebus.windows.net:sastoken", { timeoutInMs: 10_000 });
    const address = `${args.hub}/ConsumerGroups/${args.group ?? "$Default"}/Partitions/${args.partition}`;
    const link = await context.connection.createReceiver({ source: { address }, autoaccept: true, credit_window: 10 });
    const bodies = [];
    await new Promise((resolve) => {
      link.on("message", ({ message }) => {
        bodies.push(message.body.content.toString("base64"));
        if (bodies.length >= args.count) resolve();
      });
    });
    await link.close();
    return { bodies };
  } finally {
    await client.close();
  }
}

// processor reads the partitions that are its share, and checkpoints each event.
function processor(args) {
  const p = { events: [], owned: new Set(), error: undefined };
  const client = consumer(args, checkpointStore(args), {
    loadBalancingOptions: {
      strategy: "greedy",
      updateIntervalInMs: 1000,
      partitionOwnershipExpirationIntervalInMs: 10000,
    },
  });
  const enough = args.stop_after || Infinity;
  const subscription = client.subscribe(
    {
      async processInitialize(context) {
        p.owned.add(context.partitionId);
      },
      async processEvents(events, context) {
        for (const e of events) {
          if (p.events.length >= enough) return;
          p.events.push({ partition: context.partitionId, sequence: e.sequenceNumber });
          await context.updateCheckpoint(e);
        }
      },
      async processError(error) {
        if (failure(error).kind !== "stolen") p.error = error; // another processor took its share: no failure
      },
      async processClose(reason, context) {
        p.owned.delete(context.partitionId);
      },
    },
    { startPosition: position(args.start), skipParsingBodyAsJson: true, maxWaitTimeInSeconds: 1 },
  );
  p.close = async () => {
    try {
      await subscription.close();
    } finally {
      await client.close();
    }
  };
  return p;
}

const running = new Map();
let lastName = 0;

function keep(something) {
  const name = String(++lastName);
  running.set(name, something);
  return name;
}

async function end(name) {
  const something = running.get(name);
  running.delete(name);
  await something.close();
}

const operations = {
  async hello() {
    const require = createRequire(import.meta.url);
    const lock = require("./package-lock.json");
    const version = Object.fromEntries(PACKAGES.map((p) => [p, lock.packages[`node_modules/${p}`].version]));
    return { client: "@azure/event-hubs (JavaScript)", version };
  },

  async hub(args) {
    return withProducer(args, async (client) => {
      const p = await client.getEventHubProperties();
      return { name: p.name, created_ms: p.createdOn.getTime(), partitions: p.partitionIds };
    });
  },

  async partition(args) {
    return withProducer(args, async (client) => {
      const p = await client.getPartitionProperties(args.partition);
      return {
        hub: p.eventHubName,
        partition: p.partitionId,
        begin: p.beginningSequenceNumber,
        last: p.lastEnqueuedSequenceNumber,
        last_offset: String(p.lastEnqueuedOffset),
        last_ms: p.lastEnqueuedOnUtc.getTime(),
        empty: p.isEmpty,
      };
    });
  },

  async send(args) {
    const events = args.events.map(toSend);
    await withProducer(args, async (client) => {
      const batch = await client.createBatch(destination(args));
      for (const e of events) {
        if (!batch.tryAdd(e)) throw tooLarge();
      }
      await client.sendBatch(batch);
    });
  },

  async send_one() {
    throw unsupported("the client sends batches only");
  },

  async fill(args) {
    return withProducer(args, async (client) => {
      const batch = await client.createBatch(destination(args));
      while (batch.tryAdd(eventOfSize(args.size)));
      await client.sendBatch(batch);
      return { count: batch.count };
    });
  },

  async largest(args) {
    return withProducer(args, async (client) => {
      const first = await client.createBatch(destination(args));
      let [fits, refusedSize] = [0, first.maxSizeInBytes + 1];
      while (refusedSize - fits > 1) {
        const size = Math.floor((fits + refusedSize) / 2);
        const batch = await client.createBatch(destination(args));
        if (batch.tryAdd(eventOfSize(size))) fits = size;
        else refusedSize = size;
      }
      first.tryAdd(eventOfSize(fits));
      await client.sendBatch(first);
      // A larger event isn't sent: the service would detach the link, and the client doesn't connect that with the send.
      return { size: fits, refused: "too-large" };
    });
  },

  async send_buffered(args) {
    const events = args.events.map((e) => [toSend(e), destination(e)]);
    const errors = [];
    const client = new EventHubBufferedProducerClient(args.connection, args.hub, {
      ...clientOptions(args),
      enableIdempotentRetries: Boolean(args.idempotent),
      onSendEventsErrorHandler: (context) => errors.push(context.error),
    });
    try {
      for (const [e, to] of events) await client.enqueueEvent(e, to);
      await client.flush();
    } finally {
      await client.close({ flush: false });
    }
    if (errors.length > 0) throw errors[0];
  },

  async receive(args) {
    const r = reader(args, args.count);
    await Promise.race([r.done, sleep(args.timeout_ms, undefined, { ref: false })]);
    await r.close();
    if (r.error) throw r.error;
    const result = { events: r.events.slice(0, args.count) };
    if (args.track) result.last = lastEnqueued(r.last);
    return result;
  },

  unfiltered,

  async hold(args) {
    return { reader: keep(reader(args)) };
  },

  async held(args) {
    const r = running.get(args.reader);
    return { count: r.events.length, error: r.error && failure(r.error) };
  },

  async release(args) {
    await end(args.reader);
  },

  async process(args) {
    return { processor: keep(processor(args)) };
  },

  async processed(args) {
    const p = running.get(args.processor);
    return { events: p.events, owned: [...p.owned].sort(), error: p.error && failure(p.error) };
  },

  async stop(args) {
    await end(args.processor);
  },
};

async function answer({ id, op, args }) {
  try {
    return { id, result: (await operations[op](args ?? {})) ?? {} };
  } catch (error) {
    console.error(error);
    return { id, error: failure(error) };
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  answer(JSON.parse(line)).then((a) => process.stdout.write(JSON.stringify(a) + "\n"));
}
process.exit();
