"""The driver for Microsoft's Python client: ../README.md says how it is spoken to."""

import asyncio
import base64
import importlib.metadata
import itertools
import json
import logging
import sys
import traceback
from urllib.parse import urlsplit

from azure.eventhub import TransportType, parse_connection_string
from azure.eventhub._pyamqp.aio import ReceiveClientAsync, SASTokenAuthAsync
from azure.eventhub.aio import EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.extensions.checkpointstoreblobaio import BlobCheckpointStore

import event
import failure
from failure import Unsupported

PACKAGES = (
    "azure-eventhub",
    "azure-eventhub-checkpointstoreblob-aio",
    "azure-identity",
    "azure-core-tracing-opentelemetry",
)


# The client tries again after every error, also after those that will not pass: this keeps the pauses short.
BACKOFF = {"retry_backoff_factor": 0.1}


def options(args):
    """Where the namespace is, and whom to trust."""
    if not args.get("ca"):
        if args.get("websockets"):
            raise Unsupported("without TLS the client takes port 443 for WebSockets, whatever the connection string says")
        return BACKOFF  # UseDevelopmentEmulator=true: plaintext, at the port of the connection string
    # Over TLS the client leaves the connection string's port unread, and takes one only from a custom endpoint.
    address = urlsplit(parse_connection_string(args["connection"]).endpoint)
    return {
        "custom_endpoint_address": f"sb://{address.hostname}:{address.port or 5671}",
        "transport_type": TransportType.AmqpOverWebsocket if args.get("websockets") else TransportType.Amqp,
        "connection_verify": args["ca"],
        **BACKOFF,
    }


def producer(args, **more):
    return EventHubProducerClient.from_connection_string(
        args["connection"], eventhub_name=args["hub"], **options(args), **more
    )


def consumer(args, **more):
    return EventHubConsumerClient.from_connection_string(
        args["connection"],
        args.get("group") or "$Default",
        eventhub_name=args["hub"],
        **options(args),
        **more,
    )


def destination(args):
    """Where a batch or an event goes. Neither: the service chooses."""
    return {"partition_id": args.get("partition"), "partition_key": args.get("key")}


async def hello(args):
    return {"client": "azure-eventhub (Python)", "version": {p: importlib.metadata.version(p) for p in PACKAGES}}


async def hub(args):
    async with producer(args) as client:
        p = await client.get_eventhub_properties()
    return {
        "name": p["eventhub_name"],
        "created_ms": event.milliseconds(p["created_at"]),
        "partitions": p["partition_ids"],
    }


async def partition(args):
    async with producer(args) as client:
        p = await client.get_partition_properties(args["partition"])
    return {
        "hub": p["eventhub_name"],
        "partition": p["id"],
        "begin": p["beginning_sequence_number"],
        "last": p["last_enqueued_sequence_number"],
        "last_offset": p["last_enqueued_offset"],
        "last_ms": event.milliseconds(p["last_enqueued_time_utc"]),
        "empty": p["is_empty"],
    }


async def send(args):
    events = [event.to_send(e) for e in args["events"]]
    async with producer(args) as client:
        batch = await client.create_batch(**destination(args))
        for e in events:
            batch.add(e)
        await client.send_batch(batch)


async def send_one(args):
    one = event.to_send(args["event"])
    async with producer(args) as client:
        await client.send_event(one, **destination(args))


def takes(batch, size):
    try:
        batch.add(event.of_size(size))
    except ValueError:
        return False
    return True


async def fill(args):
    async with producer(args) as client:
        batch = await client.create_batch(**destination(args))
        while takes(batch, args["size"]):
            pass
        await client.send_batch(batch)
        return {"count": len(batch)}


async def largest(args):
    async with producer(args) as client:
        batch = await client.create_batch(**destination(args))
        fits, too_large = 0, batch.max_size_in_bytes + 1
        while too_large - fits > 1:
            size = (fits + too_large) // 2
            if takes(await client.create_batch(**destination(args)), size):
                fits = size
            else:
                too_large = size
        batch.add(event.of_size(fits))
        await client.send_batch(batch)
        try:
            await client.send_batch([event.of_size(too_large)], **destination(args))
            refused = None
        except Exception as error:
            refused = failure.of(error)["kind"]
        return {"size": fits, "refused": refused}


async def send_buffered(args):
    if args.get("idempotent"):
        raise Unsupported("the client has no idempotent publishing")
    events = [(event.to_send(e), destination(e)) for e in args["events"]]
    failed = []

    async def on_success(events, partition_id):
        pass

    async def on_error(events, partition_id, error):
        failed.append(error)

    async with producer(args, buffered_mode=True, on_success=on_success, on_error=on_error) as client:
        for e, to in events:
            await client.send_event(e, **to)
        await client.flush()
    if failed:
        raise failed[0]


