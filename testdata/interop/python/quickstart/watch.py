"""Prints events as they come, from all partitions and without checkpoints, until Ctrl-C: recv.py without its store.

Both tokens of recv.py are asked for through one credential, and azure-identity waits half a minute between two requests,
whatever they are for. Where tokens hold for less than a minute, those for storage keep those for events from being renewed.
"""

import asyncio
import os

from azure.eventhub.aio import EventHubConsumerClient
from azure.identity.aio import DefaultAzureCredential

credential = DefaultAzureCredential()


async def on_event(partition_context, event):
    print(
        'Received the event: "{}" from the partition with ID: "{}"'.format(
            event.body_as_str(encoding="UTF-8"), partition_context.partition_id
        ),
        flush=True,
    )


async def main():
    client = EventHubConsumerClient(
        fully_qualified_namespace=os.environ["EVENT_HUB_FULLY_QUALIFIED_NAMESPACE"],
        eventhub_name=os.environ["EVENT_HUB_NAME"],
        consumer_group="$Default",
        credential=credential,
    )
    async with client:
        await client.receive(on_event=on_event, starting_position="-1")
    await credential.close()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("Stopped receiving")
