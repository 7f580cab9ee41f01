package eventhubsotel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubsotel"
)

// What the conventions call things.
func TestNames(t *testing.T) {
	t.Parallel()
	for ours, theirs := range map[string]string{
		eventhubsotel.AttrSystem:              string(semconv.MessagingSystemKey),
		eventhubsotel.AttrOperationName:       string(semconv.MessagingOperationNameKey),
		eventhubsotel.AttrOperationType:       string(semconv.MessagingOperationTypeKey),
		eventhubsotel.AttrDestination:         string(semconv.MessagingDestinationNameKey),
		eventhubsotel.AttrPartition:           string(semconv.MessagingDestinationPartitionIDKey),
		eventhubsotel.AttrGroup:               string(semconv.MessagingConsumerGroupNameKey),
		eventhubsotel.AttrBatchCount:          string(semconv.MessagingBatchMessageCountKey),
		eventhubsotel.AttrMessageID:           string(semconv.MessagingMessageIDKey),
		eventhubsotel.AttrEnqueuedTime:        string(semconv.MessagingEventHubsMessageEnqueuedTimeKey),
		eventhubsotel.AttrServerAddress:       string(semconv.ServerAddressKey),
		eventhubsotel.AttrServerPort:          string(semconv.ServerPortKey),
		eventhubsotel.AttrErrorType:           string(semconv.ErrorTypeKey),
		eventhubsotel.System:                  semconv.MessagingSystemEventHubs.Value.AsString(),
		eventhubsotel.OtherError:              semconv.ErrorTypeOther.Value.AsString(),
		eventhubsotel.MetricOperationDuration: messagingconv.ClientOperationDuration{}.Name(),
		eventhubsotel.MetricSent:              messagingconv.ClientSentMessages{}.Name(),
		eventhubsotel.MetricConsumed:          messagingconv.ClientConsumedMessages{}.Name(),
		eventhubsotel.MetricProcessDuration:   messagingconv.ProcessDuration{}.Name(),
	} {
		require.Equal(t, theirs, ours)
	}
}

func TestErrorType(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"ownership_lost":            fmt.Errorf("x: %w", eventhubs.ErrOwnershipLost),
		"draining":                  eventhubs.ErrDraining,
		"closed":                    &eventhubs.SendError{Err: eventhubs.ErrClosed},
		"event_too_large":           &eventhubs.EventTooLargeError{},
		"canceled":                  context.Canceled,
		"deadline_exceeded":         fmt.Errorf("x: %w", context.DeadlineExceeded),
		"com.microsoft:server-busy": &amqp.Error{Condition: "com.microsoft:server-busy"},
		"BlobNotFound":              &azcore.ResponseError{ErrorCode: "BlobNotFound", StatusCode: 404},
		"503":                       &azcore.ResponseError{StatusCode: 503},
		"not_authorized":            eventhubs.ErrNotAuthorized,
		"not_found":                 eventhubs.ErrNotFound,
		"amqp.ConnError":            fmt.Errorf("x: %w", &amqp.ConnError{}),
		"_OTHER":                    fmt.Errorf("x: %w", errors.New("text")),
	} {
		require.Equal(t, want, eventhubsotel.ErrorType(err))
	}
	require.Equal(t, "_OTHER", eventhubsotel.ErrorType(eventhubs.Stop(nil)))
	require.Equal(t, "_OTHER", eventhubsotel.ErrorType(errors.Join(errors.New("a"), errors.New("b"))))
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg     eventhubs.Config
		hub     string
		address string
		port    int64
	}{
		"passwordless": {eventhubs.Config{Namespace: "a.b.net", EventHub: "h"}, "h", "a.b.net", 5671},
		"pasted":       {eventhubs.Config{Namespace: " \"https://a.b.net/\"\n", EventHub: "h\n"}, "h", "a.b.net", 5671},
		"websockets":   {eventhubs.Config{Namespace: "a.b.net", EventHub: "h", WebSockets: true}, "h", "a.b.net", 443},
		"port":         {eventhubs.Config{Namespace: "a.b.net:1234", EventHub: "h"}, "h", "a.b.net", 1234},
		"connection string": {eventhubs.Config{
			ConnectionString: "Endpoint=sb://a.b.net/;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=h",
		}, "h", "a.b.net", 5671},
		"emulator": {eventhubs.Config{
			ConnectionString: "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true",
			EventHub:         "h",
		}, "h", "localhost", 5672},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			telemetry := eventhubsotel.New(c.cfg, &eventhubsotel.Options{ConsumerGroup: "g"})
			require.Equal(t, c.hub, telemetry.Hub())
			require.Equal(t, c.address, telemetry.Server()[0].Value.AsString())
			require.Equal(t, c.port, telemetry.Server()[1].Value.AsInt64())
		})
	}
	require.Equal(t, "send", eventhubsotel.New(eventhubs.Config{}, nil).SpanName("send"), "of nothing")
}
