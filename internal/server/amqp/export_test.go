package amqp

import "io"

// What the tests need of the frame reader.
type (
	FrameReader = frameReader
	Frame       = frame
)

func NewFrameReader(r io.Reader, max uint32) *FrameReader { return newFrameReader(r, max) }

func (f *frameReader) Next() (Frame, error) { return f.next() }

func (f frame) Kind() byte      { return f.kind }
func (f frame) Channel() uint16 { return f.channel }
func (f frame) Body() []byte    { return f.body }

func Remaining(given, allowance, now uint32) uint32 { return remaining(given, allowance, now) }
