package amqp_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// These frames break the connection. Each peer has a session on channel 0.
func TestConnectionErrors(t *testing.T) {
	const framing, decode, notAllowed = "amqp:connection:framing-error", "amqp:decode-error", "amqp:not-allowed"
	for _, c := range []struct {
		name      string
		sent      []byte
		condition amqp.Symbol
	}{
		{"size below the header", []byte{0, 0, 0, 7, 2, 0, 0, 0}, framing},
		{"size 0", []byte{0, 0, 0, 0, 2, 0, 0, 0}, framing},
		{"size above the limit", []byte{0, 1, 0, 1, 2, 0, 0, 0}, framing},
		{"size 2^32-1", []byte{0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0}, framing},
		{"body inside the header", []byte{0, 0, 0, 8, 1, 0, 0, 0}, framing},
		{"body behind the frame", []byte{0, 0, 0, 8, 3, 0, 0, 0}, framing},
		{"a SASL frame", frameOf(1, 0, list(0x41, amqp.Symbol("PLAIN"))...), framing},
		{"another protocol", []byte("GET / HTTP/1.1\r\n\r\n"), framing},
		{"garbage", frameOf(0, 0, 0xff, 0xff), decode},
		{"no descriptor", frameOf(0, 0, 0x45), decode},
		{"a descriptor that ends early", frameOf(0, 0, 0x00, 0x80, 1), decode},
		{"a descriptor of another type", frameOf(0, 0, 0x00, 0x40, 0x45), decode},
		{
			"a symbol that is no descriptor",
			frameOf(0, 0, append([]byte{0x00}, append(encode(amqp.Symbol("x:y:list")), 0x45)...)...), decode,
		},
		{"no list", frameOf(0, 0, 0x00, 0x53, flow, 0xa1, 0), decode},
		{"a list longer than the frame", frameOf(0, 0, 0x00, 0x53, flow, 0xc0, 9, 1, 0x43), decode},
		{"more fields than bytes", frameOf(0, 0, 0x00, 0x53, flow, 0xc0, 3, 9, 0x43, 0x43), decode},
		{"a field of another type", on(0, flow, "x"), decode},
		{"a described field", on(0, flow, address(0x28)), decode},
		{"a reserved format code", on(0, attach, "a", 0, true, nil, nil, raw{0x3f}), decode},
		{"settle mode 3", on(0, attach, "a", 0, true, uint8(3)), decode},
		{"a name that is not UTF-8", on(0, attach, "\xc3\x28", 0, true), decode},
		{"a wrong transfer", on(0, transfer, true), decode},
		{"a wrong disposition", on(0, disposition, 7), decode},
		{"a wrong detach", on(0, detach, true), decode},
		{"a wrong begin", on(1, begin, nil, "x"), decode},
		{"no session", on(5, flow, 0, 1, 0, 1), notAllowed},
		{"an end without a session", on(5, end), notAllowed},
		{"a channel in use", on(0, begin, nil, 0, 1, 1), notAllowed},
		{"a channel beyond the limit", on(10, begin, nil, 0, 1, 1), notAllowed},
		{"open a second time", on(1, open, "peer"), notAllowed},
		{"an unknown performative", on(0, 0x19), "amqp:not-implemented"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, amqp.Config{MaxSessions: 10}, acceptAll)
			p := begun(t, s)
			p.write(c.sent, make([]byte, 100))
			p.expectClose(c.condition)
			var e *amqp.Error
			require.ErrorAs(t, s.result(), &e)
			require.Equal(t, string(c.condition), e.Condition)
		})
	}
}

