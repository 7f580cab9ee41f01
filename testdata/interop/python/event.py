"""Events and values, between JSON and the client."""

import base64
import datetime
import uuid

from azure.eventhub import EventData
from azure.eventhub.amqp import AmqpAnnotatedMessage

from failure import Unsupported

EPOCH = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)

INTEGERS = ("ubyte", "ushort", "uint", "ulong", "byte", "short", "int", "long", "timestamp")
FLOATS = ("float", "double")


def milliseconds(time):
    return (time - EPOCH) // MILLISECOND


def of_size(size):
    return EventData(bytes(size))


def to_send(e):
    if e.get("footer") or e.get("delivery_annotations"):
        return annotated(e)
    if e.get("null_body"):
        raise Unsupported("EventData cannot be None")
    data = EventData(base64.b64decode(e.get("body") or ""))
    if e.get("properties"):
        data.properties = {name: value_to_send(v) for name, v in e["properties"].items()}
    if "message_id" in e:
        data.message_id = id_to_send(e["message_id"])
    if "correlation_id" in e:
        data.correlation_id = id_to_send(e["correlation_id"])
    if "content_type" in e:
        data.content_type = e["content_type"]["v"]
    return data


def annotated(e):
    """An event as a message of AMQP, with the sections that an EventData has no way to set."""
    return AmqpAnnotatedMessage(
        data_body=base64.b64decode(e.get("body") or ""),
        footer={name: value_to_send(v) for name, v in e.get("footer", {}).items()},
        delivery_annotations={name: value_to_send(v) for name, v in e.get("delivery_annotations", {}).items()},
    )


def value_to_send(value):
    """A property's value. The client takes {"TYPE": …, "VALUE": …} where Python's own types don't say which of AMQP's is meant."""
    t, v = value["t"], value.get("v")
    if t == "null":
        return None
    if t in ("bool", "string"):
        return v
    if t in INTEGERS:
        return {"TYPE": t.upper(), "VALUE": int(v)}
    if t in FLOATS:
        return {"TYPE": t.upper(), "VALUE": float(v)}
    if t == "symbol":
        return {"TYPE": "SYMBOL", "VALUE": v}
    if t == "uuid":
        return uuid.UUID(v)
    if t == "binary":
        return base64.b64decode(v)
    if t == "list":
        return [value_to_send(x) for x in v]
    if t == "map":
        return {name: value_to_send(x) for name, x in v.items()}
    raise Unsupported(f"the client can't encode {t}")


def id_to_send(value):
    """A message or correlation id: the client encodes it by its Python type."""
    t, v = value["t"], value.get("v")
    if t == "string":
        return v
    if t == "ulong":
        return int(v)
    if t == "uuid":
        return uuid.UUID(v)
    if t == "binary":
        return base64.b64decode(v)
    raise Unsupported(f"an id can't be {t}")


def received(e, partition):
    result = {
        "partition": partition,
        "body": base64.b64encode(b"".join(e.body)).decode(),
        "properties": {text(name): value(v) for name, v in (e.properties or {}).items()},
        "sequence": e.sequence_number,
        "offset": e.offset,
        "enqueued_ms": milliseconds(e.enqueued_time),
        "system": {text(name): value(v) for name, v in e.system_properties.items()},
        "footer": values(e.raw_amqp_message.footer),
        "delivery_annotations": values(e.raw_amqp_message.delivery_annotations),
    }
    if e.partition_key is not None:
        result["key"] = text(e.partition_key)
    for name, v in (
        ("message_id", e.message_id),
        ("correlation_id", e.correlation_id),
        ("content_type", e.content_type),
    ):
        if v is not None:
            result[name] = value(v)
    return result


def values(section):
    return {text(name): value(v) for name, v in (section or {}).items()}


def text(name):
    return name.decode() if isinstance(name, bytes) else name


def value(v):
    """A value that was received. Integers of all widths and timestamps are Python's int, both floats its float, and strings, symbols
    and binaries its bytes: bytes that are UTF-8 are given as a string."""
    if v is None:
        return {"t": "null"}
    if isinstance(v, bool):
        return {"t": "bool", "v": v}
    if isinstance(v, int):
        return {"t": "number", "v": str(v)}
    if isinstance(v, float):
        return {"t": "number", "v": number(v)}
    if isinstance(v, str):
        return {"t": "string", "v": v}
    if isinstance(v, uuid.UUID):
        return {"t": "uuid", "v": str(v)}
    if isinstance(v, bytes):
        try:
            return {"t": "string", "v": v.decode()}
        except UnicodeDecodeError:
            return {"t": "binary", "v": base64.b64encode(v).decode()}
    if isinstance(v, list):
        return {"t": "list", "v": [value(x) for x in v]}
    if isinstance(v, dict):
        return {"t": "map", "v": {text(name): value(x) for name, x in v.items()}}
    return {"t": type(v).__name__, "v": str(v)}


def number(v):
    """A float as a decimal string, with the names that JavaScript has for what isn't a number."""
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(v), repr(v))


def position(start):
    """Where to start, as the consumer client takes it."""
    if start.get("earliest"):
        return {"starting_position": "-1"}
    if start.get("latest"):
        return {"starting_position": "@latest"}
    inclusive = bool(start.get("inclusive"))
    if "offset" in start:
        return {"starting_position": start["offset"], "starting_position_inclusive": inclusive}
    if "sequence" in start:
        return {"starting_position": start["sequence"], "starting_position_inclusive": inclusive}
    time = EPOCH + start["time_ms"] * MILLISECOND
    return {"starting_position": time, "starting_position_inclusive": inclusive}


def last_enqueued(p):
    if not p:
        return None
    return {
        "sequence": p["sequence_number"],
        "offset": p["offset"],
        "enqueued_ms": milliseconds(p["enqueued_time"]),
        "retrieved_ms": milliseconds(p["retrieval_time"]),
    }
