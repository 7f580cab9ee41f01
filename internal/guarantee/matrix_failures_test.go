package guarantee_test

import (
	"strings"
	"time"

	"github.com/go-eventhubs/eventhubs/eventhubstest"
)

// failure is a way in which an exchange fails.
type failure struct {
	name  string
	kind  kind
	fault eventhubstest.Fault     // of an exchange with the namespace
	blob  eventhubstest.BlobFault // of a call of the storage account
}

// kind is what a failure looks like to a client.
type kind int

const (
	unanswered kind = iota // nothing comes, and the connection stays
	refused                // an error comes
	broken                 // the connection breaks
	silent                 // the connection stays, and nothing comes over it any more
)

// late is longer than anything waits for an answer.
const late = 90 * time.Second

// namespaceFailures are the ways in which an exchange with the namespace fails.
func namespaceFailures() []failure {
	all := []failure{
		{name: "hang", kind: unanswered, fault: eventhubstest.Fault{Hang: true}},
		{name: "lost", kind: unanswered, fault: eventhubstest.Fault{Hang: true, After: true}},
		{name: "late", kind: unanswered, fault: eventhubstest.Fault{Delay: late}},
		{name: "cut-before", kind: broken, fault: eventhubstest.Fault{DropConnection: true}},
		{name: "cut-after", kind: broken, fault: eventhubstest.Fault{DropConnection: true, After: true}},
		{name: "silent", kind: silent, fault: eventhubstest.Fault{SilenceConnection: true}},
	}
	for _, c := range []string{ // what the service may answer with
		serverBusy, "com.microsoft:timeout",
		"amqp:link:detach-forced", "amqp:link:transfer-limit-exceeded",
		"amqp:connection:forced", "amqp:internal-error",
		unauthorized, notFound, "amqp:not-allowed", quota,
		disabled, "com.microsoft:argument-out-of-range", "amqp:link:message-size-exceeded",
	} {
		name := c[strings.LastIndex(c, ":")+1:]
		if strings.HasPrefix(c, "amqp:connection:") {
			name = "connection-" + name
		}
		all = append(all, failure{name: name, kind: refused, fault: eventhubstest.Fault{Condition: c}})
	}
	return all
}

const (
	serverBusy   = "com.microsoft:server-busy"
	unauthorized = "amqp:unauthorized-access"
	notFound     = "amqp:not-found"
	disabled     = "com.microsoft:entity-disabled"
	quota        = "amqp:resource-limit-exceeded"
)

// moment is when a failure happens.
type moment string

const (
	first     moment = "first"     // once, when the exchange happens for the first time
	later     moment = "later"     // once, after it has worked
	reconnect moment = "reconnect" // once, when all connections have broken and are made again
	lasting   moment = "lasting"   // after it has worked, each time for some minutes; then it works again
	stopping  moment = "stopping"  // each time, and then the client has to stop
)

var moments = []moment{first, later, reconnect, lasting, stopping}

// disruption is how long a lasting failure lasts: longer than claims, and longer than patience.
const disruption = 2 * time.Minute
