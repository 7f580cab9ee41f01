package amqp_test

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// patience is how long a test waits for something that must happen. If all is well, no wait takes that long.
const patience = 10 * time.Second

// handler is a function as a Handler.
type handler func(l *amqp.Link)

func (h handler) Attach(l *amqp.Link) { h(l) }

// sink is a function as a Sink.
type sink func(d *amqp.Delivery)

func (s sink) Deliver(d *amqp.Delivery) { s(d) }

// acceptAll accepts every message, and has nothing to read.
var acceptAll = handler(func(l *amqp.Link) {
	l.Accept(amqp.LinkOptions{Source: &queue{}, Sink: sink((*amqp.Delivery).Accept)})
})

// server serves connections on a loopback socket.
type server struct {
	t     *testing.T
	ln    net.Listener
	conns chan *amqp.Conn // each connection, before it is served
	ended chan error      // the results of Serve

	mu  sync.Mutex
	all []*amqp.Conn
}

// serve starts a server that ends with the test.
func serve(t *testing.T, cfg amqp.Config, h amqp.Handler) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{t: t, ln: ln, conns: make(chan *amqp.Conn, 64), ended: make(chan error, 64)}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			c := amqp.NewConn(nc, cfg, h)
			s.mu.Lock()
			s.all = append(s.all, c)
			s.mu.Unlock()
			s.conns <- c
			served.Go(func() { s.ended <- c.Serve() })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for _, c := range s.all {
			c.Abort()
		}
		s.mu.Unlock()
		served.Wait()
	})
	return s
}

// conn returns the next connection that was made.
func (s *server) conn() *amqp.Conn { return receive(s.t, s.conns) }

// result returns the result of the next Serve that ends.
func (s *server) result() error { return receive(s.t, s.ended) }

// receive takes a value from a channel, and fails the test if none comes.
func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("not reached")
	}
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

// dial connects the official client.
func dial(t *testing.T, s *server, o *goamqp.ConnOptions) *goamqp.Conn {
	t.Helper()
	c, err := goamqp.Dial(ctx(t), "amqp://"+s.ln.Addr().String(), o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func session(t *testing.T, c *goamqp.Conn) *goamqp.Session {
	t.Helper()
	s, err := c.NewSession(ctx(t), nil)
	require.NoError(t, err)
	return s
}

func sender(t *testing.T, c *goamqp.Conn, o *goamqp.SenderOptions) *goamqp.Sender {
	t.Helper()
	s, err := session(t, c).NewSender(ctx(t), "hub", o)
	require.NoError(t, err)
	return s
}

func receiver(t *testing.T, c *goamqp.Conn, o *goamqp.ReceiverOptions) *goamqp.Receiver {
	t.Helper()
	r, err := session(t, c).NewReceiver(ctx(t), "hub", o)
	require.NoError(t, err)
	return r
}

// queue is a Source that is filled by the test.
type queue struct {
	mu       sync.Mutex
	link     *amqp.Link
	messages [][]byte
	taken    int
}

func (q *queue) Next(m *amqp.Outgoing) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) == 0 {
		return false
	}
	next := q.messages[0]
	m.Parts[0], m.Parts[1] = next[:len(next)/2], next[len(next)/2:]
	q.messages = q.messages[1:]
	q.taken++
	return true
}

func (q *queue) put(messages ...[]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = append(q.messages, messages...)
	q.link.Wake()
}

// count returns how many messages the link has taken.
func (q *queue) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.taken
}

// queues returns a Handler whose links all read from queues, and a channel with the queue of each link.
func queues() (amqp.Handler, <-chan *queue) {
	ch := make(chan *queue, 64)
	return handler(func(l *amqp.Link) {
		q := &queue{link: l}
		l.Accept(amqp.LinkOptions{Source: q})
		ch <- q
	}), ch
}

// data returns an encoded message with one data section, encoded by hand.
func data(body []byte) []byte {
	b := []byte{0x00, 0x53, 0x75, 0xb0}
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// numbered returns n messages that hold their numbers, from first on.
func numbered(first, n int) (out [][]byte) {
	for i := range n {
		out = append(out, data(binary.BigEndian.AppendUint32(nil, uint32(first+i))))
	}
	return out
}

func number(t *testing.T, m *goamqp.Message) int {
	t.Helper()
	require.Len(t, m.GetData(), 4)
	return int(binary.BigEndian.Uint32(m.GetData()))
}
