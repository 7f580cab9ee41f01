package amqp_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// Descriptors of the performatives, part 2 of the specification.
const (
	open        = 0x10
	begin       = 0x11
	attach      = 0x12
	flow        = 0x13
	transfer    = 0x14
	disposition = 0x15
	detach      = 0x16
	end         = 0x17
	closing     = 0x18
)

const (
	headerAMQP = "AMQP\x00\x01\x00\x00"
	headerSASL = "AMQP\x03\x01\x00\x00"
)

// raw is bytes that encode leaves as they are.
type raw []byte

// encode encodes a value by hand, so that tests of the protocol don't depend on the encoder under test.
func encode(v any) []byte {
	switch v := v.(type) {
	case nil:
		return []byte{0x40}
	case bool:
		if v {
			return []byte{0x41}
		}
		return []byte{0x42}
	case uint8:
		return []byte{0x50, v}
	case uint16:
		return binary.BigEndian.AppendUint16([]byte{0x60}, v)
	case int: // a uint, as most fields
		return binary.BigEndian.AppendUint32([]byte{0x70}, uint32(v))
	case string:
		return append([]byte{0xa1, byte(len(v))}, v...)
	case amqp.Symbol:
		return append([]byte{0xa3, byte(len(v))}, v...)
	case []byte:
		return append([]byte{0xa0, byte(len(v))}, v...)
	case raw:
		return v
	}
	panic(fmt.Sprintf("%T", v))
}

// list returns a described list.
func list(descriptor byte, fields ...any) raw {
	var b []byte
	for _, f := range fields {
		b = append(b, encode(f)...)
	}
	out := []byte{0x00, 0x53, descriptor, 0xd0}
	out = binary.BigEndian.AppendUint32(out, uint32(len(b)+4))
	out = binary.BigEndian.AppendUint32(out, uint32(len(fields)))
	return append(out, b...)
}

// address returns a source or a target.
func address(descriptor byte) raw { return list(descriptor, "hub") }

func frameOf(kind byte, channel uint16, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	b = append(b, 2, kind)
	return append(binary.BigEndian.AppendUint16(b, channel), body...)
}

// on returns an AMQP frame with one performative on a channel.
func on(channel uint16, descriptor byte, fields ...any) []byte {
	return frameOf(0, channel, list(descriptor, fields...)...)
}

// answer is a frame from the server.
type answer struct {
	kind       byte
	channel    uint16
	descriptor byte
	fields     []any
	payload    []byte
	empty      bool
}

// field returns the value of a field, or nil if it was left out.
func (a answer) field(i int) any {
	if i < len(a.fields) {
		return a.fields[i]
	}
	return nil
}

// condition returns the condition of the error in a field.
func (a answer) condition(i int) any {
	d, _ := a.field(i).(amqp.Described)
	if fields, _ := d.Value.([]any); len(fields) > 0 {
		return fields[0]
	}
	return nil
}

// peer speaks AMQP frame by frame.
type peer struct {
	t  *testing.T
	nc *net.TCPConn
	r  *bufio.Reader

	most int // bytes of the largest frame that it takes; 0: any
}

func connect(t *testing.T, s *server) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", s.ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	return &peer{t: t, nc: nc.(*net.TCPConn), r: bufio.NewReader(nc)}
}

// opened returns a peer that has completed the handshake. The fields are those of its open frame.
func opened(t *testing.T, s *server, fields ...any) *peer {
	t.Helper()
	p := connect(t, s)
	if len(fields) == 0 {
		fields = []any{"peer"}
	}
	p.write([]byte(headerAMQP), on(0, open, fields...))
	p.header(headerAMQP)
	p.expect(open)
	return p
}

// begun returns a peer with a session on channel 0, whose window is large.
func begun(t *testing.T, s *server) *peer {
	t.Helper()
	p := opened(t, s)
	p.write(on(0, begin, nil, 0, 1<<20, 1<<20))
	p.expect(begin)
	return p
}

// attaches attaches a link with a handle on channel 0, and returns the server's attach frame.
func (p *peer) attaches(handle int, receives bool) answer {
	p.t.Helper()
	p.write(on(
		0, attach, fmt.Sprintf("link %d", handle), handle, receives, uint8(0), uint8(0), address(0x28), address(0x29), nil,
		nil, 0,
	))
	a := p.expect(attach)
	require.Equal(p.t, uint32(handle), a.field(1))
	require.Equal(p.t, !receives, a.field(2))
	return a
}

func (p *peer) write(frames ...[]byte) {
	p.t.Helper()
	for _, b := range frames {
		_, err := p.nc.Write(b)
		require.NoError(p.t, err)
	}
}

func (p *peer) header(want string) {
	p.t.Helper()
	got := make([]byte, 8)
	_, err := io.ReadFull(p.r, got)
	require.NoError(p.t, err)
	require.Equal(p.t, want, string(got))
}

// next reads a frame.
func (p *peer) next() answer {
	p.t.Helper()
	a, err := p.read()
	require.NoError(p.t, err)
	return a
}

func (p *peer) read() (a answer, err error) {
	var h [8]byte
	if _, err := io.ReadFull(p.r, h[:]); err != nil {
		return a, err
	}
	body := make([]byte, binary.BigEndian.Uint32(h[:])-8)
	if p.most > 0 && len(body)+8 > p.most {
		return a, fmt.Errorf("a frame of %d bytes", len(body)+8)
	}
	if _, err := io.ReadFull(p.r, body); err != nil {
		return a, err
	}
	a.kind, a.channel = h[5], binary.BigEndian.Uint16(h[6:])
	if len(body) == 0 {
		a.empty = true
		return a, nil
	}
	size := len(body)
	if body[2] == transfer && body[3] == 0xc0 { // the only frame with a payload
		size = 5 + int(body[4])
	}
	v, err := amqp.Decode(body[:size])
	if err != nil {
		return a, err
	}
	d := v.(amqp.Described)
	a.descriptor, a.payload = byte(d.Descriptor.(uint64)), body[size:]
	a.fields, _ = d.Value.([]any)
	return a, nil
}

// expect reads a frame, which must have the descriptor.
func (p *peer) expect(descriptor byte) answer {
	p.t.Helper()
	a := p.next()
	require.Equal(p.t, fmt.Sprintf("%#x", descriptor), fmt.Sprintf("%#x", a.descriptor), "fields %v", a.fields)
	return a
}

// expectClose reads to the end of the connection. The last frame must be a close with the condition.
func (p *peer) expectClose(condition any) {
	p.t.Helper()
	a := p.next()
	for a.descriptor != closing {
		a = p.next()
	}
	require.Equal(p.t, condition, a.condition(0))
	p.expectEOF()
}

// expectEOF answers the server's close, if it waits for one, by closing its own half of the socket.
func (p *peer) expectEOF() {
	p.t.Helper()
	require.NoError(p.t, p.nc.CloseWrite())
	rest, err := io.ReadAll(p.r)
	require.NoError(p.t, err)
	require.Empty(p.t, rest)
}

// expectNothing checks that the server has nothing more to say: it answers an echo at once.
func (p *peer) expectNothing(channel uint16) {
	p.t.Helper()
	p.write(on(channel, flow, 0, 1<<20, 0, 1<<20, nil, nil, nil, nil, nil, true))
	a := p.expect(flow)
	require.Nil(p.t, a.field(4))
}
