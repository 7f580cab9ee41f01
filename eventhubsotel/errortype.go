package eventhubsotel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/go-amqp"
	"go.opentelemetry.io/otel/attribute"

	"github.com/go-eventhubs/eventhubs"
)

// otherError is what the conventions call an error without a name.
const otherError = "_OTHER"

// errorType names the kind of an error for the attribute error.type: a name of this package, the condition of the
// service, the code of the storage account, or the type of the innermost error. There are few of them.
func errorType(err error) string {
	var (
		amqpError *amqp.Error
		response  *azcore.ResponseError
		network   net.Error
	)
	switch {
	case errors.Is(err, eventhubs.ErrOwnershipLost):
		return "ownership_lost"
	case errors.Is(err, eventhubs.ErrDraining):
		return "draining"
	case errors.Is(err, eventhubs.ErrClosed):
		return "closed"
	case errors.As(err, new(*eventhubs.EventTooLargeError)):
		return "event_too_large"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline_exceeded"
	case errors.As(err, &amqpError):
		return string(amqpError.Condition)
	case errors.As(err, &response) && response.ErrorCode != "":
		return response.ErrorCode
	case errors.As(err, &response):
		return strconv.Itoa(response.StatusCode)
	case errors.Is(err, eventhubs.ErrNotAuthorized):
		return "not_authorized"
	case errors.Is(err, eventhubs.ErrNotFound):
		return "not_found"
	case errors.As(err, &network) && network.Timeout():
		return "timeout"
	}
	return innermost(err)
}

// innermost is the name of the type of the last error that an error wraps.
func innermost(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	switch name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*"); name {
	case "errors.errorString", "errors.joinError", "fmt.wrapError", "fmt.wrapErrors", "eventhubs.stopError":
		return otherError
	default:
		return name
	}
}

func errorAttribute(kind string) attribute.KeyValue { return attribute.String(attrErrorType, kind) }
