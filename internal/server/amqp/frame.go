package amqp

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	frameHeaderSize = 8
	frameAMQP       = 0
	frameSASL       = 1

	// minFrameSize is the smallest max-frame-size that the specification lets a peer announce.
	minFrameSize = 512

	// firstBuffer is the buffer's size until a peer sends more than that at once.
	firstBuffer = 4 << 10
)

// frame is one frame as read. Its body points into the frameReader's buffer until the next read.
type frame struct {
	kind    byte
	channel uint16
	body    []byte
}

// frameReader cuts a byte stream into frames without copying them.
type frameReader struct {
	r          io.Reader
	max        uint32
	buf        []byte
	start, end int // of the bytes that were read and not released
	discard    int
	full       bool                  // the last read filled the buffer: more bytes may have arrived
	grown      func(more int) *Error // returns why the buffer may not grow; nil: it may
}

func newFrameReader(r io.Reader, max uint32) *frameReader {
	return &frameReader{r: r, max: max}
}

// peek returns the next n bytes, which stay in the buffer. At the end of the stream it returns what there is.
func (f *frameReader) peek(n int) ([]byte, error) {
	for f.end-f.start < n {
		if err := f.room(n); err != nil {
			return nil, err
		}
		m, err := f.r.Read(f.buf[f.end:])
		f.end += m
		f.full = f.end == len(f.buf)
		if err != nil && f.end-f.start < n {
			return f.buf[f.start:f.end], err
		}
	}
	return f.buf[f.start : f.start+n], nil
}

// room makes room for n bytes and more after start. The buffer grows with what the peer sends, up to one frame of the
// largest size: a buffer of that size would be most of what a new connection costs.
func (f *frameReader) room(n int) error {
	size := max(len(f.buf), min(firstBuffer, int(f.max)))
	if n > size || f.full {
		size = min(max(2*size, n), int(f.max))
	}
	if more := size - len(f.buf); more > 0 {
		var refused *Error
		if f.grown != nil {
			refused = f.grown(more)
		}
		switch {
		case refused == nil:
			b := make([]byte, size)
			f.end = copy(b, f.buf[f.start:f.end])
			f.buf, f.start = b, 0
			return nil
		case n > len(f.buf):
			return refused
		}
	}
	if f.start > 0 {
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	}
	return nil
}

// protocolHeader reads the eight bytes that open each layer: "AMQP", the protocol id, and the version.
func (f *frameReader) protocolHeader() (id byte, err error) {
	f.release()
	h, err := f.peek(8)
	if err != nil {
		return 0, early(err, len(h))
	}
	f.discard = len(h)
	if string(h[:4]) != "AMQP" || h[5] != 1 || h[6] != 0 || h[7] != 0 {
		return 0, errBadProtocol
	}
	return h[4], nil
}

var errBadProtocol = errors.New("the peer does not speak AMQP 1.0")

// release discards the frame that was read last.
func (f *frameReader) release() {
	f.start += f.discard
	f.discard = 0
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
}

// early returns the error of a stream that ends after n bytes of something.
func early(err error, n int) error {
	if errors.Is(err, io.EOF) && n > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next returns the next frame. An *Error means that the peer broke the framing; any other error is the connection's.
func (f *frameReader) next() (frame, error) {
	f.release()
	h, err := f.peek(frameHeaderSize)
	if err != nil {
		return frame{}, early(err, len(h))
	}
	size := binary.BigEndian.Uint32(h)
	offset := uint32(h[4]) * 4 // of the body, in four-byte words
	if size < frameHeaderSize || offset < frameHeaderSize || offset > size {
		return frame{}, Errorf(CondFramingError, "frame of %d bytes whose body starts at byte %d", size, offset)
	}
	if size > f.max {
		return frame{}, Errorf(CondFramingError, "frame of %d bytes; the max-frame-size here is %d", size, f.max)
	}
	b, err := f.peek(int(size))
	if err != nil {
		return frame{}, early(err, len(h))
	}
	f.discard = int(size)
	return frame{kind: b[5], channel: binary.BigEndian.Uint16(b[6:]), body: b[offset:]}, nil
}

// beginFrame appends a frame's header; endFrame fills in its size.
func beginFrame(b []byte, kind byte, channel uint16) (buf []byte, start int) {
	start = len(b)
	return append(b, 0, 0, 0, 0, 2, kind, byte(channel>>8), byte(channel)), start
}

func endFrame(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}
