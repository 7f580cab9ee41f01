package guarantee_test

import (
	"slices"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

const (
	// answeredWithin is ProducerOptions.AnswerTimeout's default.
	answeredWithin = 30 * time.Second
	// longestSendPause is the longest pause between two tries of Send.
	longestSendPause = 5 * time.Second * 5 / 4
	// sendBound is the longest that a call of Send may take: see ProducerOptions.RetryFor.
	sendBound = time.Minute + answeredWithin + openTimeout
)

// sendExpectation is the outcome that a cell that sends must have.
type sendExpectation struct {
	fails        string // what the error of calls that meet the failure contains; "": they don't fail
	may          bool   // they may also succeed
	unauthorized bool   // all calls fail until the failure is taken back: no right has worked before
	worst        time.Duration
}

func (c cell) expectedOfSending() (e sendExpectation) {
	condition, step := c.failure.fault.Condition, c.exchange.step
	opens := step == opening
	switch {
	case step == closing:
	case step == connecting && condition == quota: // it depends on which call the SDK tells
		e.fails, e.may = condition, true
	case step == connecting:
	case condition == notFound:
		e.fails = "there is no such event hub or consumer group"
	case c.isRight() && opens && c.moment == first:
		e.fails, e.unauthorized = "not authorized", true
	case c.isRight() && c.moment == lasting:
		e.fails = "not authorized"
	case c.isRight(), c.exchange.aim.On == eventhubstest.OnToken: // the SDK shows no condition
	case slices.Contains(final, condition):
		e.fails = condition
	}
	e.worst = c.untilSent()
	if c.moment == first && e.fails == "" && c.failure.kind != refused {
		e.worst += 6 * time.Second // the SDK's first pause
	}
	if c.moment == lasting {
		e.worst += longestSendPause
	}
	return e
}

// untilSent is how long the failure of one exchange keeps a call from succeeding.
func (c cell) untilSent() time.Duration {
	switch {
	case c.failure.kind == refused, c.failure.kind == broken:
		return promptly
	case c.exchange.step == working, c.exchange.step == closing: // the SDK waits for the answer to detach within the call
		return answeredWithin + promptly
	}
	return openTimeout + promptly
}

// unknownOutcomes is how many events may be stored twice after the failure has happened so many times.
func (c cell) unknownOutcomes(happened int) int {
	unknown := c.exchange.aim.On == eventhubstest.OnPublish && (c.exchange.aim.After || c.failure.kind != refused)
	if !unknown {
		return 0
	}
	return happened
}
