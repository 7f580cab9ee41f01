package amqp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// Symbol is an AMQP symbol: an ASCII name, such as a capability or an error condition.
type Symbol string

// UUID is an AMQP uuid.
type UUID [16]byte

// Char is an AMQP char: one Unicode code point.
type Char rune

// Decimal is an AMQP decimal32, decimal64 or decimal128 in its encoded form. Nothing here computes with it.
type Decimal []byte

// Described is a value with a descriptor, which is AMQP's way to name a type.
type Described struct {
	Descriptor any
	Value      any
}

// Pair is one entry of a [Map].
type Pair struct{ Key, Value any }

// Map is an AMQP map in the order in which it was encoded. (A Go map can't hold every AMQP key.)
type Map []Pair

// Get returns the value of a key that is a string or a symbol, or nil if there is none.
func (m Map) Get(key string) any {
	for _, p := range m {
		switch k := p.Key.(type) {
		case string:
			if k == key {
				return p.Value
			}
		case Symbol:
			if string(k) == key {
				return p.Value
			}
		}
	}
	return nil
}

// Array is an AMQP array: values of one type.
type Array []any

// maxDepth bounds how deep values may nest. No real value comes near it. Without a bound, a peer could exhaust the
// decoder's stack.
const maxDepth = 32

var (
	errShort   = errors.New("value ends early")
	errNotUTF8 = errors.New("string is not UTF-8")
	errDepth   = fmt.Errorf("values nest deeper than %d", maxDepth)
)

// Format codes, part 1 of the specification.
const (
	codeDescribed  = 0x00
	codeNull       = 0x40
	codeTrue       = 0x41
	codeFalse      = 0x42
	codeUint0      = 0x43
	codeUlong0     = 0x44
	codeList0      = 0x45
	codeUbyte      = 0x50
	codeByte       = 0x51
	codeSmallUint  = 0x52
	codeSmallUlong = 0x53
	codeSmallInt   = 0x54
	codeSmallLong  = 0x55
	codeBool       = 0x56
	codeUshort     = 0x60
	codeShort      = 0x61
	codeUint       = 0x70
	codeInt        = 0x71
	codeFloat      = 0x72
	codeChar       = 0x73
	codeDecimal32  = 0x74
	codeUlong      = 0x80
	codeLong       = 0x81
	codeDouble     = 0x82
	codeTimestamp  = 0x83
	codeDecimal64  = 0x84
	codeDecimal128 = 0x94
	codeUUID       = 0x98
	codeBin8       = 0xa0
	codeStr8       = 0xa1
	codeSym8       = 0xa3
	codeBin32      = 0xb0
	codeStr32      = 0xb1
	codeSym32      = 0xb3
	codeList8      = 0xc0
	codeMap8       = 0xc1
	codeList32     = 0xd0
	codeMap32      = 0xd1
	codeArray8     = 0xe0
	codeArray32    = 0xf0
)

// reader reads encoded values from the front of buf. It never reads past the end, and the slices that it returns point
// into buf.
type reader struct{ buf []byte }

func (r *reader) byte() (byte, error) {
	if len(r.buf) < 1 {
		return 0, errShort
	}
	b := r.buf[0]
	r.buf = r.buf[1:]
	return b, nil
}

func (r *reader) take(n uint64) ([]byte, error) {
	if uint64(len(r.buf)) < n {
		return nil, errShort
	}
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b, nil
}

// payload returns what comes after a format code. Its width is fixed, or it begins with a length of one or four bytes.
func (r *reader) payload(code byte) ([]byte, error) {
	switch code >> 4 {
	case 0x4:
		return nil, nil
	case 0x5:
		return r.take(1)
	case 0x6:
		return r.take(2)
	case 0x7:
		return r.take(4)
	case 0x8:
		return r.take(8)
	case 0x9:
		return r.take(16)
	case 0xa, 0xc, 0xe:
		n, err := r.byte()
		if err != nil {
			return nil, err
		}
		return r.take(uint64(n))
	case 0xb, 0xd, 0xf:
		b, err := r.take(4)
		if err != nil {
			return nil, err
		}
		return r.take(uint64(binary.BigEndian.Uint32(b)))
	}
	return nil, fmt.Errorf("format code 0x%02x is reserved", code)
}

// value decodes one value of any type. The result shares no memory with the buffer.
func (r *reader) value() (any, error) { return r.valueAt(0) }