class Reader:
    """Reads a partition until it is closed, or until the client reports an error."""

    def __init__(self, args, enough=None):
        self.enough = enough
        self.events = []
        self.last = None
        self.error = None
        self.done = asyncio.Event()
        self.client = consumer(args)
        self.options = {
            "partition_id": args["partition"],
            "owner_level": args.get("owner_level"),
            "track_last_enqueued_event_properties": bool(args.get("track")),
            **event.position(args["start"]),
        }
        if args.get("prefetch"):
            self.options["prefetch"] = args["prefetch"]
        self.task = asyncio.create_task(self.read())

    async def read(self):
        try:
            await self.client.receive_batch(self.on_events, on_error=self.on_error, **self.options)
        except Exception as error:
            await self.on_error(None, error)

    async def on_events(self, context, events):
        self.events.extend(event.received(e, context.partition_id) for e in events)
        self.last = context.last_enqueued_event_properties
        if self.enough and len(self.events) >= self.enough:
            self.done.set()

    async def on_error(self, context, error):
        if not self.done.is_set():
            self.error = error
            self.done.set()
            self.task.cancel()  # or it would be opened anew, and would win back what it has lost

    async def close(self):
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.client.close()


async def receive(args):
    reader = Reader(args, enough=args["count"])
    try:
        await asyncio.wait_for(reader.done.wait(), args["timeout_ms"] / 1000)
    except asyncio.TimeoutError:
        pass
    await reader.close()
    if reader.error:
        raise reader.error
    result = {"events": reader.events[: args["count"]]}
    if args.get("track"):
        result["last"] = event.last_enqueued(reader.last)
    return result


async def unfiltered(args):
    """Reads a partition with the client's AMQP library, on a link without a filter: the client itself always sends one."""
    address = urlsplit(parse_connection_string(args["connection"]).endpoint)
    path = f"{args['hub']}/ConsumerGroups/{args.get('group') or '$Default'}/Partitions/{args['partition']}"
    key = parse_connection_string(args["connection"])
    uri = f"sb://{address.netloc}/{path}"
    auth = SASTokenAuthAsync(
        uri=uri, audience=uri, username=key.shared_access_key_name, password=key.shared_access_key
    )
    secure = {"use_tls": False}
    if args.get("ca"):
        secure = {"connection_verify": args["ca"], "custom_endpoint_address": f"sb://{address.netloc}"}
    async with ReceiveClientAsync(address.netloc, f"amqps://{address.netloc}/{path}", auth=auth, **secure) as client:
        messages = []
        while len(messages) < args["count"]:
            messages += await client.receive_message_batch_async(max_batch_size=args["count"], timeout=1)
    return {"bodies": [base64.b64encode(b"".join(m.data)).decode() for m in messages]}


class Processor:
    """Reads the partitions that are its share, and checkpoints each event."""

    def __init__(self, args):
        self.stop_after = args.get("stop_after")
        self.events = []
        self.owned = set()
        self.error = None
        self.store = BlobCheckpointStore.from_connection_string(
            args["store"], args["container"], **({"connection_verify": args["ca"]} if args.get("ca") else {})
        )
        self.client = consumer(
            args,
            checkpoint_store=self.store,
            load_balancing_interval=1,
            partition_ownership_expiration_interval=10,
        )
        self.start = event.position(args["start"])
        self.task = asyncio.create_task(self.run())

    async def run(self):
        try:
            await self.client.receive(
                self.on_event,
                on_error=self.on_error,
                on_partition_initialize=self.on_initialize,
                on_partition_close=self.on_close,
                **self.start,
            )
        except Exception as error:
            self.error = error

    async def on_event(self, context, e):
        if self.stop_after and len(self.events) >= self.stop_after:
            return
        self.events.append({"partition": context.partition_id, "sequence": e.sequence_number})
        await context.update_checkpoint(e)

    async def on_initialize(self, context):
        self.owned.add(context.partition_id)

    async def on_close(self, context, reason):
        self.owned.discard(context.partition_id)

    async def on_error(self, context, error):
        if failure.of(error)["kind"] != "stolen":  # another processor took its share: no failure
            self.error = error

    async def close(self):
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.client.close()
        await self.store.close()


running = {}
names = itertools.count(1)


def keep(something):
    name = str(next(names))
    running[name] = something
    return name


async def hold(args):
    return {"reader": keep(Reader(args))}


async def held(args):
    reader = running[args["reader"]]
    result = {"count": len(reader.events)}
    if reader.error:
        result["error"] = failure.of(reader.error)
    return result


async def release(args):
    await running.pop(args["reader"]).close()


async def process(args):
    return {"processor": keep(Processor(args))}


async def processed(args):
    processor = running[args["processor"]]
    result = {"events": processor.events, "owned": sorted(processor.owned)}
    if processor.error:
        result["error"] = failure.of(processor.error)
    return result


async def stop(args):
    await running.pop(args["processor"]).close()


OPERATIONS = {
    f.__name__: f
    for f in (
        hello, hub, partition, send, send_one, fill, largest, send_buffered, receive, hold, held, release,
        process, processed, stop, unfiltered,
    )
}  # fmt: skip


async def answer(request):
    result = {"id": request["id"]}
    try:
        result["result"] = await OPERATIONS[request["op"]](request.get("args") or {}) or {}
    except Exception as error:
        traceback.print_exc()
        result["error"] = failure.of(error)
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


async def main():
    loop = asyncio.get_running_loop()
    tasks = set()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        task = asyncio.create_task(answer(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(main())
