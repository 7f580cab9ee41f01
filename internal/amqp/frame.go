package amqp

import (
	"bufio"
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
)

// frame is one frame as read. Its body points into the frameReader's buffer until the next read.
type frame struct {
	kind    byte
	channel uint16
	body    []byte
}

// frameReader cuts a byte stream into frames without copying them.
type frameReader struct {
	r       *bufio.Reader
	max     uint32
	discard int
}

func newFrameReader(r io.Reader, max uint32) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, int(max)), max: max}
}

// protocolHeader reads the eight bytes that open each layer: "AMQP", the protocol id, and the version.
func (f *frameReader) protocolHeader() (id byte, err error) {
	if err := f.release(); err != nil {
		return 0, err
	}
	var h [8]byte
	if _, err := io.ReadFull(f.r, h[:]); err != nil {
		return 0, err
	}
	if string(h[:4]) != "AMQP" || h[5] != 1 || h[6] != 0 || h[7] != 0 {
		return 0, errBadProtocol
	}
	return h[4], nil
}

var errBadProtocol = errors.New("the peer does not speak AMQP 1.0")

// release lets go of the frame that was read last.
func (f *frameReader) release() error {
	_, err := f.r.Discard(f.discard)
	f.discard = 0
	return err
}

// next returns the next frame. An *Error says that the peer broke the framing; any other error is the connection's.
func (f *frameReader) next() (frame, error) {
	if err := f.release(); err != nil {
		return frame{}, err
	}
	h, err := f.r.Peek(frameHeaderSize)
	if err != nil {
		if err == io.EOF && len(h) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	size := binary.BigEndian.Uint32(h)
	offset := uint32(h[4]) * 4 // of the body, in four-byte words
	if size < frameHeaderSize || offset < frameHeaderSize || offset > size {
		return frame{}, Errorf(CondFramingError, "frame of %d bytes whose body starts at byte %d", size, offset)
	}
	if size > f.max {
		return frame{}, Errorf(CondFramingError, "frame of %d bytes; the max-frame-size here is %d", size, f.max)
	}
	b, err := f.r.Peek(int(size))
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
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
