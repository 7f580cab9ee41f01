package amqp_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// A value that Decode returns can be encoded, and decodes to the same value.
func FuzzDecode(f *testing.F) {
	for _, c := range encodings {
		f.Add(c.bytes)
	}
	f.Add(nested(32, cat(0x43)))
	f.Add(cat(0xf0, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x50, 1))
	f.Add(cat(0xe0, 11, 8, 0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 0x40))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := amqp.Decode(b)
		if err != nil {
			return
		}
		once, err := amqp.Append(nil, v)
		require.NoError(t, err)
		again, err := amqp.Decode(once)
		require.NoError(t, err)
		twice, err := amqp.Append(nil, again)
		require.NoError(t, err)
		require.Equal(t, once, twice) // the values themselves can't be compared: NaN is not equal to itself
	})
}

// A message is split into sections without loss, and Decode decodes each of them.
func FuzzSections(f *testing.F) {
	f.Add(cat(0x00, 0x53, 0x70, 0x45, 0x00, 0x53, 0x75, 0xa0, 1, 7, 0x00, 0x53, 0x75, 0xa0, 0))
	f.Add(cat(0x00, 0x53, 0x72, 0xc1, 5, 2, 0xa3, 1, "a", 0x40, 0x00, 0xa3, 16, "amqp:data:binary", 0xa0, 0))
	f.Add(cat(0x00, 0x53, 0x78, 0xc1, 1, 0, 0x00, 0x53, 0x75, 0x40, 0x00, 0x53, 0x71, 0xc1, 1, 0))
	for _, c := range encodings {
		f.Add(cat(0x00, 0x53, 0x77, c.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole []byte
		walk := amqp.NewSections(b)
		for s, ok := walk.Next(); ok; s, ok = walk.Next() {
			whole = append(whole, s.Whole...)
			require.True(t, bytes.HasSuffix(s.Whole, s.Value))
			_, err := amqp.Decode(s.Value)
			require.NoError(t, err)
			_, err = amqp.Binary(s.Value)
			require.True(t, err == nil || s.Kind != amqp.SectionData)
		}
		m, err := amqp.DecodeMessage(b)
		require.Equal(t, walk.Err() == nil, err == nil)
		if err != nil {
			return
		}
		require.True(t, bytes.Equal(b, whole))
		_, err = m.Encode()
		require.NoError(t, err)
	})
}

// The frame reader returns the frames that were written, whatever the size of the reads, and nothing else.
func FuzzFrameReader(f *testing.F) {
	f.Add(cat(frameOf(0, 1, 1, 2, 3), frameOf(1, 65535), []byte{0, 0, 0, 12, 3, 0, 0, 0, 9, 9, 9, 9}))
	f.Add(cat(frameOf(0, 0, make([]byte, 504)...), frameOf(0, 0, make([]byte, 505)...)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		frames := amqp.NewFrameReader(iotest.OneByteReader(bytes.NewReader(b)), 512)
		rest := b
		for {
			fr, err := frames.Next()
			if err == nil {
				size := int(rest[0])<<24 | int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
				require.LessOrEqual(t, size, 512)
				require.Equal(t, rest[5], fr.Kind())
				require.Equal(t, uint16(rest[6])<<8|uint16(rest[7]), fr.Channel())
				require.True(t, bytes.Equal(rest[4*int(rest[4]):size], fr.Body()))
				rest = rest[size:]
				continue
			}
			var broken *amqp.Error
			switch {
			case errors.As(err, &broken):
				require.GreaterOrEqual(t, len(rest), 8)
			case err == io.EOF:
				require.Empty(t, rest)
			default:
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
			return
		}
	})
}

// Whatever a peer sends, Serve returns once the peer is gone, every accepted link is closed, and little memory is used.
// In mode 0 the input is what the peer sends. In the other modes it is the bodies of frames, after an open frame, or
// after attached links: few mutated bytes would get through the framing.
func FuzzConn(f *testing.F) {
	hello := cat(headerAMQP, on(0, open, "peer", nil, 512))
	links := cat(hello, on(0, begin, nil, 0, 9, 9),
		on(0, attach, "a", 1, false, uint8(0), uint8(0), address(0x28), address(0x29), nil, nil, 0),
		on(0, attach, "b", 2, true, uint8(0), uint8(1), address(0x28), address(0x29)))
	f.Add(
		uint8(0), cat(headerSASL, frameOf(1, 0, list(0x41, amqp.Symbol("PLAIN"), []byte("x"))...), hello, on(0, closing)),
	)
	f.Add(
		uint8(0),
		cat(
			links, message(0, 0, "x"), on(0, flow, 0, 9, 0, 9, 2, 0, 9, nil, true, true),
			on(0, disposition, true, 0, 5, false, list(0x24)),
		),
	)
	f.Add(
		uint8(1),
		bodies(
			on(0, begin, nil, 0, 1, 1), on(0, attach, "z", 0, true), on(1, begin, nil, 0, 1, 1), on(1, end), on(0, closing),
		),
	)
	f.Add(
		uint8(2),
		bodies(
			on(0, flow, 0, 9, 0, 9, 2, 0, 100), on(0, flow, 9, 99, 0, 9), on(0, detach, 2, true), on(0, end),
			on(0, begin, nil, 0, 9, 9),
		),
	)
	f.Add(
		uint8(2),
		bodies(
			part(0, true, 100), part(0, true, 100), part(0, false, 100), message(1, 1, "y"), on(0, detach, 1, true),
			on(0, closing),
		),
	)
	f.Add(uint8(2), bodies(message(0, 0, "r"), message(1, 0, "d"), message(2, 0, "g"),
		on(0, transfer, 1, 3, []byte("t"), 0, true, true),
		on(0, transfer, 1, nil, nil, nil, nil, false, nil, nil, nil, true), on(0, attach, "c", 1024, true)))
	f.Add(
		uint8(2),
		bodies(
			on(2, begin, nil, 0, 1, 1), on(2, attach, "z", 0, true), on(2, flow, nil, 1, 0, 1, 0, nil, 1<<32-1), frameOf(0, 0),
			on(0, transfer, 1),
		),
	)
	f.Add(
		uint8(2),
		bodies(
			on(0, flow, 0, 9, 0, 9, 2, 0, 9, nil, true, true), on(0, disposition, true, 0, 5, false, list(0x24)),
			on(0, disposition, false, 0),
		),
	)
	f.Fuzz(func(t *testing.T, mode uint8, b []byte) {
		switch mode % 3 {
		case 1:
			b = cat(hello, framed(b))
		case 2:
			b = cat(links, framed(b))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		drive(t, b)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20+100*len(b))) // the fuzzer allocates too
	})
}

// bodies returns the frames without their headers. Each has a byte for the channel and one for the length before it.
func bodies(frames ...[]byte) (b []byte) {
	for _, f := range frames {
		b = append(append(b, f[7], byte(len(f)-8)), f[8:]...)
	}
	return b
}

// framed returns the frames of what bodies returned.
func framed(b []byte) (frames []byte) {
	for len(b) >= 2 {
		n := min(int(b[1]), len(b)-2)
		frames = append(frames, frameOf(0, uint16(b[0])%4, b[2:2+n]...)...)
		b = b[2+n:]
	}
	return frames
}

// drive serves a connection to a peer that sends b, reads all answers, and goes away.
func drive(t *testing.T, b []byte) {
	theirs, ours := net.Pipe()
	h := &fuzzed{}
	c := amqp.NewConn(
		ours, amqp.Config{MaxFrameSize: 512, MaxMessageSize: 1000, MaxSessions: 10, MaxLinks: 5, Credit: 3}, h,
	)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = c.Serve()
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, theirs)
	}()
	_, _ = theirs.Write(b)
	theirs.Close()
	select {
	case <-served:
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		t.Fatalf("still served:\n%s", buf[:runtime.Stack(buf, true)])
	}
	<-read
	for _, d := range h.kept {
		d.Accept()
	}
	for _, l := range h.pending {
		l.Accept(h.options())
	}
	require.Equal(t, h.accepted, h.closed)
	require.Zero(t, h.closedAfterDetach)
}

