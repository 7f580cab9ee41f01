// Package sdkerr tells what an error of Microsoft's SDKs means. It is the only package that reads their texts. It has
// to: after its own retries azeventhubs returns an error that hides its cause (internal/exported/error.go), and its
// type for the answers of $management and $cbs is internal (internal/rpc.go, RPCError). For other errors all functions
// report false.
package sdkerr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"
)

// Conditions of the service that go-amqp has no name for.
const (
	condServerBusy         amqp.ErrCond = "com.microsoft:server-busy"
	condTimeout            amqp.ErrCond = "com.microsoft:timeout"
	condOperationCancelled amqp.ErrCond = "com.microsoft:operation-cancelled"
	condOutOfRange         amqp.ErrCond = "com.microsoft:argument-out-of-range"
	condArgument           amqp.ErrCond = "com.microsoft:argument-error"
	// an offset of another kind of namespace
	condGeoReplicationOffset amqp.ErrCond = "com.microsoft:georeplication:invalid-offset"
	condEntityDisabled       amqp.ErrCond = "com.microsoft:entity-disabled"
)

// IsUnauthorized reports whether the service refuses a token, or says that it does not allow the operation.
func IsUnauthorized(err error) bool {
	var sdk *azeventhubs.Error
	return errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeUnauthorizedAccess ||
		hasCondition(err, amqp.ErrCondUnauthorizedAccess) || hasStatus(err, http.StatusUnauthorized) ||
		hasStatus(err, http.StatusForbidden)
}

// IsNotFound reports whether there is no such event hub or consumer group.
func IsNotFound(err error) bool {
	return hasCondition(err, amqp.ErrCondNotFound) || hasStatus(err, http.StatusNotFound)
}

// IsNoPartition reports whether there is no such partition.
func IsNoPartition(err error) bool { return hasCondition(err, condOutOfRange) }

// IsInvalid reports whether the service refuses what was asked for, and would refuse it again: an argument that is out
// of range, a message that is too large, an entity that is disabled, or an operation that is not allowed.
func IsInvalid(err error) bool {
	for _, c := range []amqp.ErrCond{
		condOutOfRange, condEntityDisabled, amqp.ErrCondNotAllowed, amqp.ErrCondMessageSizeExceeded,
		amqp.ErrCondNotImplemented, amqp.ErrCondInvalidField,
	} {
		if hasCondition(err, c) {
			return true
		}
	}
	return false
}

// IsFull reports whether a limit of the service is reached, which waiting does not lift.
func IsFull(err error) bool { return hasCondition(err, amqp.ErrCondResourceLimitExceeded) }

// IsBusy reports whether the service cannot do it now. Links and connection stay as they are.
func IsBusy(err error) bool {
	return hasCondition(err, condServerBusy) || hasCondition(err, condTimeout) ||
		hasCondition(err, condOperationCancelled) ||
		hasStatus(err, http.StatusServiceUnavailable) || hasStatus(err, http.StatusRequestTimeout) ||
		hasStatus(err, http.StatusInternalServerError)
}

// IsOwnershipLost reports whether another reader has taken the link.
func IsOwnershipLost(err error) bool {
	var sdk *azeventhubs.Error
	return errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeOwnershipLost || hasCondition(err, amqp.ErrCondStolen)
}

// otherReceiver is how the service names the reader that has the partition, in the descriptions of a link that was
// stolen, and of one that is refused because that reader has a higher epoch.
var otherReceiver = regexp.MustCompile(
	`New receiver '([^']*)' with higher epoch of '(\d+)'|Receiver '([^']*)' with a higher epoch '(\d+)' already exists`)

// Thief is the name of the reader that has taken a link, or keeps it from being opened, and its epoch, if the error
// says so.
func Thief(err error) (name string, epoch int64, ok bool) {
	m := otherReceiver.FindStringSubmatch(err.Error())
	if m == nil {
		return "", 0, false
	}
	epoch, convErr := strconv.ParseInt(m[2]+m[4], 10, 64)
	return m[1] + m[3], epoch, convErr == nil
}

// IsRefusedPosition reports whether the service refuses the position of a reader: it is after the end of the partition.
// The SDK does not know this error, and keeps making new connections (internal/errors.go, GetRecoveryKind).
func IsRefusedPosition(err error) bool {
	return hasCondition(err, condArgument) || hasCondition(err, condGeoReplicationOffset)
}

