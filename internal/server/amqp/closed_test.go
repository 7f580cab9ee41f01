package amqp_test

import (
	"sync/atomic"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// endings are the ways in which a link ends. told says whether its owner is told.
var endings = []struct {
	name string
	told bool
	end  func(t *testing.T, e *ending)
}{
	{"the peer detaches", true, func(t *testing.T, e *ending) { require.NoError(t, e.receiver.Close(ctx(t))) }},
	{"the peer ends the session", true, func(t *testing.T, e *ending) { require.NoError(t, e.session.Close(ctx(t))) }},
	{"the peer closes", true, func(t *testing.T, e *ending) { require.NoError(t, e.client.Close()) }},
	{"the server closes", true, func(t *testing.T, e *ending) { e.conn.Close(nil) }},
	{"the server aborts", true, func(t *testing.T, e *ending) { e.conn.Abort() }},
	{"the server detaches", false, func(t *testing.T, e *ending) { e.link.Detach(nil) }},
	{"the server closes and detaches", false, func(t *testing.T, e *ending) {
		e.conn.Close(nil)
		e.link.Detach(nil)
	}},
}

type ending struct {
	conn     *amqp.Conn
	link     *amqp.Link
	client   *goamqp.Conn
	session  *goamqp.Session
	receiver *goamqp.Receiver
}

func TestClosed(t *testing.T) {
	for _, c := range endings {
		t.Run(c.name, func(t *testing.T) {
			var told atomic.Int32
			links := make(chan *amqp.Link, 1)
			s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
				if !l.Receiving {
					acceptAll(l)
					return
				}
				l.Accept(amqp.LinkOptions{Source: &queue{}, Closed: func() { told.Add(1) }})
				links <- l
			}))
			var e ending
			e.client = dial(t, s, nil)
			e.session = session(t, e.client)
			var err error
			e.receiver, err = e.session.NewReceiver(ctx(t), "hub", nil)
			require.NoError(t, err)
			e.conn, e.link = s.conn(), receive(t, links)
			require.Zero(t, told.Load())
			c.end(t, &e)
			if c.told {
				require.Eventually(t, func() bool { return told.Load() > 0 }, patience, time.Millisecond)
			}
			e.link.Detach(nil) // does nothing now
			e.link.Wake()
			if c.name == "the peer ends the session" {
				sender(t, e.client, nil) // the connection stays usable
			}
			_ = e.client.Close()
			_ = s.result()
			e.link.Detach(nil)
			e.link.Wake()
			want := int32(0)
			if c.told {
				want = 1
			}
			require.Equal(t, want, told.Load())
		})
	}
}

// The owner of a link that is accepted after it has ended is told at once. A link that is accepted late but in time
// works.
func TestAcceptLate(t *testing.T) {
	for _, c := range endings {
		if !c.told || c.name == "the peer detaches" { // go-amqp detaches attached links only; see TestAttachAbandoned
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			links := make(chan *amqp.Link, 1)
			s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) { links <- l }))
			var e ending
			e.client = dial(t, s, nil)
			e.session = session(t, e.client)
			attached := make(chan error, 1)
			go func() {
				_, err := e.session.NewReceiver(ctx(t), "hub", nil)
				attached <- err
			}()
			e.conn, e.link = s.conn(), receive(t, links)
			c.end(t, &e)
			require.Error(t, receive(t, attached))
			if c.name != "the peer ends the session" { // this one leaves the connection open
				_ = e.client.Close()
				_ = s.result()
			}
			told := 0
			e.link.Accept(amqp.LinkOptions{Source: &queue{}, Closed: func() { told++ }})
			require.Equal(t, 1, told)
			e.link.Refuse(nil)
			e.link.Detach(nil)
			e.link.Wake()
			if c.name == "the peer ends the session" {
				session(t, e.client)
			}
		})
	}
	t.Run("in time", func(t *testing.T) {
		links := make(chan *amqp.Link, 1)
		s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) { links <- l }))
		go func() {
			l := <-links
			q := &queue{link: l}
			q.put(numbered(3, 1)...) // before it is accepted
			l.Accept(amqp.LinkOptions{Source: q})
		}()
		m, err := receiver(t, dial(t, s, nil), nil).Receive(ctx(t), nil)
		require.NoError(t, err)
		require.Equal(t, 3, number(t, m))
	})
}

// Accept races with the end of the connection: whichever comes first, the owner is told once.
func TestAcceptRacesWithEnd(t *testing.T) {
	for i := range 60 {
		var told atomic.Int32
		links := make(chan *amqp.Link, 1)
		s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) { links <- l }))
		c := dial(t, s, nil)
		attached := make(chan struct{})
		sess := session(t, c)
		go func() {
			defer close(attached)
			_, _ = sess.NewReceiver(ctx(t), "hub", nil)
		}()
		l, conn := receive(t, links), s.conn()
		accepted := make(chan struct{})
		go func() {
			defer close(accepted)
			l.Accept(amqp.LinkOptions{Source: &queue{}, Closed: func() { told.Add(1) }})
		}()
		switch i % 3 {
		case 0:
			conn.Abort()
		case 1:
			conn.Close(nil)
		case 2:
			_ = sess.Close(ctx(t))
		}
		receive(t, accepted)
		_ = c.Close()
		_ = s.result()
		receive(t, attached)
		require.EqualValues(t, 1, told.Load())
	}
}

// Outcomes that come after the link has ended do no harm.
func TestSettleLate(t *testing.T) {
	for _, c := range endings {
		t.Run(c.name, func(t *testing.T) {
			deliveries := make(chan *amqp.Delivery, 4)
			links := make(chan *amqp.Link, 1)
			s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
				l.Accept(amqp.LinkOptions{Source: &queue{}, Sink: sink(func(d *amqp.Delivery) { deliveries <- d })})
				links <- l
			}))
			var e ending
			var err error
			e.client = dial(t, s, nil)
			e.session = session(t, e.client)
			snd, err := e.session.NewSender(ctx(t), "hub", nil)
			require.NoError(t, err)
			receive(t, links)
			e.receiver, err = e.session.NewReceiver(ctx(t), "hub", nil)
			require.NoError(t, err)
			e.conn, e.link = s.conn(), receive(t, links)
			for range 3 {
				_, err := snd.SendWithReceipt(ctx(t), goamqp.NewMessage([]byte("x")), nil)
				require.NoError(t, err)
			}
			one, two, three := receive(t, deliveries), receive(t, deliveries), receive(t, deliveries)
			one.Accept()
			c.end(t, &e)
			two.Accept()
			_ = e.client.Close()
			_ = s.result()
			three.Reject(nil)
		})
	}
}