// These frames break a session. Each peer has a sending link with handle 1 and a receiving one with handle 2.
func TestSessionErrors(t *testing.T) {
	const unattached = "amqp:session:unattached-handle"
	for _, c := range []struct {
		name      string
		sent      []byte
		condition amqp.Symbol
	}{
		{"a handle in use", on(0, attach, "b", 1, true), "amqp:session:handle-in-use"},
		{"a handle beyond the limit", on(0, attach, "b", 1024, true), "amqp:not-allowed"},
		{"a transfer without a link", on(0, transfer, 7, 0, []byte("t")), unattached},
		{"a transfer on a receiving link", on(0, transfer, 2, 0, []byte("t")), unattached},
		{"a flow without a link", on(0, flow, 0, 9, 0, 9, 7, 0, 1), unattached},
		{"a detach without a link", on(0, detach, 7, true), unattached},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := make(chan string, 8)
			s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
				l.Accept(amqp.LinkOptions{Source: &queue{}, Sink: sink((*amqp.Delivery).Accept), Closed: func() { told <- l.Name }})
			}))
			p := begun(t, s)
			p.attaches(1, false)
			p.expect(flow)
			p.attaches(2, true)
			p.write(c.sent)
			require.Equal(t, c.condition, p.expect(end).condition(0))
			require.ElementsMatch(t, []string{"link 1", "link 2"}, []string{receive(t, told), receive(t, told)})

			// The peer doesn't know yet, so what it sends is ignored. Its end frame then frees the channel.
			p.write(
				on(0, attach, "c", 3, true), on(0, transfer, 1, 0, []byte("t")), on(0, detach, 1, true), on(0, end),
				on(0, begin, nil, 0, 9, 9),
			)
			p.expect(begin)
			p.write(on(0, closing))
			p.expectClose(nil)
			require.NoError(t, s.result())
			require.Empty(t, told)
		})
	}
}

// A message that is too large is rejected in the words of the service, and the link stays attached.
func TestMessageTooLarge(t *testing.T) {
	sizes := make(chan int, 8)
	s := serve(t, amqp.Config{Credit: 2, MaxMessageSize: 100}, handler(func(l *amqp.Link) {
		l.Accept(amqp.LinkOptions{Sink: sink(func(d *amqp.Delivery) { sizes <- len(d.Payload); d.Accept() })})
	}))
	p := begun(t, s)
	p.attaches(1, false)
	p.expect(flow)
	for id := range 3 { // more than the initial credit
		p.write(part(id, true, 60), part(id, true, 60), part(id, false, 7))
		rejected := p.expect(disposition)
		require.Equal(t, []any{true, uint32(id), uint32(id), true}, rejected.fields[:4])
		why := rejected.field(4).(amqp.Described).Value.([]any)[0].(amqp.Described).Value.([]any)
		require.Equal(t, amqp.Symbol("amqp:link:message-size-exceeded"), why[0])
		require.Equal(
			t,
			fmt.Sprintf(
				"The received message (delivery-id:%d, size:127 bytes) exceeds the limit (100 bytes) currently allowed on the "+
					"link.",
				id,
			),
			why[1],
		)
		p.expect(flow)
	}
	p.write(part(3, false, 100))
	require.Equal(t, 100, receive(t, sizes))
}

func TestSendingLinkErrors(t *testing.T) {
	for _, c := range []struct {
		name      string
		sent      [][]byte
		condition amqp.Symbol
	}{
		{
			"no credit", [][]byte{message(0, 0, "a"), message(1, 1, "b"), message(2, 2, "c")},
			"amqp:link:transfer-limit-exceeded",
		},
		{"no delivery-id", [][]byte{on(0, transfer, 1, nil, []byte("t"))}, "amqp:invalid-field"},
		{
			"two deliveries mixed",
			[][]byte{on(0, transfer, 1, 0, []byte("t"), 0, false, true), on(0, transfer, 1, 1, []byte("t"), 0, false, true)},
			"amqp:invalid-field",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := make(chan string, 8)
			s := serve(t, amqp.Config{Credit: 2, MaxMessageSize: 100}, handler(func(l *amqp.Link) {
				l.Accept(amqp.LinkOptions{Sink: sink(func(*amqp.Delivery) {}), Closed: func() { told <- l.Name }})
			}))
			p := begun(t, s)
			p.attaches(1, false)
			p.expect(flow)
			p.write(c.sent...)
			a := p.expect(detach)
			require.Equal(t, []any{uint32(1), true}, a.fields[:2])
			require.Equal(t, c.condition, a.condition(2))
			require.Equal(t, "link 1", receive(t, told))
			p.write(
				message(9, 9, "the peer doesn't know yet"), on(0, flow, 0, 9, 0, 9, 1, 0, 9, nil, nil, true),
				on(0, detach, 1, true),
			)
			p.expectNothing(0)
			p.attaches(1, false)
			p.expect(flow)
			p.write(on(0, closing))
			p.expectClose(nil)
			require.NoError(t, s.result())
			require.Equal(t, "link 1", receive(t, told))
			require.Empty(t, told)
		})
	}
}

