package broker

import (
	"sync"
	"sync/atomic"

	"github.com/go-eventhubs/eventhubs/internal/amqp"
)

// What bounds the answers that wait for a peer that asks but doesn't read, over all its links to a node.
const (
	maxUnread      = 8 << 20 // bytes
	answerOverhead = 100     // what an answer counts beside its bytes
)

// node answers requests: a peer sends them on one link, and reads the answers from another whose target they name in reply-to. JavaScript's client
// names a link without a target (@azure/core-amqp, cbs.ts). Python's names none (azure-eventhub, _pyamqp/management_link.py): it reads from the
// link that it opened last.
type node struct {
	peer   *peer
	answer func(*amqp.Message, func(*amqp.Message))
	unread atomic.Int64 // bytes of answers, with what they count beside

	mu      sync.Mutex
	replies map[string]*answers // by reply-to
	newest  *answers
}

func (n *node) attach(l *amqp.Link) {
	if !l.Receiving {
		l.Accept(amqp.LinkOptions{Sink: n})
		return
	}
	a := &answers{node: n, link: l}
	address := l.PeerAddress()
	if address == "" {
		address = l.Name
	}
	n.mu.Lock()
	if n.replies == nil {
		n.replies = map[string]*answers{}
	}
	n.replies[address], n.newest = a, a
	n.mu.Unlock()
	l.Accept(amqp.LinkOptions{Source: a, Closed: func() {
		n.mu.Lock()
		if n.replies[address] == a {
			delete(n.replies, address)
		}
		if n.newest == a {
			n.newest = nil
		}
		n.mu.Unlock()
		a.close()
	}})
}

// Deliver answers a request.
func (n *node) Deliver(d *amqp.Delivery) {
	request, err := amqp.DecodeMessage(d.Payload)
	if err != nil {
		d.Reject(amqp.Errorf(amqp.CondDecodeError, "the request can't be read: %v", err))
		return
	}
	d.Accept()
	n.answer(request, func(m *amqp.Message) {
		m.CorrelationID = request.MessageID
		if request.CorrelationID != nil && request.MessageID == nil {
			m.CorrelationID = request.CorrelationID
		}
		n.reply(request.ReplyTo, m)
	})
}

func (n *node) reply(to string, m *amqp.Message) {
	n.mu.Lock()
	a := n.replies[to]
	if to == "" {
		a = n.newest
	}
	n.mu.Unlock()
	b, err := m.Encode()
	if a == nil || err != nil {
		return // who asked has gone; what is answered here can always be encoded
	}
	if err := a.push(b); err != nil {
		n.peer.conn.Close(err)
	}
}

// answers are those on their way to one link.
type answers struct {
	node *node
	link *amqp.Link

	mu     sync.Mutex
	queue  [][]byte
	closed bool
}

// push takes an answer, or says why the connection has to be closed.
func (a *answers) push(b []byte) *amqp.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
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

// Next hands over the next answer.
func (a *answers) Next(m *amqp.Outgoing) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
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

// close lets go of what was not read.
func (a *answers) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for len(a.queue) > 0 {
		a.pop()
	}
}

// status makes an answer with a status code, which clients want as an int32.
func status(code int32, description string) *amqp.Message {
	return &amqp.Message{ApplicationProperties: amqp.Map{
		{Key: "status-code", Value: code},
		{Key: "status-description", Value: description},
	}}
}

// codes are the status codes that stand for conditions in answers to requests.
var codes = map[string]int32{
	amqp.CondUnauthorized:          401,
	amqp.CondNotFound:              404,
	amqp.CondNotAllowed:            400,
	"com.microsoft:timeout":        408,
	"com.microsoft:server-busy":    503,
	amqp.CondResourceLimitExceeded: 403,
}

// faulty answers a request with what a fault asks for.
func (n *node) faulty(f Fault, proceed func(), reply func(*amqp.Message)) {
	n.peer.later(f.Delay, func() {
		switch {
		case f.DropConnection:
			n.peer.drop()
		case f.onConnection():
			n.peer.conn.Close(f.err())
		case f.Condition != "":
			code, ok := codes[f.Condition]
			if !ok {
				code = 500
			}
			m := status(code, f.err().Description)
			m.ApplicationProperties = append(m.ApplicationProperties, amqp.Pair{Key: "error-condition", Value: amqp.Symbol(f.Condition)})
			reply(m)
		case !f.After:
			proceed()
		}
	})
}
