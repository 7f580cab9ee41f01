package eventhubsotel

// Attributes and metrics of the semantic conventions 1.44. The Go packages of the conventions end with 1.43 where
// OpenTelemetry needs no newer Go than this module; the messaging part is the same, which a test checks.
const (
	scope     = "github.com/go-eventhubs/eventhubs/eventhubsotel"
	schemaURL = "https://opentelemetry.io/schemas/1.44.0"

	attrSystem        = "messaging.system"
	attrOperationName = "messaging.operation.name"
	attrOperationType = "messaging.operation.type"
	attrDestination   = "messaging.destination.name"
	attrPartition     = "messaging.destination.partition.id"
	attrGroup         = "messaging.consumer.group.name"
	attrBatchCount    = "messaging.batch.message_count"
	attrMessageID     = "messaging.message.id"
	attrEnqueuedTime  = "messaging.eventhubs.message.enqueued_time" // in seconds since 1970
	attrServerAddress = "server.address"
	attrServerPort    = "server.port"
	attrErrorType     = "error.type"

	system = "eventhubs"

	metricOperationDuration = "messaging.client.operation.duration"
	metricSent              = "messaging.client.sent.messages"
	metricConsumed          = "messaging.client.consumed.messages"
	metricProcessDuration   = "messaging.process.duration"
)

// Attributes that the conventions have no name for.
const (
	attrAttempt        = "eventhubs.attempt"         // of a process span
	attrSequence       = "eventhubs.sequence_number" // likewise: of its first event
	attrUnacknowledged = "eventhubs.unacknowledged"  // of a send span: how many events a SendError lists
	attrStoreOperation = "eventhubs.store.operation"
	attrChange         = "eventhubs.partition.change"
	attrState          = "eventhubs.consumer.state"
	attrFailure        = "eventhubs.failure"
)

// Metrics that the conventions have no name for. See docs/observability.md.
const (
	metricRetries       = "eventhubs.process.retries"
	metricStoreDuration = "eventhubs.store.operation.duration"
	metricChanges       = "eventhubs.partition.changes"

	metricOwned           = "eventhubs.consumer.partitions"
	metricState           = "eventhubs.consumer.state"
	metricStoreFailing    = "eventhubs.store.failing.duration"
	metricLagEvents       = "eventhubs.partition.lag.events"
	metricLagDuration     = "eventhubs.partition.lag.duration"
	metricAhead           = "eventhubs.partition.ahead"
	metricUncovered       = "eventhubs.partition.uncovered"
	metricFetched         = "eventhubs.partition.fetched"
	metricCheckpointAge   = "eventhubs.partition.checkpoint.age"
	metricAttemptNumber   = "eventhubs.partition.attempt.number"
	metricAttemptDuration = "eventhubs.partition.attempt.duration"
	metricFailing         = "eventhubs.partition.failing.duration"
)
