package broker

import (
	"sync"
	"sync/atomic"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// Limits on the answers that wait for a peer that asks but doesn't read, over all its links to a node.
const (
	maxUnread      = 8 << 20 // bytes
	answerOverhead = 100     // what an answer counts in addition to its bytes
)

// node answers requests. A peer sends them on one link, and reads the answers from another, whose target they name in
// reply-to. JavaScript's client opens that link without a target, and puts the link's name in reply-to
// (@azure/core-amqp, cbs.ts). Python's client leaves reply-to out (azure-eventhub, _pyamqp/management_link.py): it
// reads from the link that it opened last.
type node struct {
	peer   *peer
	ask    func(*amqp.Message) question
	paired bool         // only one link in each direction may be open
	unread atomic.Int64 // bytes of answers, with answerOverhead for each

	linksMu sync.Mutex
	links   map[*amqp.Link]*answers // nil for links that requests come on
	replies map[string]*answers     // by reply-to
	newest  *answers
}

// question is a request to a node.
type question struct {
	op     Operation
	on     entity
	answer func() *amqp.Message // does what is asked, and returns the answer
}

func (n *node) attach(l *amqp.Link) {
	if refused := n.admit(l); refused != nil {
		l.Refuse(refused)
		return
	}
	o := amqp.LinkOptions{Sink: n, Closed: func() { n.forget(l) }}
	if l.Receiving {
		o.Sink, o.Source = nil, n.register(l)
	}
	l.Accept(o)
}

// admit registers a link, or returns why the peer can't have it.
func (n *node) admit(l *amqp.Link) *amqp.Error {
	n.linksMu.Lock()
	defer n.linksMu.Unlock()
	if n.links == nil {
		n.links, n.replies = map[*amqp.Link]*answers{}, map[string]*answers{}
	}
	if n.paired {
		for other := range n.links {
			if other.Receiving == l.Receiving {
				return amqp.Errorf(amqp.CondNotAllowed, "A link to connection '%d' %s node has already been opened. TrackingId:%s",
					n.peer.id, nodeCBS, trackingID())
			}
		}
	}
	n.links[l] = nil
	return nil
}

// register makes an admitted link one that answers go to.
func (n *node) register(l *amqp.Link) *answers {
	address := l.PeerAddress()
	if address == "" {
		address = l.Name
	}
	a := &answers{node: n, link: l, address: address}
	n.linksMu.Lock()
	defer n.linksMu.Unlock()
	n.links[l], n.replies[address], n.newest = a, a, a
	return a
}

// forget removes a link that has ended. It may be called more than once for a link.
func (n *node) forget(l *amqp.Link) {
	n.linksMu.Lock()
	a := n.links[l]
	delete(n.links, l)
	if a != nil && n.replies[a.address] == a {
		delete(n.replies, a.address)
	}
	if a != nil && n.newest == a {
		n.newest = nil
	}
	n.linksMu.Unlock()
	if a != nil {
		a.close()
	}
}

// Deliver answers a request.
func (n *node) Deliver(d *amqp.Delivery) {
	request, err := amqp.DecodeMessage(d.Payload)
	if err != nil {
		d.Reject(amqp.Errorf(amqp.CondDecodeError, "the request can't be read: %v", err))
		return
	}
	n.peer.active.use()
	q := n.ask(request)
	f, faulty := n.peer.broker.faults.take(q.op, q.on)
	if faulty && f.cuts() && f.Delay <= 0 { // no outcome: it would be chance whether the peer still gets it
		d.Drop()
	} else {
		d.Accept()
	}
	reply := func(m *amqp.Message) {
		m.CorrelationID = request.MessageID
		if request.CorrelationID != nil && request.MessageID == nil {
			m.CorrelationID = request.CorrelationID
		}
		n.reply(request.ReplyTo, m)
	}
	perform := func() { reply(q.answer()) }
	if !faulty {
		perform()
		return
	}
	n.peer.undergo(f, exchange{
		perform: perform,
		quietly: func() { q.answer() },
		refuse: func(e *amqp.Error) {
			if onLink(e.Condition) {
				n.end(d.Link(), request.ReplyTo, e)
			} else {
				reply(refusal(e))
			}
		},
	})
}

// to returns the answers that a reply goes to, or nil if there is no link for it.
func (n *node) to(replyTo string) *answers {
	n.linksMu.Lock()
	defer n.linksMu.Unlock()
	if replyTo == "" {
		return n.newest
	}
	return n.replies[replyTo]
}

func (n *node) reply(replyTo string, m *amqp.Message) {
	a := n.to(replyTo)
	b, err := m.Encode()
	if a == nil || err != nil {
		return // the peer has gone, since an answer can always be encoded
	}
	if err := a.push(b); err != nil {
		n.peer.conn.Close(err)
	}
}

// end detaches the link of a request, and the link that its answer would have gone to.
func (n *node) end(asked *amqp.Link, replyTo string, reason *amqp.Error) {
	if a := n.to(replyTo); a != nil {
		n.peer.detach(a.link, reason)
	}
	n.peer.detach(asked, reason)
}

// answers are the answers that wait for one link.
type answers struct {
	node    *node
	link    *amqp.Link
	address string // as reply-to names it

	queueMu sync.Mutex
	queue   [][]byte
	closed  bool
}

// push queues an answer, or returns why the connection must be closed.
func (a *answers) push(b []byte) *amqp.Error {
	a.queueMu.Lock()
	defer a.queueMu.Unlock()
	if a.closed {
		return nil
	}
	if a.node.unread.Add(int64(len(b)+answerOverhead)) > maxUnread {
		return amqp.Errorf(amqp.CondResourceLimitExceeded, "more than %d bytes of answers are unread", maxUnread)
	}
	if err := a.node.peer.conn.Take(len(b) + answerOverhead); err != nil {
		return err
	}
	a.queue = append(a.queue, b)
	a.link.Wake()
	return nil
}

// Next fills in the next answer.
func (a *answers) Next(m *amqp.Outgoing) bool {
	a.queueMu.Lock()
	defer a.queueMu.Unlock()
	if len(a.queue) == 0 {
		return false
	}
	*m = amqp.Outgoing{Parts: [2][]byte{a.pop()}}
	return true
}

func (a *answers) pop() []byte {
	b := a.queue[0]
	a.queue[0] = nil
	a.queue = a.queue[1:]
	a.node.unread.Add(-int64(len(b) + answerOverhead))
	a.node.peer.conn.Give(len(b) + answerOverhead)
	return b
}

// close discards the answers that were not read.
func (a *answers) close() {
	a.queueMu.Lock()
	defer a.queueMu.Unlock()
	a.closed = true
	for len(a.queue) > 0 {
		a.pop()
	}
}

// status returns an answer with a status code. Clients want it as an int32.
func status(code int32, description string) *amqp.Message {
	return &amqp.Message{ApplicationProperties: amqp.Map{
		{Key: "status-code", Value: code},
		{Key: "status-description", Value: description},
	}}
}

// codes are the status codes that stand for conditions in answers to requests, as clients map them (@azure/core-amqp,
// errors.ts, ConditionStatusMapper; .NET, AmqpError, StatusCodeMap). 500 stands for all others.
var codes = map[string]int32{
	amqp.CondUnauthorized:          401,
	amqp.CondNotFound:              404,
	amqp.CondNotAllowed:            400,
	condTimeout:                    408,
	condServerBusy:                 503,
	amqp.CondResourceLimitExceeded: 403,
	condArgumentError:              400,
	condArgumentOutOfRange:         400,
	condEntityDisabled:             400,
	amqp.CondMessageSizeExceeded:   403,
	amqp.CondNotImplemented:        501,
}

// Conditions of the service.
const (
	condTimeout            = "com.microsoft:timeout"
	condServerBusy         = "com.microsoft:server-busy"
	condArgumentError      = "com.microsoft:argument-error"
	condArgumentOutOfRange = "com.microsoft:argument-out-of-range"
	condEntityDisabled     = "com.microsoft:entity-disabled"
	condOutOfOrder         = "com.microsoft:out-of-order-sequence"
	condProducerStolen     = "com.microsoft:producer-epoch-stolen"
)

// refusal returns an answer with an error. Clients look at the condition first, if there is one (@azure/core-amqp,
// requestResponseLink.ts), and otherwise at the code.
func refusal(e *amqp.Error) *amqp.Message {
	code, ok := codes[e.Condition]
	if !ok {
		code = 500
	}
	m := status(code, e.Description)
	m.ApplicationProperties = append(m.ApplicationProperties, amqp.Pair{
		Key: "error-condition", Value: amqp.Symbol(e.Condition),
	})
	return m
}

// refusalf is refusal with a condition and a description.
func refusalf(condition, format string, args ...any) *amqp.Message {
	return refusal(amqp.Errorf(condition, format, args...))
}
