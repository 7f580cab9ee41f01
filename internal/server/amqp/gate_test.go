package amqp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// gate is a Handler that holds one kind of step, and puts the requests into a channel.
type gate struct {
	step amqp.Step
	held chan *amqp.Request
	link amqp.Handler
}

func (g *gate) Attach(l *amqp.Link) { g.link.Attach(l) }

func (g *gate) Hold(r *amqp.Request) func() {
	if r.Step != g.step {
		return nil
	}
	return func() { g.held <- r }
}

func holdingStep(step amqp.Step) *gate { return &gate{step, make(chan *amqp.Request, 4), acceptAll} }

var busy = amqp.Errorf("com.microsoft:server-busy", "later")

func saslInit() []byte { return frameOf(1, 0, list(0x41, amqp.Symbol("ANONYMOUS"))...) }

// negotiate sends the first half of the handshake. It returns when the server's SASL mechanisms have come.
func negotiate(t *testing.T, s *server) *peer {
	t.Helper()
	p := connect(t, s)
	p.write([]byte(headerSASL))
	p.header(headerSASL)
	p.expect(0x40)
	p.write(saslInit())
	return p
}

func TestHoldSASL(t *testing.T) {
	g := holdingStep(amqp.StepSASL)
	s := serve(t, amqp.Config{}, g)
	p := negotiate(t, s)
	p.write([]byte(headerAMQP), on(0, open, "peer")) // before the answer
	receive(t, g.held).Proceed()
	require.Equal(t, uint8(0), p.expect(0x44).field(0))
	p.header(headerAMQP)
	p.expect(open)

	for condition, code := range map[string]uint8{
		"com.microsoft:server-busy": 4, "amqp:unauthorized-access": 1, "amqp:not-found": 3,
	} {
		p = negotiate(t, s)
		receive(t, g.held).Refuse(amqp.Errorf(condition, "no"))
		require.Equal(t, code, p.expect(0x44).field(0))
		p.expectEOF()
	}
}

func TestHoldOpen(t *testing.T) {
	g := holdingStep(amqp.StepOpen)
	s := serve(t, amqp.Config{}, g)
	hello := func() *peer {
		p := connect(t, s)
		p.write([]byte(headerAMQP), on(0, open, "peer"))
		p.header(headerAMQP)
		return p
	}
	p := hello()
	receive(t, g.held).Proceed()
	p.expect(open)
	p.write(on(0, begin, nil, 0, 10, 10))
	p.expect(begin)

	p = hello()
	receive(t, g.held).Refuse(busy)
	p.expect(open)
	p.expectClose(amqp.Symbol("com.microsoft:server-busy"))
}

// A handshake that is never answered ends when the peer gives up, or when the connection is aborted.
func TestHandshakeIgnored(t *testing.T) {
	for _, step := range []amqp.Step{amqp.StepSASL, amqp.StepOpen} {
		g := holdingStep(step)
		s := serve(t, amqp.Config{HandshakeTimeout: patience}, g)
		hello := func() *peer {
			if step == amqp.StepSASL {
				return negotiate(t, s)
			}
			p := connect(t, s)
			p.write([]byte(headerAMQP), on(0, open, "peer"))
			p.header(headerAMQP)
			return p
		}
		p := hello()
		receive(t, g.held).Ignore()
		p.write(make([]byte, 1000)) // nothing else is answered either
		require.NoError(t, p.nc.CloseWrite())
		rest, _ := io.ReadAll(p.r) // the kernel may reset the connection because of unread bytes
		require.Empty(t, rest)
		require.ErrorContains(t, s.result(), "was not answered")

		hello()
		_ = s.conn()
		receive(t, g.held).Ignore()
		s.conn().Abort()
		require.Error(t, s.result())

		hello() // no decision is made
		receive(t, g.held)
		s.conn().Abort()
		require.Error(t, s.result())
	}
}

// Until begin is answered, all answers of the session wait, because clients may send before the answer. Other sessions
// go on.
func TestHoldBegin(t *testing.T) {
	g := holdingStep(amqp.StepBegin)
	p := opened(t, serve(t, amqp.Config{}, g))
	p.write(on(0, begin, nil, 0, 1<<20, 1<<20))
	one := receive(t, g.held)
	p.write(on(0, attach, "early", 0, false, uint8(0), uint8(0), address(0x28), address(0x29), nil, nil, 0))
	p.write(on(1, begin, nil, 0, 1<<20, 1<<20))
	receive(t, g.held).Proceed()
	require.EqualValues(t, 1, p.expect(begin).channel)
	p.expectNothing(1)
	one.Proceed()
	require.EqualValues(t, 0, p.expect(begin).channel)
	require.Equal(t, "early", p.expect(attach).field(0))
	p.expect(flow) // the flow frame with the link's credit
	p.expectNothing(0)

	p.write(on(2, begin, nil, 0, 1<<20, 1<<20))
	receive(t, g.held).Refuse(busy)
	require.EqualValues(t, 2, p.expect(begin).channel)
	require.EqualValues(t, "com.microsoft:server-busy", p.expect(end).condition(0))
	p.write(on(2, end))

	p.write(on(3, begin, nil, 0, 1<<20, 1<<20))
	receive(t, g.held).Ignore()
	p.expectNothing(1) // the connection stays usable
}

