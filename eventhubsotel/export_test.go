package eventhubsotel

import "go.opentelemetry.io/otel/attribute"

// What tests compare with the conventions.
const (
	AttrSystem              = attrSystem
	AttrOperationName       = attrOperationName
	AttrOperationType       = attrOperationType
	AttrDestination         = attrDestination
	AttrPartition           = attrPartition
	AttrGroup               = attrGroup
	AttrBatchCount          = attrBatchCount
	AttrMessageID           = attrMessageID
	AttrEnqueuedTime        = attrEnqueuedTime
	AttrServerAddress       = attrServerAddress
	AttrServerPort          = attrServerPort
	AttrErrorType           = attrErrorType
	System                  = system
	OtherError              = otherError
	MetricOperationDuration = metricOperationDuration
	MetricSent              = metricSent
	MetricConsumed          = metricConsumed
	MetricProcessDuration   = metricProcessDuration
)

var ErrorType = errorType

func (t *Telemetry) Hub() string                      { return t.hub }
func (t *Telemetry) Server() []attribute.KeyValue     { return t.server }
func (t *Telemetry) SpanName(operation string) string { return t.spanName(operation) }
