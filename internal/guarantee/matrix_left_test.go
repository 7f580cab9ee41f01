package guarantee_test

import (
	"slices"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// leftOut says why a cell isn't tried, or "" if it is.
func (c cell) leftOut() string {
	f, x := c.failure, c.exchange
	why := ""
	switch {
	case x.of == storage:
		return c.leftOutStoring()
	case x.step == connecting:
		why = c.leftOutConnecting()
	case x.step == closing:
		why = c.leftOutClosing()
	case x.of == questions && x.step == working && (f.name == "lost" || f.name == "cut-after"):
		return "nothing of a question outlasts its answer, so it is the same as hang or cut-before"
	case x.of == sender && x.step == working && (f.name == "lost" || f.name == "cut-after"):
		return "what happens before an event is stored is publish, and what happens after that is settle"
	case x.name == "settle" && f.name == "late":
		return "what is answered late is stored at once: see publish"
	}
	if why == "" {
		why = c.leftOutAtMoment()
	}
	if why == "" && f.kind == refused && x.step != connecting {
		why = c.leftOutRefusal()
	}
	return why
}

// leftOutConnecting is leftOut of what comes before there is a link.
func (c cell) leftOutConnecting() string {
	f, x, m := c.failure, c.exchange, c.moment
	one := x.aim.On == eventhubstest.OnConnect || x.aim.On == eventhubstest.OnAttach
	switch {
	case f.name == "lost" || f.name == "cut-after":
		return "nothing of the exchange outlasts its answer, so it is the same as hang or cut-before"
	case f.name == "late":
		return "the connection is given up before the answer comes, so it is the same as hang"
	case f.kind == silent && x.aim.On != eventhubstest.OnOpen:
		return "before there is a link, silence is the same as hang: it is tried with open"
	case f.kind == refused && !slices.Contains(connectionRefusals[x.aim.On], f.fault.Condition):
		return "a connection or session is refused by closing it, whatever the condition: two of them are tried"
	case x.of == questions && m != first && (!one || m != later && m != stopping):
		return "questions wait for each step of a connection in the same way: the first and the last one are tried"
	case m == reconnect && (x.of == questions || x.aim.On != eventhubstest.OnConnect):
		return "of what comes before a link, one is tried when all connections are made again"
	case m == lasting && !one:
		return "of what comes before a link, the first and the last one are tried for minutes"
	}
	return ""
}

// leftOutClosing is leftOut of closing a link.
func (c cell) leftOutClosing() string {
	switch m := c.moment; {
	case m == first:
		return "a link is closed after it has worked"
	case m == lasting:
		return "a link is closed once: see later"
	case m == reconnect:
		return "on a connection that has broken no link is closed"
	case c.failure.kind == refused && c.failure.fault.Condition != serverBusy, m == stopping && c.failure.name == "late":
		return "whoever closes a link doesn't look at the answer, and doesn't wait long for it"
	}
	return ""
}

// leftOutAtMoment is leftOut of moments that make no difference.
func (c cell) leftOutAtMoment() string {
	f, m := c.failure, c.moment
	alike := f.name == "lost" || f.name == "cut-after" || f.name == "late"
	switch {
	case f.kind == refused && m == reconnect:
		return "what is refused once on a new connection is refused in the same way after one has broken, as in later"
	case f.kind == refused && m == stopping && f.fault.Condition != serverBusy:
		return "an exchange that is refused is over: nothing waits for it when the client has to stop. One condition is tried"
	case alike && c.exchange.step != closing && m != first && m != later:
		return "for who connects again, waits for minutes, or has to stop, it is the same as hang or cut-before"
	case alike && c.exchange.of == questions && c.exchange.step == opening && m == later:
		return "a connection for questions that is not open in time is given up: see hang and cut-before"
	case c.exchange.of == questions && c.exchange.step == opening && (m == lasting || m == reconnect):
		return "nothing waits for a connection for questions that has worked: see the questions"
	}
	return ""
}

// leftOutRefusal is leftOut of conditions that are dealt with alike.
func (c cell) leftOutRefusal() string {
	x, condition := c.exchange, c.failure.fault.Condition
	switch {
	case c.moment == lasting && !slices.Contains(refusedForMinutes, x.name):
		return "refused for minutes: it is tried with links, events and one of the questions"
	case c.moment == lasting && !slices.Contains(differInTime, condition):
		return "refused for minutes: of conditions that are dealt with alike, one is tried"
	case c.moment == later && x.of == questions && x.step == opening:
		return "what refuses a connection for questions does so at first: see hub-properties for later"
	case c.moment == first && x.name == "settle":
		return "what is refused after it was stored is refused so later too"
	case slices.Contains(differ, condition):
		return ""
	case c.moment == later && x.aim.On == eventhubstest.OnToken:
		return "of conditions that are dealt with alike, one is tried: of a token, the SDK shows only the status"
	case x.of == questions && x.name != "hub-properties":
		return "of conditions that are dealt with alike, one is tried with each question: see hub-properties for all of them"
	case c.moment == first && x.name != "hub-properties" && x.aim.On != eventhubstest.OnAttach:
		return "of conditions that are dealt with alike, one is tried at first: see attach and later for all of them"
	case c.moment == later && x.name == "attach-sender":
		return "of conditions that are dealt with alike, one is tried: see attach-sender at first for all of them"
	}
	return ""
}

// refusedForMinutes are exchanges that are refused for minutes.
var refusedForMinutes = []string{"attach-reader", "receive", "hub-properties", "attach-sender", "publish"}

// connectionRefusals are conditions that are tried before there is a link.
var connectionRefusals = map[eventhubstest.Operation][]string{
	eventhubstest.OnOpen:   {"amqp:connection:forced", quota},
	eventhubstest.OnBegin:  {"amqp:connection:forced", quota},
	eventhubstest.OnSASL:   {unauthorized}, // it has only codes
	eventhubstest.OnAttach: {serverBusy, "amqp:not-allowed"},
}

// differ are conditions that are dealt with differently, one of each kind, and differInTime those where it matters
// for how long.
var (
	differ = []string{
		serverBusy, "amqp:link:detach-forced", "amqp:connection:forced", unauthorized, notFound, disabled,
	}
	differInTime = []string{serverBusy, unauthorized, notFound, disabled}
)
