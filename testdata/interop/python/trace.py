"""Sends or receives one event with tracing, and prints the client's spans: ../README.md says how."""

import asyncio
import json
import os
import sys

from azure.core.settings import settings
from azure.core.tracing.ext.opentelemetry_span import OpenTelemetrySpan
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, EventHubProducerClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

CONNECTION = os.environ["EVENT_HUB_CONNECTION_STRING"]
HUB = os.environ["EVENT_HUB_NAME"]


def ids(context):
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


class Printed(SpanExporter):
    def export(self, spans):
        for s in spans:
            line = {"name": s.name, "kind": s.kind.name.lower(), **ids(s.context)}
            if s.parent:
                line["parent_id"] = f"{s.parent.span_id:016x}"
            line["links"] = [ids(link.context) for link in s.links]
            print(json.dumps(line), flush=True)
        return SpanExportResult.SUCCESS


async def send():
    async with EventHubProducerClient.from_connection_string(CONNECTION, eventhub_name=HUB) as producer:
        batch = await producer.create_batch()
        batch.add(EventData(b"traced"))
        await producer.send_batch(batch)


async def receive():
    received = asyncio.Event()

    async def on_event(context, event):
        received.set()

    consumer = EventHubConsumerClient.from_connection_string(CONNECTION, "$Default", eventhub_name=HUB)
    async with consumer:
        reading = asyncio.create_task(consumer.receive(on_event, starting_position="-1"))
        await received.wait()
        reading.cancel()
        await asyncio.wait([reading])


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Printed()))
trace.set_tracer_provider(provider)
settings.tracing_implementation = OpenTelemetrySpan

asyncio.run({"send": send, "receive": receive}[sys.argv[1]]())
provider.shutdown()