// Deliveries wait for the answer to begin, too.
func TestHoldBeginOfReader(t *testing.T) {
	g := holdingStep(amqp.StepBegin)
	q := &queue{}
	g.link = handler(func(l *amqp.Link) {
		q.link = l
		l.Accept(amqp.LinkOptions{Source: q})
	})
	p := opened(t, serve(t, amqp.Config{}, g))
	p.write(on(0, begin, nil, 0, 1<<20, 1<<20))
	held := receive(t, g.held)
	p.write(on(0, attach, "early", 0, true, uint8(0), uint8(0), address(0x28), address(0x29)))
	p.write(on(0, flow, 0, 1<<20, 0, 1<<20, 0, 0, 10))
	p.write(on(1, begin, nil, 0, 1<<20, 1<<20)) // once it is answered, everything before it has been read
	receive(t, g.held).Proceed()
	p.expect(begin)
	q.put(numbered(1, 1)...)
	p.expectNothing(1)
	held.Proceed()
	p.expect(begin)
	p.expect(attach)
	p.expect(transfer)
}

func TestHeldBeginIsBounded(t *testing.T) {
	g := holdingStep(amqp.StepBegin)
	p := opened(t, serve(t, amqp.Config{}, g))
	p.write(on(0, begin, nil, 0, 1<<20, 1<<20))
	receive(t, g.held)
	const size = 60_000
	long := raw(append(binary.BigEndian.AppendUint32([]byte{0xb1}, size), bytes.Repeat([]byte{'x'}, size)...))
	for i := range 20 { // each answer repeats the address
		p.write(on(0, attach, "x", i, false, uint8(0), uint8(0), nil, list(0x29, long), nil, nil, 0))
	}
	p.expectClose(amqp.Symbol("amqp:resource-limit-exceeded"))
}

func TestHoldDetach(t *testing.T) {
	g := holdingStep(amqp.StepDetach)
	var closed []string
	g.link = handler(func(l *amqp.Link) {
		l.Accept(amqp.LinkOptions{Sink: sink((*amqp.Delivery).Accept), Closed: func() { closed = append(closed, l.Name) }})
	})
	p := begun(t, serve(t, amqp.Config{}, g))
	detached := func(handle int) *amqp.Request {
		p.attaches(handle, false)
		p.expect(flow)
		p.write(on(0, detach, handle, true))
		r := receive(t, g.held)
		require.Equal(t, fmt.Sprintf("link %d", handle), r.Link.Name)
		p.expectNothing(0)
		require.Empty(t, closed)
		return r
	}
	done := func(handle int) {
		require.Equal(t, []string{fmt.Sprintf("link %d", handle)}, closed)
		closed = nil
	}
	detached(0).Proceed()
	require.Equal(t, []any{uint32(0), true}, p.expect(detach).fields[:2])
	done(0)

	detached(1).Refuse(busy)
	require.EqualValues(t, "com.microsoft:server-busy", p.expect(detach).condition(2))
	done(1)

	r := detached(2)
	r.Forget()
	done(2)
	r.Proceed() // too late: it does nothing
	p.expectNothing(0)

	r = detached(3)
	r.Link.Detach(busy) // the server detaches meanwhile
	require.EqualValues(t, "com.microsoft:server-busy", p.expect(detach).condition(2))
	r.Proceed()
	p.expectNothing(0)
	require.Empty(t, closed, "Detach doesn't call Closed")
}

