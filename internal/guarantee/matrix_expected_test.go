package guarantee_test

import (
	"slices"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// expectation is the outcome that a cell must have, beyond what holds for all cells.
type expectation struct {
	ends string // Receive ends with an error that has this in it; "": it doesn't
	// after and within bound how long the exchange is tried before that, from when the failure can happen. What is refused
	// at first is tried for as long as the SDK tries at most. What has worked before is tried for a minute, and until the
	// next try is due.
	after, within time.Duration
	// worst is how long an event may wait in the partition that is worst off, and other is how long in the other one. If
	// the failure lasts, they count from when it is over.
	worst, other time.Duration
}

// promptly is a bound for what takes no time, except for a first pause before something is tried again.
const promptly = time.Second

// longestPause is the longest between two tries (package retry).
const longestPause = 30 * time.Second * 5 / 4

// expectedOfReading is the expectation for a failure in a consumer's exchanges.
func (c cell) expectedOfReading() expectation {
	e := expectation{worst: promptly, other: promptly}
	switch {
	case c.exchange.of == storage:
		return c.expectedOfStoring()
	case c.endsReceive():
		e.ends, e.within = c.refusal(), sdkPauses
		if c.moment == lasting {
			e.after, e.within = patience, patience+longestPause+eventsBetween+promptly
		}
		return e
	case c.exchange.of == reader:
		e.worst = c.untilRead()
	case c.moment == first && c.exchange.aim.Partition == "": // nobody reads before the first answer
		e.worst = c.untilAnswered()
		e.other = e.worst
	case c.moment == first:
		e.worst = c.untilAnswered()
	}
	if c.moment == lasting && c.exchange.of == reader {
		e.worst += longestPause // which may have just begun
	}
	return e
}

// endsReceive reports whether Receive ends with an error, because a person has to mend something.
func (c cell) endsReceive() bool {
	condition := c.failure.fault.Condition
	switch refused := c.isRight() || condition == notFound; {
	case c.exchange.step == connecting:
		return false
	case c.exchange.step == working && c.exchange.of == reader:
		return refused && c.moment == lasting
	case refused:
		return c.moment == first || c.moment == lasting && c.exchange.of == reader
	}
	// Before the first answer, a condition that doesn't say that the service is busy is an error.
	return c.moment == first && c.exchange.name == "attach-management" && slices.Contains(final, condition)
}

// isRight reports whether a condition says that a right is missing. For a token, the SDK shows only the status
// (internal/rpc.go, RPCError), and the status that goes with this limit is 403.
func (c cell) isRight() bool {
	condition := c.failure.fault.Condition
	return condition == unauthorized || condition == quota && c.exchange.aim.On == eventhubstest.OnToken
}

// final are refusals that the SDK does not retry, beside those of rights and names.
var final = []string{
	"amqp:not-allowed", quota, disabled,
	"com.microsoft:argument-out-of-range", "amqp:link:message-size-exceeded",
}

// refusal is what the error says then.
func (c cell) refusal() string {
	switch {
	case c.isRight():
		return "not authorized"
	case c.failure.fault.Condition == notFound:
		return "there is no such event hub or consumer group"
	}
	return c.failure.fault.Condition
}

// untilRead is how long the failure of one exchange keeps a reader from reading.
func (c cell) untilRead() time.Duration {
	switch {
	case c.exchange.step == closing:
		return silence + 3*time.Second // it was silent before, and is closed within two seconds
	case c.failure.kind == refused, c.failure.kind == broken:
		return promptly
	case c.exchange.step == working:
		return silence + promptly
	}
	return openTimeout + promptly
}

// untilAnswered is how long it keeps a consumer from getting the first answer.
func (c cell) untilAnswered() time.Duration {
	switch {
	case c.failure.kind == broken, c.failure.kind == refused:
		return 6 * time.Second // the SDK's first pause
	case c.exchange.step == working:
		return answerTimeout + openTimeout + promptly
	}
	return openTimeout + promptly
}
