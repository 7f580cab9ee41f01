package amqp

import (
	"fmt"
	"unicode/utf8"
)

// Conditions of part 2 of the specification that this package sends.
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

// Error is an AMQP error, sent to a peer or received from one.
type Error struct {
	Condition   string
	Description string
}

func (e *Error) Error() string { return e.Condition + ": " + e.Description }

// Errorf returns an Error with a formatted description.
func Errorf(condition, format string, args ...any) *Error {
	return &Error{condition, fmt.Sprintf(format, args...)}
}

const (
	// maxDescription bounds descriptions, in bytes, because they may repeat what a peer has sent.
	maxDescription = 4 << 10
	maxCondition   = 128
	// aroundError is more than the bytes of a frame with an error, without its condition and description.
	aroundError = 80
)

// within returns the error, shortened if need be so that its frame has at most frameSize bytes.
func (e *Error) within(frameSize uint32) *Error {
	if e == nil {
		return nil
	}
	condition := cut(e.Condition, maxCondition)
	description := cut(e.Description, min(maxDescription, int(frameSize)-aroundError-len(condition)))
	if len(condition) == len(e.Condition) && len(description) == len(e.Description) {
		return e
	}
	return &Error{condition, description}
}

// fitting returns the error, shortened if need be for the largest frame that the peer takes. The connection's lock is
// held.
func (c *Conn) fitting(e *Error) *Error { return e.within(c.outMax) }

// cut returns at most the first n bytes of s. It does not split a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const dots = "..."
	n -= len(dots)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + dots
}

// append appends the encoding of the error, or null if it is nil.
func (e *Error) append(b []byte) []byte {
	if e == nil {
		return append(b, codeNull)
	}
	return appendList(b, descError, 2, func(b []byte) []byte {
		b = appendVariable(b, codeSym8, e.Condition)
		return appendVariable(b, codeStr8, e.Description)
	})
}
