"""Microsoft's Python quickstart, send.py: sends three events, or those that the arguments name."""

import asyncio
import os
import sys

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient
from azure.identity.aio import DefaultAzureCredential

EVENT_HUB_FULLY_QUALIFIED_NAMESPACE = os.environ["EVENT_HUB_FULLY_QUALIFIED_NAMESPACE"]
EVENT_HUB_NAME = os.environ["EVENT_HUB_NAME"]

TEXTS = sys.argv[1:] or ["First event", "Second event", "Third event"]

credential = DefaultAzureCredential()


async def run():
    producer = EventHubProducerClient(
        fully_qualified_namespace=EVENT_HUB_FULLY_QUALIFIED_NAMESPACE,
        eventhub_name=EVENT_HUB_NAME,
        credential=credential,
    )
    async with producer:
        event_data_batch = await producer.create_batch()
        for text in TEXTS:
            event_data_batch.add(EventData(text))
        await producer.send_batch(event_data_batch)
    await credential.close()
    print("Sent", len(TEXTS), "events")


asyncio.run(run())
