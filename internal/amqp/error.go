package amqp

import "fmt"

// Conditions of part 2 of the specification that this package answers with.
const (
	CondInternalError         = "amqp:internal-error"
	CondNotFound              = "amqp:not-found"
	CondUnauthorized          = "amqp:unauthorized-access"
	CondDecodeError           = "amqp:decode-error"
	CondResourceLimitExceeded = "amqp:resource-limit-exceeded"
	CondNotAllowed            = "amqp:not-allowed"
	CondInvalidField          = "amqp:invalid-field"
	CondNotImplemented        = "amqp:not-implemented"
	CondConnectionForced      = "amqp:connection:forced"
	CondFramingError          = "amqp:connection:framing-error"
	CondHandleInUse           = "amqp:session:handle-in-use"
	CondUnattachedHandle      = "amqp:session:unattached-handle"
	CondTransferLimitExceeded = "amqp:link:transfer-limit-exceeded"
	CondMessageSizeExceeded   = "amqp:link:message-size-exceeded"
	CondDetachForced          = "amqp:link:detach-forced"
	CondStolen                = "amqp:link:stolen"
)

// Error is an AMQP error: what is sent to a peer, or was received from it.
type Error struct {
	Condition   string
	Description string
}

func (e *Error) Error() string { return e.Condition + ": " + e.Description }

// Errorf makes an Error.
func Errorf(condition, format string, args ...any) *Error {
	return &Error{condition, fmt.Sprintf(format, args...)}
}

// append encodes the error, or null.
func (e *Error) append(b []byte) []byte {
	if e == nil {
		return append(b, codeNull)
	}
	return appendList(b, descError, 2, func(b []byte) []byte {
		b = appendVariable(b, codeSym8, e.Condition)
		return appendVariable(b, codeStr8, e.Description)
	})
}
