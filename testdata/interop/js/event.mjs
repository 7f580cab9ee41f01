// Events and values, between JSON and the client.
import { earliestEventPosition, latestEventPosition } from "@azure/event-hubs";
import { types } from "rhea-promise";
import { unsupported } from "./failure.mjs";

export function eventOfSize(size) {
  return { body: Buffer.alloc(size) };
}

export function toSend(e) {
  const data = { body: e.null_body ? null : Buffer.from(e.body ?? "", "base64") };
  if (e.footer || e.delivery_annotations) {
    data.bodyType = "data"; // has the client take it for a message of AMQP, with all of its sections
    if (e.footer) data.footer = mapValues(e.footer, valueToSend);
    if (e.delivery_annotations) data.deliveryAnnotations = mapValues(e.delivery_annotations, valueToSend);
  }
  if (e.properties) data.properties = mapValues(e.properties, valueToSend);
  if (e.message_id) data.messageId = idToSend(e.message_id);
  if (e.correlation_id) data.correlationId = idToSend(e.correlation_id);
  if (e.content_type) data.contentType = e.content_type.v;
  return data;
}

function mapValues(object, f) {
  return Object.fromEntries(Object.entries(object).map(([name, v]) => [name, f(v)]));
}

// A property's value, in the type of AMQP that is asked for: the client passes on what its AMQP library has wrapped.
function valueToSend({ t, v }) {
  switch (t) {
    case "null":
      return null;
    case "bool":
    case "string":
      return v;
    case "ubyte":
    case "ushort":
    case "uint":
    case "byte":
    case "short":
    case "int":
    case "float":
    case "double":
      return types[`wrap_${t}`](Number(v));
    case "ulong":
    case "long":
    case "timestamp":
      return types[`wrap_${t}`](eightBytes(v));
    case "char":
      return types.wrap_char(v.codePointAt(0));
    case "symbol":
      return types.wrap_symbol(v);
    case "uuid":
      return types.wrap_uuid(uuidBytes(v));
    case "binary":
      return Buffer.from(v, "base64");
    case "list":
      return v.map(valueToSend);
    case "map":
      return mapValues(v, valueToSend);
  }
  throw unsupported(`the client can't encode ${t}`);
}

// A message or correlation id: the client takes a string, a number for a ulong, and bytes for a UUID.
function idToSend({ t, v }) {
  if (t === "string") return v;
  if (t === "ulong" && Number.isSafeInteger(Number(v))) return Number(v);
  if (t === "uuid") return uuidBytes(v);
  throw unsupported(`an id can't be ${t} ${v}`);
}

function eightBytes(decimal) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(decimal)));
  return bytes;
}

function uuidBytes(text) {
  return Buffer.from(text.replaceAll("-", ""), "hex");
}

export function receivedEvent(e, partition) {
  const raw = e.getRawAmqpMessage();
  return {
    partition,
    body: (e.body ?? Buffer.alloc(0)).toString("base64"),
    properties: mapValues(raw.applicationProperties ?? {}, value),
    message_id: e.messageId === undefined ? undefined : value(e.messageId),
    correlation_id: e.correlationId === undefined ? undefined : value(e.correlationId),
    content_type: e.contentType === undefined ? undefined : value(e.contentType),
    sequence: e.sequenceNumber,
    offset: String(e.offset),
    enqueued_ms: e.enqueuedTimeUtc.getTime(),
    key: e.partitionKey ?? undefined,
    system: mapValues(e.systemProperties ?? {}, value),
    footer: mapValues(raw.footer ?? {}, value),
    delivery_annotations: mapValues(raw.deliveryAnnotations ?? {}, value),
  };
}

// A value that was received. JavaScript has one type of number; a UUID, and an integer that no number can hold, are bytes.
function value(v) {
  if (v === null || v === undefined) return { t: "null" };
  if (Buffer.isBuffer(v)) return { t: "binary", v: v.toString("base64") };
  if (v instanceof Date) return { t: "timestamp", v: String(v.getTime()) };
  if (Array.isArray(v)) return { t: "list", v: v.map(value) };
  switch (typeof v) {
    case "boolean":
      return { t: "bool", v };
    case "number":
      return { t: "number", v: String(v) };
    case "string":
      return { t: "string", v };
    case "object":
      return { t: "map", v: mapValues(v, value) };
  }
  return { t: typeof v, v: String(v) };
}

// Where to start, as the consumer client takes it.
export function position(start) {
  if (start.earliest) return earliestEventPosition;
  if (start.latest) return latestEventPosition;
  const isInclusive = Boolean(start.inclusive);
  if (start.offset !== undefined) return { offset: start.offset, isInclusive };
  if (start.sequence !== undefined) return { sequenceNumber: start.sequence, isInclusive };
  if (isInclusive) throw unsupported("a position in time is always exclusive");
  return { enqueuedOn: start.time_ms };
}

export function lastEnqueued(p) {
  return (
    p && {
      sequence: p.sequenceNumber,
      offset: String(p.offset),
      enqueued_ms: p.enqueuedOn?.getTime(),
      retrieved_ms: p.retrievedOn?.getTime(),
    }
  );
}