// IsContext reports whether a call has ended with its context.
func IsContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		err.Error() == "context canceled" // go-amqp makes errors of its own of some (azeventhubs, internal/errors.go)
}

// IsStorageRefusal reports whether the storage account refuses access, or does not find something.
func IsStorageRefusal(err error) bool {
	return hasStorageStatus(err, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound)
}

// NeedsRight reports whether an identity lacks a right, or a key or token is wrong, in the namespace or the storage
// account.
func NeedsRight(err error) bool {
	return IsUnauthorized(err) || hasStorageStatus(err, http.StatusUnauthorized, http.StatusForbidden)
}

// NeedsName reports whether something that was named does not exist: an event hub, consumer group, partition or
// container.
func NeedsName(err error) bool {
	return IsNotFound(err) || IsNoPartition(err) || hasStorageStatus(err, http.StatusNotFound)
}

func hasStorageStatus(err error, codes ...int) bool {
	var e *azcore.ResponseError
	return errors.As(err, &e) && slices.Contains(codes, e.StatusCode)
}

// localDecodeError begins the error with which go-amqp closes a link when it cannot decode a message (receiver.go,
// muxReceive). Errors of the service have another form.
const localDecodeError = "amqp:internal-error: "

// IsUndecodable reports whether go-amqp could not decode a message. That closes the link: nothing after the message can
// be read over it.
func IsUndecodable(err error) bool {
	text := err.Error()
	return strings.Contains(text, localDecodeError) && !strings.Contains(text, "unexpected frame")
}

// IsLost reports whether a link or its connection was lost, or cannot be made.
func IsLost(err error) bool {
	var sdk *azeventhubs.Error
	var network net.Error
	return errors.As(err, &sdk) && sdk.Code == azeventhubs.ErrorCodeConnectionLost || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || hasCondition(err, amqp.ErrCondConnectionForced)
}

// IsRefusedToken reports whether $cbs has refused a token.
func IsRefusedToken(err error) bool {
	return hasStatus(err, http.StatusUnauthorized) || hasStatus(err, http.StatusForbidden)
}

// hasCondition looks for the condition that the service gave. An error of azeventhubs hides its cause, but its text has
// that of go-amqp's.
func hasCondition(err error, condition amqp.ErrCond) bool {
	var e *amqp.Error
	if errors.As(err, &e) {
		return e.Condition == condition
	}
	return strings.Contains(err.Error(), "*Error{Condition: "+string(condition)+",")
}

// rpcFailed begins the SDK's error for a refusal by $management or $cbs (internal/rpc.go, asRPCError).
const rpcFailed = "rpc: failed"

// hasStatus looks for the status code of an answer from $management or $cbs.
func hasStatus(err error, code int) bool {
	return strings.Contains(err.Error(), rpcFailed+fmt.Sprintf(", status code %d ", code))
}

// limitInError ends the error for a batch that would be larger than its link allows.
var limitInError = regexp.MustCompile(`\((\d+)\)$`)

// Limit is the link's max-message-size, which the SDK reveals only in the error for a batch that would be larger
// (event_data_batch.go, newEventDataBatch). 0: the error doesn't say.
func Limit(err error) int64 {
	if err == nil {
		return 0
	}
	m := limitInError.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n
}

// FromLink reports whether a call has failed on a link that was open. The SDK's type for that is internal, and names
// the link (internal/amqpwrap, Error); what fails before a link is open names none. azeventhubs.Error hides it in a
// field. A refusal of $management or $cbs names their own link.
func FromLink(err error) bool {
	if strings.Contains(err.Error(), rpcFailed) {
		return false
	}
	for v := reflect.ValueOf(err); v.IsValid(); {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			v = v.Elem()
			continue
		case reflect.Struct:
		default:
			return false
		}
		if name := v.FieldByName("LinkName"); name.IsValid() && name.Kind() == reflect.String {
			return name.String() != ""
		}
		inner := v.FieldByName("innerErr")
		if !inner.IsValid() {
			inner = v.FieldByName("err")
		}
		v = inner
	}
	return false
}