// fuzzed is a Handler that takes another action with each call. All of it runs in Serve's goroutine.
type fuzzed struct {
	n                 int
	kept              []*amqp.Delivery
	pending           []*amqp.Link
	accepted, closed  int
	closedAfterDetach int
}

func (h *fuzzed) Attach(l *amqp.Link) {
	h.n++
	_, _, _ = l.Address(), l.PeerAddress(), l.Filters()
	switch h.n % 8 {
	case 3:
		l.Refuse(amqp.Errorf(amqp.CondNotFound, "no"))
	case 5:
		h.pending = append(h.pending, l)
	case 7:
		l.Accept(amqp.LinkOptions{Source: &queue{}, Sink: h, Credit: 1 << 31, Closed: func() { h.closedAfterDetach++ }})
		l.Detach(nil)
	default:
		l.Accept(h.options())
	}
}

func (h *fuzzed) options() amqp.LinkOptions {
	h.accepted++
	q := &queue{messages: [][]byte{data(make([]byte, 1200)), data([]byte("x")), {}, data([]byte("y"))}}
	return amqp.LinkOptions{Source: q, Sink: h, Closed: func() { h.closed++ }}
}

func (h *fuzzed) Deliver(d *amqp.Delivery) {
	h.n++
	switch h.n % 5 {
	case 0:
		d.Drop()
	case 1:
		d.Reject(amqp.Errorf(amqp.CondInternalError, "no"))
	case 2:
		h.kept = append(h.kept, d)
	default:
		d.Accept()
	}
}
