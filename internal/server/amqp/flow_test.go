package amqp_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

const most = 1<<32 - 1

// reading returns a peer with a receiving link, handle 1 of channel 0, which has not given credit yet. Its window is
// given.
func reading(t *testing.T, window int, open ...any) (*peer, *queue) {
	t.Helper()
	h, links := queues()
	p := opened(t, serve(t, amqp.Config{}, h), open...)
	p.write(on(0, begin, nil, 0, window, 5000))
	a := p.expect(begin)
	require.Equal(t, uint16(0), a.field(0), "the peer's channel")
	require.Equal(t, uint32(0), a.field(1), "next-outgoing-id")
	a = p.attaches(1, true)
	require.Equal(t, uint32(0), a.field(9), "initial-delivery-count")
	return p, receive(t, links)
}

// gives returns a flow frame: the next transfer expected and the window after it; the next delivery expected and the
// credit after it.
func gives(next, window, count, credit int, drain bool) []byte {
	return on(0, flow, next, window, 0, 5000, 1, count, credit, nil, drain)
}

func (p *peer) expectTransfers(from, to int) {
	p.t.Helper()
	for i := from; i < to; i++ {
		a := p.expect(transfer)
		require.Equal(p.t, []any{uint32(1), uint32(i)}, a.fields[:2])
		require.Equal(p.t, uint32(i), a.field(1))
		require.Equal(p.t, false, a.field(4), "settled")
		require.Equal(p.t, false, a.field(5), "more")
		require.Equal(p.t, numbered(i, 1)[0], a.payload)
	}
}

func TestCreditIsKept(t *testing.T) {
	p, q := reading(t, 5000)
	q.put(numbered(0, 20)...)
	p.expectNothing(0)
	p.write(gives(0, 5000, 0, 3, false))
	p.expectTransfers(0, 3)
	p.expectNothing(0)
	// The peer sent this flow before it had seen the three: three of its five are used up.
	p.write(gives(0, 5000, 0, 5, false))
	p.expectTransfers(3, 5)
	p.expectNothing(0)
	p.write(gives(5, 5000, 5, 2, false), gives(5, 5000, 5, 0, false)) // credit that is taken back before it is used
	p.write(gives(5, 5000, 5, most, false))
	p.expectTransfers(5, 20)
	p.expectNothing(0)
	require.Equal(t, 20, q.count())
}

func TestWindowIsKept(t *testing.T) {
	p, q := reading(t, 3)
	p.write(gives(0, 3, 0, 1000, false))
	q.put(numbered(0, 20)...)
	p.expectTransfers(0, 3)
	p.write(on(0, flow, 1, 3, 0, 5000)) // without a link; the window grows by one
	p.expectTransfers(3, 4)
	p.write(on(0, flow, 4, 0, 0, 5000, nil, nil, nil, nil, nil, true))
	require.Nil(t, p.expect(flow).field(4))
	p.write(on(0, flow, 4, most, 0, 5000))
	p.expectTransfers(4, 20)
}

// A message of many frames stops where the window ends, and continues with the next window.
func TestWindowCutsMessage(t *testing.T) {
	p, q := reading(t, 2, "peer", nil, 512)
	body := bytes.Repeat([]byte("0123456789"), 1000)
	message := data(body)
	q.put(message, message)
	p.write(gives(0, 2, 0, 9, false))
	var got []byte
	frames := 0
	for sent := 0; sent < 2; frames++ {
		if frames > 0 && frames%2 == 0 {
			p.write(on(0, flow, frames, 2, 0, 5000))
		}
		a := p.expect(transfer)
		require.Equal(t, uint32(sent), a.field(1))
		got = append(got, a.payload...)
		if a.field(5) == true {
			require.GreaterOrEqual(t, len(a.payload), 512-60, "frames are used to the full")
			continue
		}
		require.Equal(t, message, got)
		got = nil
		sent++
	}
	require.Greater(t, frames, 40)
}