func (r *reader) valueAt(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	code, err := r.byte()
	if err != nil {
		return nil, err
	}
	if code == codeDescribed {
		descriptor, err := r.valueAt(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := r.valueAt(depth + 1)
		return Described{descriptor, v}, err
	}
	b, err := r.payload(code)
	if err != nil {
		return nil, err
	}
	return decodeAs(code, b, depth)
}

// decodeAs turns the payload of a format code into a Go value.
func decodeAs(code byte, b []byte, depth int) (any, error) {
	switch code {
	case codeNull:
		return nil, nil
	case codeTrue:
		return true, nil
	case codeFalse:
		return false, nil
	case codeBool:
		if b[0] > 1 {
			return nil, fmt.Errorf("boolean is 0x%02x", b[0])
		}
		return b[0] == 1, nil
	case codeUint0:
		return uint32(0), nil
	case codeUlong0:
		return uint64(0), nil
	case codeList0:
		return []any{}, nil
	case codeUbyte:
		return b[0], nil
	case codeByte:
		return int8(b[0]), nil
	case codeSmallUint:
		return uint32(b[0]), nil
	case codeSmallUlong:
		return uint64(b[0]), nil
	case codeSmallInt:
		return int32(int8(b[0])), nil
	case codeSmallLong:
		return int64(int8(b[0])), nil
	case codeUshort:
		return binary.BigEndian.Uint16(b), nil
	case codeShort:
		return int16(binary.BigEndian.Uint16(b)), nil
	case codeUint:
		return binary.BigEndian.Uint32(b), nil
	case codeInt:
		return int32(binary.BigEndian.Uint32(b)), nil
	case codeFloat:
		return math.Float32frombits(binary.BigEndian.Uint32(b)), nil
	case codeChar:
		return Char(binary.BigEndian.Uint32(b)), nil
	case codeUlong:
		return binary.BigEndian.Uint64(b), nil
	case codeLong:
		return int64(binary.BigEndian.Uint64(b)), nil
	case codeDouble:
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case codeTimestamp:
		return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC(), nil
	case codeDecimal32, codeDecimal64, codeDecimal128:
		return Decimal(append([]byte(nil), b...)), nil
	case codeUUID:
		return UUID(b), nil
	case codeBin8, codeBin32:
		return append([]byte{}, b...), nil
	case codeStr8, codeStr32:
		if !utf8.Valid(b) {
			return nil, errNotUTF8
		}
		return string(b), nil
	case codeSym8, codeSym32:
		return Symbol(b), nil
	case codeList8, codeList32:
		return decodeList(code, b, depth)
	case codeMap8, codeMap32:
		return decodeMap(code, b, depth)
	case codeArray8, codeArray32:
		return decodeArray(code, b, depth)
	}
	return nil, fmt.Errorf("format code 0x%02x is unknown", code)
}

// count reads the number of elements from the front of a compound value's payload.
func count(code byte, b []byte) (int, reader, error) {
	r := reader{b}
	width := uint64(1)
	if code&0x10 != 0 { // the 32-bit forms: 0xd0, 0xd1, 0xf0
		width = 4
	}
	c, err := r.take(width)
	if err != nil {
		return 0, r, err
	}
	n := uint64(c[0])
	if width == 4 {
		n = uint64(binary.BigEndian.Uint32(c))
	}
	if code < codeArray8 && n > uint64(len(r.buf)) || n > math.MaxInt32 {
		return 0, r, fmt.Errorf("%d elements in %d bytes", n, len(r.buf))
	}
	return int(n), r, nil
}

// maxEmpty bounds arrays whose elements take no bytes, such as null: otherwise four bytes could stand for 255 of them.
const maxEmpty = 8

// holds checks that what is left can hold n array elements of a format code.
func (r *reader) holds(n int, element byte) error {
	limit := len(r.buf)
	if element>>4 == 4 {
		limit = maxEmpty
	}
	if n > limit {
		return fmt.Errorf("%d array elements of format code 0x%02x in %d bytes", n, element, len(r.buf))
	}
	return nil
}

func decodeList(code byte, b []byte, depth int) (any, error) {
	n, r, err := count(code, b)
	if err != nil {
		return nil, err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = r.valueAt(depth + 1); err != nil {
			return nil, err
		}
	}
	return list, r.end()
}

func decodeMap(code byte, b []byte, depth int) (any, error) {
	n, r, err := count(code, b)
	if err != nil {
		return nil, err
	}
	if n%2 != 0 {
		return nil, fmt.Errorf("map has %d elements, an odd number", n)
	}
	m := make(Map, n/2)
	for i := range m {
		if m[i].Key, err = r.valueAt(depth + 1); err != nil {
			return nil, err
		}
		if m[i].Value, err = r.valueAt(depth + 1); err != nil {
			return nil, err
		}
	}
	return m, r.end()
}

func decodeArray(code byte, b []byte, depth int) (any, error) {
	n, r, err := count(code, b)
	if err != nil {
		return nil, err
	}
	element, err := r.byte()
	if err != nil {
		return nil, err
	}
	var descriptor any
	described := element == codeDescribed
	if described {
		if descriptor, err = r.valueAt(depth + 1); err != nil {
			return nil, err
		}
		if element, err = r.byte(); err != nil {
			return nil, err
		}
		if element == codeDescribed {
			return nil, errors.New("array elements are described twice")
		}
	}
	if depth >= maxDepth {
		return nil, errDepth
	}
	if err := r.holds(n, element); err != nil {
		return nil, err
	}
	a := make(Array, n)
	for i := range a {
		p, err := r.payload(element)
		if err != nil {
			return nil, err
		}
		v, err := decodeAs(element, p, depth+1)
		if err != nil {
			return nil, err
		}
		if described {
			v = Described{descriptor, v}
		}
		a[i] = v
	}
	return a, r.end()
}

func (r *reader) end() error {
	if len(r.buf) != 0 {
		return fmt.Errorf("%d bytes after the last element", len(r.buf))
	}
	return nil
}

// Decode decodes the one value that b holds.
func Decode(b []byte) (any, error) {
	r := reader{b}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	return v, r.end()
}