// message returns a transfer of a whole message on handle 1 of channel 0.
func message(id, tag int, body string) []byte {
	return frameOf(0, 0, append(list(transfer, 1, id, encodeTag(tag), 0, false, false), data([]byte(body))...)...)
}

func encodeTag(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// part returns a transfer of a part of a message on handle 1 of channel 0.
func part(id int, more bool, size int) []byte {
	return frameOf(0, 0, append(list(transfer, 1, id, encodeTag(id), 0, false, more), make([]byte, size)...)...)
}

func TestAborted(t *testing.T) {
	deliveries := make(chan *amqp.Delivery, 8)
	s := serve(t, amqp.Config{Credit: 4}, taking(func(d *amqp.Delivery) {
		deliveries <- d
		d.Accept()
	}))
	p := begun(t, s)
	p.attaches(1, false)
	p.expect(flow)
	abort := on(0, transfer, 1, nil, nil, nil, nil, false, nil, nil, nil, true)
	for i := range 20 {
		p.write(part(i, true, 30), part(i, true, 30), abort)
		if i%2 == 1 { // the credit of both is given back
			a := p.expect(flow)
			require.Equal(t, []any{uint32(1), uint32(i + 1), uint32(4)}, a.fields[4:7])
		}
	}
	p.write(message(20, 0, "whole"))
	require.Equal(t, data([]byte("whole")), receive(t, deliveries).Payload)
	p.expect(disposition)
	require.Empty(t, deliveries)
}

func TestSymbolicDescriptors(t *testing.T) {
	deliveries := make(chan *amqp.Delivery, 1)
	s := serve(t, amqp.Config{}, taking(func(d *amqp.Delivery) {
		deliveries <- d
		d.Accept()
	}))
	symbolic := func(name amqp.Symbol, numeric []byte) []byte {
		body := append([]byte{0x00}, encode(name)...)
		return frameOf(0, 0, append(body, numeric[11:]...)...) // 8 bytes of header, 3 of descriptor
	}
	p := connect(t, s)
	p.write([]byte(headerAMQP), symbolic("amqp:open:list", on(0, open, "peer")))
	p.header(headerAMQP)
	p.expect(open)
	p.write(symbolic("amqp:begin:list", on(0, begin, nil, 0, 100, 100)))
	p.expect(begin)
	p.write(symbolic(
		"amqp:attach:list", on(0, attach, "a", 1, false, uint8(0), uint8(0), address(0x28), address(0x29), nil, nil, 0),
	))
	p.expect(attach)
	p.expect(flow)
	p.write(symbolic("amqp:transfer:list", message(0, 0, "x")))
	require.Equal(t, data([]byte("x")), receive(t, deliveries).Payload)
	p.expect(disposition)
	p.write(symbolic("amqp:flow:list", on(0, flow, 0, 100, 1, 100, nil, nil, nil, nil, nil, true)))
	p.expect(flow)
	p.write(symbolic("amqp:disposition:list", on(0, disposition, true, 0, nil, true)))
	p.write(symbolic("amqp:detach:list", on(0, detach, 1, true)))
	p.expect(detach)
	p.write(symbolic("amqp:end:list", on(0, end)))
	p.expect(end)
	p.write(symbolic("amqp:close:list", on(0, closing)))
	p.expectClose(nil)
	require.NoError(t, s.result())
}

func TestRefusedLinkHasNoTerminus(t *testing.T) {
	s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) { l.Refuse(amqp.Errorf(amqp.CondNotFound, "no")) }))
	p := begun(t, s)
	for i, receives := range []bool{true, false} {
		a := p.attaches(i, receives)
		require.Nil(t, a.field(5))
		require.Nil(t, a.field(6))
		a = p.expect(detach)
		require.Equal(t, []any{uint32(i), true}, a.fields[:2])
		require.Equal(t, amqp.Symbol("amqp:not-found"), a.condition(2))
		p.write(on(0, detach, i, true))
		p.expectNothing(0)
	}
}