func TestDrain(t *testing.T) {
	p, q := reading(t, 5000)
	drained := func(count int) {
		t.Helper()
		a := p.expect(flow)
		require.Equal(t, []any{uint32(1), uint32(count), uint32(0)}, a.fields[4:7], "handle, delivery-count and credit")
		require.Equal(t, true, a.field(8))
	}
	q.put(numbered(0, 2)...)
	p.write(gives(0, 5000, 0, 5, true))
	p.expectTransfers(0, 2)
	drained(5)
	q.put(numbered(2, 1)...)
	p.expectNothing(0)
	p.write(gives(2, 5000, 5, 0, true)) // this is how go-amqp drains
	drained(5)
	p.write(gives(2, 5000, 5, 1, true)) // a message uses all of the credit
	p.expectTransfers(2, 3)
	drained(6)
	p.write(gives(3, 5000, 6, 1, true))
	drained(7)
	p.expectNothing(0)
	p.write(on(0, flow, 3, 5000, 0, 5000, 1, 7, 1, nil, true, true)) // an echo as well: one answer for both
	drained(8)
	p.expectNothing(0)
	p.write(gives(3, 5000, 8, 4, false))
	q.put(numbered(3, 1)...)
	p.expectTransfers(3, 4)
	p.expectNothing(0)
}

// A drain is answered without a window, but only after the message that waits for one.
func TestDrainWithoutWindow(t *testing.T) {
	p, q := reading(t, 0)
	p.write(gives(0, 0, 0, 0, true))
	require.Equal(t, true, p.expect(flow).field(8))
	q.put(numbered(0, 1)...)
	p.write(gives(0, 0, 0, 1, true), on(0, flow, 0, 1, 0, 5000))
	p.expectTransfers(0, 1)
	require.Equal(t, true, p.expect(flow).field(8))
}

func TestEcho(t *testing.T) {
	p, _ := reading(t, 5000)
	p.write(on(0, flow, 0, 5000, 0, 5000, 1, 0, 7, nil, false, true))
	a := p.expect(flow)
	require.Equal(t, []any{uint32(1), uint32(0), uint32(7)}, a.fields[4:7])
	require.Equal(t, false, a.field(8))
	p.expectNothing(0)
}

func TestRemaining(t *testing.T) {
	for _, c := range []struct{ given, allowance, now, left uint32 }{
		{0, 10, 0, 10},
		{0, 10, 3, 7},
		{0, 10, 10, 0},
		{0, 10, 11, 0},
		{5, 10, 3, 12}, // the peer counts more than was sent: all that it gives counts
		{most, 10, 3, 6},
		{most - 4, 10, 1, 4},
		{3, 0, most, 4},
		{0, most, 1, most - 1},
		{7, most, 7, most},
		{8, most, 7, most},
		{most, 0, 5, 0},
	} {
		require.Equal(t, c.left, amqp.Remaining(c.given, c.allowance, c.now), "%v", c)
	}
}

// The counts of deliveries and transfers of a sending peer wrap around.
func TestSerialNumbersWrap(t *testing.T) {
	const n, first = 6000, 1<<32 - 3000
	deliveries := make(chan *amqp.Delivery, n)
	s := serve(t, amqp.Config{Credit: 100}, taking(func(d *amqp.Delivery) {
		deliveries <- d
		d.Accept()
	}))
	p := opened(t, s)
	p.write(on(0, begin, nil, first, 5000, 5000))
	p.expect(begin)
	p.write(on(0, attach, "a", 1, false, uint8(0), uint8(0), address(0x28), address(0x29), nil, nil, first))
	p.expect(attach)

	settled, next, credit, window := first, 0, 0, 5000
	read := func() {
		a := p.next()
		switch a.descriptor {
		case flow:
			window = int(int32(a.field(0).(uint32) + a.field(1).(uint32) - uint32(first+next)))
			if a.field(4) != nil {
				credit = int(int32(a.field(5).(uint32) + a.field(6).(uint32) - uint32(first+next)))
			}
		case disposition:
			require.Equal(t, []any{true, uint32(settled)}, a.fields[:2])
			settled += int(a.field(2).(uint32)-uint32(settled)) + 1
			require.Equal(t, true, a.field(3))
		default:
			require.Fail(t, "unexpected", "%v", a)
		}
	}
	for next < n {
		for credit == 0 || window == 0 {
			read()
		}
		require.LessOrEqual(t, credit, 100)
		p.write(message(first+next, 0, "x"))
		next++
		credit--
		window--
	}
	for settled < first+n {
		read()
	}
	require.Len(t, deliveries, n)
}