func TestHoldEnd(t *testing.T) {
	g := holdingStep(amqp.StepEnd)
	var closed atomic.Int32
	g.link = handler(func(l *amqp.Link) {
		l.Accept(amqp.LinkOptions{Sink: sink((*amqp.Delivery).Accept), Closed: func() { closed.Add(1) }})
	})
	p := begun(t, serve(t, amqp.Config{}, g))
	ended := func(channel uint16) *amqp.Request {
		p.write(on(channel, begin, nil, 0, 1<<20, 1<<20))
		p.expect(begin)
		p.write(on(channel, attach, "x", 0, false, uint8(0), uint8(0), address(0x28), address(0x29), nil, nil, 0))
		p.expect(attach)
		p.expect(flow)
		p.write(on(channel, end))
		r := receive(t, g.held)
		p.expectNothing(0)
		return r
	}
	ended(1).Proceed()
	require.Nil(t, p.expect(end).condition(0))
	require.EqualValues(t, 1, closed.Load())
	ended(1).Refuse(busy)
	require.EqualValues(t, "com.microsoft:server-busy", p.expect(end).condition(0))
	require.EqualValues(t, 2, closed.Load())
	ended(1).Ignore()
	require.EqualValues(t, 2, closed.Load())
}

func TestHoldClose(t *testing.T) {
	g := holdingStep(amqp.StepClose)
	s := serve(t, amqp.Config{}, g)
	for reason, answer := range map[*amqp.Error]any{nil: nil, busy: amqp.Symbol("com.microsoft:server-busy")} {
		p := begun(t, s)
		p.write(on(0, closing))
		r := receive(t, g.held)
		p.expectNothing(0)
		if reason == nil {
			r.Proceed()
		} else {
			r.Refuse(reason)
		}
		p.expectClose(answer)
	}
	p := begun(t, s)
	p.write(on(0, closing))
	receive(t, g.held).Ignore()
	p.expectNothing(0)
	require.ErrorIs(t, s.result(), io.EOF)
	require.ErrorIs(t, s.result(), io.EOF)
	require.NoError(t, p.nc.Close())
	require.ErrorIs(t, s.result(), io.EOF)
}

// A muted link is attached, and the peer doesn't know. Its detach is answered like that of a refused link.
func TestMute(t *testing.T) {
	links := make(chan *amqp.Link, 4)
	closed := make(chan string, 4)
	s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
		l.Mute()
		q := &queue{link: l}
		q.put(numbered(1, 1)...)
		l.Accept(amqp.LinkOptions{Source: q, Sink: sink((*amqp.Delivery).Accept), Closed: func() { closed <- l.Name }})
		links <- l
	}))
	p := begun(t, s)
	attaches := func(handle int, receives bool) *amqp.Link {
		name, mode := fmt.Sprint(handle), uint8(0)
		p.write(on(0, attach, name, handle, receives, mode, mode, address(0x28), address(0x29), nil, nil, 0))
		l := receive(t, links)
		p.write(on(0, flow, 0, 1<<20, 0, 1<<20, handle, 0, 10))
		p.expectNothing(0)
		return l
	}
	refused := func(condition any) {
		a := p.expect(attach)
		require.Nil(t, a.field(5))
		require.Nil(t, a.field(6))
		require.Equal(t, condition, p.expect(detach).condition(2))
	}
	attaches(0, false)
	p.write(on(0, detach, 0, true))
	refused(nil)
	require.Equal(t, "0", receive(t, closed))

	l := attaches(1, true)
	l.Refuse(busy)
	refused(amqp.Symbol("com.microsoft:server-busy"))
	l.Refuse(busy)
	p.write(on(0, detach, 1, true))
	p.expectNothing(0)

	attaches(2, true).Detach(busy)
	p.expectNothing(0)
	p.write(on(0, detach, 2, true)) // the peer doesn't know of the server's own
	refused(nil)

	attaches(3, true)
	require.NoError(t, p.nc.Close())
	require.Equal(t, "3", receive(t, closed))
	require.Empty(t, closed)
}

// Written is called when the socket has taken the message, even one of several frames.
func TestWritten(t *testing.T) {
	written := make(chan int, 10)
	s := serve(t, amqp.Config{MaxFrameSize: 512}, handler(func(l *amqp.Link) {
		n := 0
		l.Accept(amqp.LinkOptions{Source: source(func(m *amqp.Outgoing) bool {
			n++
			i := n
			*m = amqp.Outgoing{Parts: [2][]byte{make([]byte, 2000)}, Written: func() { written <- i }}
			return n <= 2
		})})
	}))
	p := begun(t, s)
	p.attaches(0, true)
	p.write(on(0, flow, 0, 1, 0, 1<<20, 0, 0, 10)) // a window of one frame
	p.expect(transfer)
	require.Empty(t, written)
	p.write(on(0, flow, 1, 1<<20, 1, 1<<20, 0, 0, 10))
	for i := 0; i < 2; {
		if p.expect(transfer).field(5) == false {
			i++
		}
	}
	require.Equal(t, 1, receive(t, written))
	require.Equal(t, 2, receive(t, written))
}

// source is a function as a Source.
type source func(m *amqp.Outgoing) bool

func (s source) Next(m *amqp.Outgoing) bool { return s(m) }
