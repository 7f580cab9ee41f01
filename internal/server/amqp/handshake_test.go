package amqp_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

func TestWrongProtocol(t *testing.T) {
	for name, header := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\n\r\n", "AMQP 0-9-1": "AMQP\x00\x00\x09\x01", "AMQP 1.1": "AMQP\x00\x01\x01\x00",
		"TLS":        "AMQP\x02\x01\x00\x00",
		"another id": "AMQP\x07\x01\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, amqp.Config{}, acceptAll)
			p := connect(t, s)
			p.write([]byte(header))
			p.header(headerAMQP)
			p.expectEOF()
			require.ErrorContains(t, s.result(), "does not speak AMQP 1.0")
		})
	}
}

func TestSASL(t *testing.T) {
	s := serve(t, amqp.Config{}, acceptAll)
	p := connect(t, s)
	p.write([]byte(headerSASL))
	p.header(headerSASL)
	a := p.expect(0x40)
	require.EqualValues(t, 1, a.kind)
	require.Equal(
		t, amqp.Array{amqp.Symbol("MSSBCBS"), amqp.Symbol("PLAIN"), amqp.Symbol("ANONYMOUS"), amqp.Symbol("EXTERNAL")},
		a.field(0),
	)
	// The peer may send all of this without waiting for the answers.
	p.write(
		frameOf(1, 0, list(0x41, amqp.Symbol("PLAIN"), []byte("\x00user\x00password"))...), []byte(headerAMQP),
		on(0, open, "peer"), on(0, closing),
	)
	a = p.expect(0x44)
	require.Equal(t, uint8(0), a.field(0))
	p.header(headerAMQP)
	a = p.expect(open)
	require.Equal(t, "server", a.field(0))
	require.Equal(t, uint32(64<<10), a.field(2))
	require.Equal(t, uint16(4999), a.field(3))
	require.Equal(t, uint32(2*60*1000), a.field(4), "half of what the server tolerates")
	p.expectClose(nil)
	require.NoError(t, s.result())
}

func TestSASLGoesWrong(t *testing.T) {
	for name, frame := range map[string][]byte{
		"an AMQP frame":      on(0, open, "peer"),
		"another SASL frame": frameOf(1, 0, list(0x43, []byte("x"))...),
		"no frame":           []byte("AMQP\x00\x01\x00\x00"),
		"nothing in it":      frameOf(1, 0),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, amqp.Config{}, acceptAll)
			p := connect(t, s)
			p.write([]byte(headerSASL))
			p.header(headerSASL)
			p.expect(0x40)
			p.write(frame)
			require.Error(t, s.result())
		})
	}
}

func TestOpenGoesWrong(t *testing.T) {
	for _, c := range []struct {
		name      string
		frame     []byte
		condition amqp.Symbol
	}{
		{"another performative", on(0, begin, nil, 0, 1, 1), "amqp:connection:framing-error"},
		{"a SASL frame", frameOf(1, 0, list(open, "peer")...), "amqp:connection:framing-error"},
		{"a frame that is too short", []byte{0, 0, 0, 7, 2, 0, 0, 0}, "amqp:connection:framing-error"},
		{"a frame that is too long", []byte{0, 1, 0, 1, 2, 0, 0, 0}, "amqp:connection:framing-error"},
		{"an empty frame", frameOf(0, 0), "amqp:decode-error"},
		{"no list", frameOf(0, 0, 0x00, 0x53, open, 0x43), "amqp:decode-error"},
		{"a number for a name", on(0, open, 7), "amqp:decode-error"},
		{"a name that is not UTF-8", on(0, open, "\xff"), "amqp:decode-error"},
		{"a list that ends early", frameOf(0, 0, 0x00, 0x53, open, 0xc0, 2, 2, 0x40), "amqp:decode-error"},
		{"small frames", on(0, open, "peer", nil, 511), "amqp:invalid-field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, amqp.Config{}, acceptAll)
			p := connect(t, s)
			p.write([]byte(headerAMQP), c.frame, make([]byte, 100)) // what comes after it must not keep the answer from the peer
			p.header(headerAMQP)
			p.expect(open)
			p.expectClose(c.condition)
			var e *amqp.Error
			require.ErrorAs(t, s.result(), &e)
			require.Equal(t, string(c.condition), e.Condition)
		})
	}
}

func TestHandshakeTakesTooLong(t *testing.T) {
	t.Parallel()
	init := frameOf(1, 0, list(0x41, amqp.Symbol("ANONYMOUS"))...)
	for name, sent := range map[string]string{
		"nothing":              "",
		"half a header":        headerAMQP[:5],
		"a SASL header":        headerSASL,
		"half a SASL frame":    headerSASL + string(init[:9]),
		"SASL":                 headerSASL + string(init),
		"an AMQP header":       headerAMQP,
		"half an open frame":   headerAMQP + string(on(0, open, "peer"))[:11],
		"a header after SASL":  headerSASL + string(init) + headerAMQP,
		"half of one after it": headerSASL + string(init) + headerAMQP[:2],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, amqp.Config{HandshakeTimeout: 50 * time.Millisecond}, acceptAll)
			connect(t, s).write([]byte(sent))
			require.ErrorIs(t, s.result(), os.ErrDeadlineExceeded)
		})
	}
}

// Empty frames now and then don't prolong a handshake.
func TestHandshakeTrickles(t *testing.T) {
	t.Parallel()
	s := serve(t, amqp.Config{HandshakeTimeout: 50 * time.Millisecond}, acceptAll)
	p := connect(t, s)
	for _, b := range []byte(headerSASL + headerSASL + headerSASL) {
		if _, err := p.nc.Write([]byte{b}); err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond) // the peer's pace is under test
	}
	require.Error(t, s.result())
}