// Acceptances are sent before the link ends, whichever side ends it.
func TestAcceptedBeforeDetach(t *testing.T) {
	s := serve(t, amqp.Config{}, taking(func(d *amqp.Delivery) {
		d.Accept()
		if d.Format == 1 {
			d.Link().Detach(nil)
		}
	}))
	p := begun(t, s)
	for i := range 40 {
		p.attaches(1, false)
		p.expect(flow)
		sent := on(0, transfer, 1, i, encodeTag(i), i%2, false)
		p.write(cat(sent, on(0, detach, 1, true)))
		a := p.expect(disposition)
		require.Equal(t, []any{true, uint32(i), uint32(i), true}, a.fields[:4])
		p.expect(detach)
	}
	p.attaches(1, false)
	p.expect(flow)
	p.write(cat(on(0, transfer, 1, 40, encodeTag(40), 0, false), on(0, end)))
	p.expect(disposition)
	p.expect(end)
}

// A delivery is settled if any of its frames says so. Then there is no answer.
func TestSettledDelivery(t *testing.T) {
	deliveries := make(chan *amqp.Delivery, 8)
	s := serve(t, amqp.Config{}, taking(func(d *amqp.Delivery) {
		d.Accept()
		deliveries <- d
	}))
	p := begun(t, s)
	p.attaches(1, false)
	p.expect(flow)
	p.write(on(0, transfer, 1, 0, encodeTag(0), 0, true, false))
	p.write(on(0, transfer, 1, 1, encodeTag(1), 0, true, true), on(0, transfer, 1, nil, nil, nil, false, false))
	p.write(on(0, transfer, 1, 2, encodeTag(2), 0, false, true), on(0, transfer, 1, nil, nil, nil, true, false))
	for range 3 {
		receive(t, deliveries)
	}
	p.expectNothing(0)
}

// Only consecutive deliveries are accepted in one frame.
func TestAcceptedWithGaps(t *testing.T) {
	var held []*amqp.Delivery
	s := serve(t, amqp.Config{}, taking(func(d *amqp.Delivery) {
		if held = append(held, d); len(held) == 4 {
			for _, i := range []int{0, 2, 3} {
				held[i].Accept()
			}
			held[1].Reject(nil)
			held = nil
		}
	}))
	p := begun(t, s)
	p.attaches(1, false)
	p.expect(flow)
	for i := 0; i < 80; i += 4 {
		p.write(cat(message(i, 0, "a"), message(i+1, 0, "b"), message(i+2, 0, "c"), message(i+3, 0, "d")))
		accepted := map[int]bool{}
		for len(accepted) < 4 {
			a := p.expect(disposition)
			outcome := a.field(4).(amqp.Described).Descriptor
			for id := a.field(1).(uint32); id <= a.field(2).(uint32); id++ {
				require.NotContains(t, accepted, int(id)-i)
				accepted[int(id)-i] = outcome == uint64(0x24)
			}
		}
		require.Equal(t, map[int]bool{0: true, 1: false, 2: true, 3: true}, accepted)
	}
}

func TestPeerGoesAwayWithoutAWord(t *testing.T) {
	s := serve(t, amqp.Config{}, acceptAll)
	p := begun(t, s)
	p.write(on(0, flow, 0, 1, 0, 1)[:12])
	require.NoError(t, p.nc.CloseWrite())
	require.ErrorIs(t, s.result(), io.ErrUnexpectedEOF)
}

// Every field of a frame is written, even if it and all fields after it are null: azure-eventhub for Python reads
// fields by index.
func TestFramesAreWhole(t *testing.T) {
	s := serve(t, amqp.Config{}, handler(func(l *amqp.Link) {
		if !l.Receiving {
			l.Accept(amqp.LinkOptions{Sink: sink(func(d *amqp.Delivery) { d.Accept() })})
			return
		}
		l.Refuse(amqp.Errorf(amqp.CondNotFound, "no"))
	}))
	p := connect(t, s)
	p.write([]byte(headerAMQP), on(0, open, "peer"), on(0, begin, nil, 0, 1<<20, 1<<20))
	p.header(headerAMQP)
	require.Len(t, p.expect(open).fields, 10)
	require.Len(t, p.expect(begin).fields, 8)
	require.Len(t, p.attaches(0, false).fields, 14)
	require.Len(t, p.expect(flow).fields, 11)
	p.write(on(0, transfer, 0, 0, encodeTag(0), 0, false, false))
	require.Len(t, p.expect(disposition).fields, 6)
	p.attaches(1, true)
	a := p.expect(detach)
	require.Len(t, a.fields, 3)
	require.Len(t, a.field(2).(amqp.Described).Value, 3)
}
