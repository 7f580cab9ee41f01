"""What "make bench" measures of Microsoft's Python client: `bench.py send|receive CONNECTION HUB EVENTS SIZE`.

It does the work once, as the client's quickstart does it, and prints events a second.
"""

import asyncio
import sys
import time

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, EventHubProducerClient


async def send(connection, hub, events, size):
    body = b"x" * size
    async with EventHubProducerClient.from_connection_string(connection, eventhub_name=hub) as producer:
        first = await producer.create_batch()
        first.add(EventData(body))
        await producer.send_batch(first)  # the link is open now
        began = time.perf_counter()
        batch = await producer.create_batch()
        for _ in range(events):
            event = EventData(body)
            try:
                batch.add(event)
            except ValueError:  # it is full
                await producer.send_batch(batch)
                batch = await producer.create_batch()
                batch.add(event)
        await producer.send_batch(batch)
        return events / (time.perf_counter() - began)


async def receive(connection, hub, events, _):
    got, began, ended = 0, None, None
    done = asyncio.Event()

    async def on_event_batch(_, batch):
        nonlocal got, began, ended
        if not batch:
            return
        if began is None:
            began = time.perf_counter()
        got += len(batch)
        if got >= events:
            ended = time.perf_counter()
            done.set()

    consumer = EventHubConsumerClient.from_connection_string(connection, "$Default", eventhub_name=hub)
    async with consumer:
        receiving = asyncio.create_task(
            consumer.receive_batch(on_event_batch, max_batch_size=300, starting_position="-1")
        )
        await asyncio.wait_for(done.wait(), 60)
        receiving.cancel()
    return events / (ended - began)


async def main():
    work = {"send": send, "receive": receive}[sys.argv[1]]
    connection, hub, events, size = sys.argv[2:]
    print(await work(connection, hub, int(events), int(size)))


asyncio.run(main())
