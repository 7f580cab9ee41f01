package guarantee_test

import (
	"slices"
	"time"

	"github.com/go-eventhubs/eventhubs"
	"github.com/go-eventhubs/eventhubs/eventhubstest"
	"github.com/go-eventhubs/eventhubs/internal/guarantee/scene"
)

// exchange is something that a client and a service do together.
type exchange struct {
	name     string
	of       side
	step     step
	aim      eventhubstest.Fault     // which exchange it is; Skip is for the first time only
	blob     eventhubstest.BlobFault // the same of the storage account
	run      func(t *recorder, c cell)
	failures func() []failure
	options  func(c cell, o *eventhubs.ConsumerOptions)
	provoke  func(r *receiving) // makes a consumer do it again; nil: it does so by itself
}

// side is who starts an exchange.
type side int

const (
	reader    side = iota // of one partition
	questions             // what asks for properties, on behalf of a whole consumer
	sender                // to one partition
	storage               // the checkpoint store of a consumer
)

// step is where an exchange belongs in the life of a connection.
type step int

const (
	connecting step = iota // what comes before the link: only the connection is known
	opening                // of the link: attach, and its token
	working                // over a link that is open
	closing
)

func exchanges() []exchange {
	return slices.Concat(readerExchanges(), questionExchanges(), senderExchanges(), storageExchanges())
}

// readerExchanges are those of the reader of partition 0. Its connection is the second one that a consumer makes: the
// first one is for questions.
func readerExchanges() []exchange {
	of := eventhubstest.Fault{Partition: "0", ConsumerGroup: scene.Group}
	all := connectionExchanges("reader", 1)
	all = append(all,
		exchange{name: "put-token-reader", step: opening, aim: on(eventhubstest.OnToken, eventhubstest.ReaderLink, of)},
		exchange{name: "attach-reader", step: opening, aim: on(eventhubstest.OnAttach, eventhubstest.ReaderLink, of)},
		exchange{name: "receive", step: working, aim: on(eventhubstest.OnReceive, "", of)},
		exchange{name: "detach-reader", step: closing, aim: on(eventhubstest.OnDetach, eventhubstest.ReaderLink, of)},
	)
	for i := range all {
		x := &all[i]
		x.of, x.run, x.failures = reader, runReceiving, namespaceFailures
		switch x.step {
		case connecting, opening:
			x.provoke = dropReader
			if x.name == "attach-reader" {
				x.provoke = detachReader // and the connection stays
			}
		case closing:
			x.provoke = quietReader // when the client has to stop it isn't needed, and does no harm
		}
	}
	return all
}

// questionExchanges are those in which a consumer asks for properties.
func questionExchanges() []exchange {
	all := connectionExchanges("questions", 0)
	const link = eventhubstest.ManagementLink
	var any eventhubstest.Fault
	all = append(all,
		exchange{name: "put-token-management", step: opening, aim: on(eventhubstest.OnToken, link, any)},
		exchange{name: "attach-management", step: opening, aim: on(eventhubstest.OnAttach, link, any)},
		exchange{name: "hub-properties", step: working, aim: on(eventhubstest.OnHubProperties, "", any)},
		exchange{name: "partition-properties", step: working, aim: on(eventhubstest.OnPartitionProperties, "",
			eventhubstest.Fault{Partition: "0"})},
	)
	for i := range all {
		x := &all[i]
		x.of, x.run, x.failures, x.options = questions, runReceiving, namespaceFailures, askOften
		if x.step == connecting || x.step == opening {
			x.provoke = dropQuestions
		}
		if x.name == "hub-properties" {
			x.options = nil // it is asked for every minute
		}
	}
	return all
}

// senderExchanges are those of a producer with partition 0.
func senderExchanges() []exchange {
	const link = eventhubstest.SenderLink
	to := eventhubstest.Fault{Partition: "0"}
	accepted := to
	accepted.After = true
	all := append(connectionExchanges("sender", 0),
		exchange{name: "put-token-sender", step: opening, aim: on(eventhubstest.OnToken, link, to)},
		exchange{name: "attach-sender", step: opening, aim: on(eventhubstest.OnAttach, link, to)},
		exchange{name: "publish", step: working, aim: on(eventhubstest.OnPublish, "", to)},
		exchange{name: "settle", step: working, aim: on(eventhubstest.OnPublish, "", accepted)},
		exchange{name: "detach-sender", step: closing, aim: on(eventhubstest.OnDetach, link, to)},
	)
	for i := range all {
		all[i].of, all[i].run, all[i].failures = sender, runSending, namespaceFailures
	}
	return all
}

// connectionExchanges are those that come before a link, on the connection that a client opens after so many others.
func connectionExchanges(of string, before int) []exchange {
	x := func(name string, on eventhubstest.Operation, each int, link eventhubstest.LinkKind) exchange {
		return exchange{name: name + "-" + of, aim: eventhubstest.Fault{On: on, Skip: each * before, Link: link}}
	}
	return []exchange{
		x("connect", eventhubstest.OnConnect, 1, ""),
		x("sasl", eventhubstest.OnSASL, 1, ""),
		x("open", eventhubstest.OnOpen, 1, ""),
		x("begin", eventhubstest.OnBegin, 2, ""),
		x("attach-cbs", eventhubstest.OnAttach, 2, eventhubstest.TokenLink),
	}
}

func on(op eventhubstest.Operation, link eventhubstest.LinkKind, f eventhubstest.Fault) eventhubstest.Fault {
	f.On, f.Link = op, link
	return f
}

// dropReader breaks the connection of partition 0 when its next event comes.
func dropReader(r *receiving) {
	r.s.Server.Fault(eventhubstest.Fault{
		On: eventhubstest.OnReceive, Partition: "0", ConsumerGroup: scene.Group, DropConnection: true, Times: 1,
	})
}

// detachReader has the service close the link of partition 0 when its next event comes.
func detachReader(r *receiving) {
	r.s.Server.Fault(eventhubstest.Fault{
		On: eventhubstest.OnReceive, Partition: "0", ConsumerGroup: scene.Group, Times: 1,
		Condition: "amqp:link:detach-forced",
	})
}

// quietReader makes the link of partition 0 deliver nothing more. After a while its reader closes it, and opens another
// one.
func quietReader(r *receiving) {
	r.s.Server.Fault(eventhubstest.Fault{
		On: eventhubstest.OnReceive, Partition: "0", ConsumerGroup: scene.Group, Hang: true, Times: 1,
	})
}

// dropQuestions breaks the connection for questions at the next question.
func dropQuestions(r *receiving) {
	r.s.Server.Fault(eventhubstest.Fault{On: eventhubstest.OnManagement, DropConnection: true, Times: 1})
}

// askOften makes a consumer ask for properties all the time.
func askOften(c cell, o *eventhubs.ConsumerOptions) {
	if c.resolvesLatest() {
		*o = latest()
		return
	}
	o.LagInterval = 5 * time.Second
}

// resolvesLatest reports whether readers have to ask what the latest event is before they can begin.
func (c cell) resolvesLatest() bool {
	return c.exchange.aim.On == eventhubstest.OnPartitionProperties && c.moment == first
}