// A sender gets a new window before the old one is used up.
func TestWindowIsRenewed(t *testing.T) {
	s := serve(t, amqp.Config{Credit: most}, taking(func(d *amqp.Delivery) { d.Drop() }))
	p := begun(t, s)
	p.attaches(1, false)
	require.Equal(t, uint32(most), p.expect(flow).field(6))
	var frames []byte
	for i := range 8000 {
		frames = append(frames, message(i, 0, "x")...)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = p.nc.Write(frames)
	}()
	for got := 0; got < 2; {
		a := p.expect(flow)
		if a.field(4) == nil {
			require.Less(t, a.field(0), uint32(5000*(got+1)))
			require.Equal(t, uint32(5000), a.field(1))
			got++
		}
	}
	receive(t, written)
}

// An unsettled delivery of a receiver that settles second is answered.
func TestSettledSecond(t *testing.T) {
	h, links := queues()
	p := begun(t, serve(t, amqp.Config{}, h))
	p.write(on(0, attach, "a", 1, true, uint8(0), uint8(1), address(0x28), address(0x29)))
	a := p.expect(attach)
	require.Equal(t, uint8(0), a.field(3))
	require.Equal(t, uint8(1), a.field(4))
	receive(t, links).put(numbered(0, 3)...)
	p.write(gives(0, 5000, 0, 9, false))
	p.expectTransfers(0, 3)
	accepted := list(0x24)
	p.write(on(0, disposition, true, 0, 1, false, accepted), on(0, disposition, true, 2, nil, true, accepted))
	a = p.expect(disposition)
	require.Equal(t, []any{false, uint32(0), uint32(1), true}, a.fields[:4])
	p.expectNothing(0)
}

func TestSettledBySender(t *testing.T) {
	for _, mode := range []uint8{1, 2} {
		h, links := queues()
		p := begun(t, serve(t, amqp.Config{}, h))
		p.write(on(0, attach, "a", 1, true, mode, uint8(0), address(0x28), address(0x29)), gives(0, 5000, 0, 9, false))
		require.Equal(t, mode, p.expect(attach).field(3))
		receive(t, links).put(numbered(0, 1)...)
		require.Equal(t, true, p.expect(transfer).field(4))
	}
}

// Credit counts even if the peer gives it before it has seen the attach frame, or before that is sent.
func TestCreditBeforeAttach(t *testing.T) {
	links := make(chan *amqp.Link, 1)
	p := begun(t, serve(t, amqp.Config{}, handler(func(l *amqp.Link) { links <- l })))
	p.write(on(0, attach, "a", 1, true, uint8(0), uint8(0), address(0x28), address(0x29)))
	p.write(on(0, flow, nil, 5000, 0, 5000, 1, nil, 2))
	p.expectNothing(0)
	l := receive(t, links)
	q := &queue{link: l}
	q.put(numbered(0, 5)...)
	l.Accept(amqp.LinkOptions{Source: q})
	p.expect(attach)
	p.expectTransfers(0, 2)
	p.expectNothing(0)
}

func TestCreditIsGivenInTime(t *testing.T) {
	deliveries := make(chan *amqp.Delivery, 16)
	p := begun(t, serve(t, amqp.Config{Credit: 4}, taking(func(d *amqp.Delivery) { deliveries <- d })))
	p.attaches(1, false)
	require.Equal(t, uint32(4), p.expect(flow).field(6))
	for i := range 4 {
		p.write(message(i, i, "x"))
	}
	p.expectNothing(0) // nothing is settled
	receive(t, deliveries).Drop()
	p.expectNothing(0) // one is
	receive(t, deliveries).Reject(nil)
	a := p.expect(disposition)
	require.Equal(t, []any{true, uint32(1), uint32(1), true}, a.fields[:4])
	a = p.expect(flow)
	require.Equal(t, []any{uint32(1), uint32(4), uint32(2)}, a.fields[4:7])
	// Consecutive acceptances may come in one frame, and after the credit that they give back.
	receive(t, deliveries).Accept()
	receive(t, deliveries).Accept()
	for next := uint32(2); next < 4; {
		a = p.next()
		if a.descriptor == flow {
			require.Equal(t, []any{uint32(1), uint32(4), uint32(4)}, a.fields[4:7])
			continue
		}
		require.Equal(t, next, a.field(1))
		require.Equal(t, amqp.Described{Descriptor: uint64(0x24), Value: []any{}}, a.field(4))
		next = a.field(2).(uint32) + 1
	}
}
