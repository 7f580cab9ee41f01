// Package eventhubsotel gives package eventhubs OpenTelemetry's traces and metrics, and log records their trace ids. It
// is a module of its own, so that programs without OpenTelemetry don't pay for it.
//
//	telemetry := eventhubsotel.New(cfg, nil)                // with the global providers
//	sender := telemetry.Sender(producer)                    // its Send is Producer.Send
//	store = telemetry.CheckpointStore(store)                // for NewConsumer
//	defer telemetry.Observe(consumer)()                     // lag, checkpoints, partitions
//	err = consumer.Receive(ctx, telemetry.Handler(handle))  // or ReceiveBatch and BatchHandler
//
// Each line can be left out. Names are those of the semantic conventions for messaging, version 1.44: see
// https://github.com/open-telemetry/semantic-conventions/tree/v1.44.0/docs/messaging. These conventions are in
// development; version 1.45 renames messaging.system, for one.
//
// # Traces
//
// Spans are called "send {event hub}" (one for each call of Send), "process {event hub}" (one for each call of a
// handler, so one for each attempt) and "checkpoint {event hub}". A process span links to the span that has sent the
// event, or, for single events and if Options.ChildSpans is set, is its child. A handler that has stalled,
// ErrOwnershipLost and ErrDraining are events of its span.
//
// Send adds the context to each event as Microsoft's clients for .NET and Python do, in the application properties
// traceparent, Diagnostic-Id (which has the same value, for older clients and JavaScript's) and, if there is one,
// tracestate. An event that has one of the first two already is left alone. The caller's events are not modified.
//
// # Metrics
//
// The four of the conventions are messaging.client.operation.duration, messaging.client.sent.messages,
// messaging.client.consumed.messages and messaging.process.duration. What an operator needs beside them begins with
// "eventhubs.": lag, age of checkpoints, attempts, partitions gained and lost, calls to the checkpoint store. The
// repository's docs/observability.md explains each, and there are a dashboard and alert rules in the folder dashboards.
//
// The number of time series is bounded: the values of attributes are partitions, constants of this package, condition
// codes of the service, and the names of the program's own error types.
package eventhubsotel
