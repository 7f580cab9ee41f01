package amqp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"sort"
	"time"
)

// Append appends the encoding of v to b. It takes what [Decode] returns, and Go's int, []string (an array of strings),
// []Symbol (an array of symbols), map[string]any and map[Symbol]any (in the order of their keys).
func Append(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, codeNull), nil
	case bool:
		return appendBool(b, v), nil
	case uint8:
		return append(b, codeUbyte, v), nil
	case int8:
		return append(b, codeByte, byte(v)), nil
	case uint16:
		return binary.BigEndian.AppendUint16(append(b, codeUshort), v), nil
	case int16:
		return binary.BigEndian.AppendUint16(append(b, codeShort), uint16(v)), nil
	case uint32:
		return appendUint(b, v), nil
	case int32:
		return binary.BigEndian.AppendUint32(append(b, codeInt), uint32(v)), nil
	case uint64:
		return appendUlong(b, v), nil
	case int64:
		return binary.BigEndian.AppendUint64(append(b, codeLong), uint64(v)), nil
	case int:
		return binary.BigEndian.AppendUint64(append(b, codeLong), uint64(v)), nil
	case float32:
		return binary.BigEndian.AppendUint32(append(b, codeFloat), math.Float32bits(v)), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, codeDouble), math.Float64bits(v)), nil
	case Char:
		return binary.BigEndian.AppendUint32(append(b, codeChar), uint32(v)), nil
	case time.Time:
		return binary.BigEndian.AppendUint64(append(b, codeTimestamp), uint64(v.UnixMilli())), nil
	case UUID:
		return append(append(b, codeUUID), v[:]...), nil
	case Decimal:
		return appendDecimal(b, v)
	case []byte:
		return AppendBinary(b, v), nil
	case string:
		return appendVariable(b, codeStr8, v), nil
	case Symbol:
		return appendVariable(b, codeSym8, string(v)), nil
	default:
		return appendCompound(b, v)
	}
}

func appendCompound(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case Described:
		b, err := Append(append(b, codeDescribed), v.Descriptor)
		if err != nil {
			return nil, err
		}
		return Append(b, v.Value)
	case []any:
		if len(v) == 0 {
			return append(b, codeList0), nil
		}
		return sized(b, codeList32, len(v), func(b []byte) ([]byte, error) { return appendEach(b, v) })
	case Map:
		return sized(b, codeMap32, 2*len(v), func(b []byte) (_ []byte, err error) {
			for _, p := range v {
				if b, err = Append(b, p.Key); err != nil {
					return nil, err
				}
				if b, err = Append(b, p.Value); err != nil {
					return nil, err
				}
			}
			return b, nil
		})
	case map[string]any:
		return Append(b, sortedMap(v))
	case map[Symbol]any:
		return Append(b, sortedMap(v))
	case Array:
		return appendArray(b, v)
	case []string:
		return sized(b, codeArray32, len(v), func(b []byte) ([]byte, error) {
			b = append(b, codeStr32)
			for _, s := range v {
				b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
			}
			return b, nil
		})
	case []Symbol:
		return sized(b, codeArray32, len(v), func(b []byte) ([]byte, error) {
			b = append(b, codeSym32)
			for _, s := range v {
				b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
			}
			return b, nil
		})
	}
	return nil, fmt.Errorf("amqp: can't encode a %T", v)
}

func appendEach(b []byte, values []any) (_ []byte, err error) {
	for _, v := range values {
		if b, err = Append(b, v); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func sortedMap[K ~string](m map[K]any) Map {
	out := make(Map, 0, len(m))
	for k, v := range m {
		out = append(out, Pair{k, v})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key.(K) < out[j].Key.(K) })
	return out
}

// sized appends a 32-bit compound: its code, its size, its number of elements, and what body appends.
func sized(b []byte, code byte, n int, body func([]byte) ([]byte, error)) ([]byte, error) {
	start := len(b) + 1
	b = append(b, code, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b, err := body(b)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b, nil
}

// appendArray appends elements of one Go type as an array. All have the format code of the first element's full-width
// form.
func appendArray(b []byte, a Array) ([]byte, error) {
	return sized(b, codeArray32, len(a), func(b []byte) ([]byte, error) {
		if len(a) == 0 {
			return append(b, codeNull), nil
		}
		var first []byte
		for i, v := range a {
			constructor, payload, err := arrayElement(v)
			if err != nil {
				return nil, err
			}
			if i == 0 {
				first = constructor
				b = append(b, constructor...)
			} else if !bytes.Equal(constructor, first) {
				return nil, fmt.Errorf("amqp: array mixes %v with %v", a[0], v)
			}
			b = append(b, payload...)
		}
		return b, nil
	})
}

// arrayElement returns the constructor, which an array has once before its elements, and the payload of v. The
// constructor is a format code, with a descriptor before it if there is one.
func arrayElement(v any) (constructor, payload []byte, err error) {
	d, described := v.(Described)
	if described {
		if constructor, err = Append([]byte{codeDescribed}, d.Descriptor); err != nil {
			return nil, nil, err
		}
		v = d.Value
	}
	code, payload, err := widest(v)
	return append(constructor, code), payload, err
}

// widest returns the format code and the payload of v in the form that fits every value of its type.
func widest(v any) (byte, []byte, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return codeBool, []byte{1}, nil
		}
		return codeBool, []byte{0}, nil
	case uint32:
		return codeUint, binary.BigEndian.AppendUint32(nil, v), nil
	case uint64:
		return codeUlong, binary.BigEndian.AppendUint64(nil, v), nil
	case string:
		return codeStr32, append(binary.BigEndian.AppendUint32(nil, uint32(len(v))), v...), nil
	case Symbol:
		return codeSym32, append(binary.BigEndian.AppendUint32(nil, uint32(len(v))), v...), nil
	case []byte:
		return codeBin32, append(binary.BigEndian.AppendUint32(nil, uint32(len(v))), v...), nil
	case Described:
		return 0, nil, fmt.Errorf("amqp: can't encode an array of values that are described twice")
	case []any:
		if len(v) == 0 {
			return codeList32, []byte{0, 0, 0, 4, 0, 0, 0, 0}, nil
		}
	}
	e, err := Append(nil, v) // all other types have one form only
	if err != nil {
		return 0, nil, err
	}
	return e[0], e[1:], nil
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, codeTrue)
	}
	return append(b, codeFalse)
}

func appendUint(b []byte, v uint32) []byte {
	switch {
	case v == 0:
		return append(b, codeUint0)
	case v < 256:
		return append(b, codeSmallUint, byte(v))
	}
	return binary.BigEndian.AppendUint32(append(b, codeUint), v)
}

func appendUlong(b []byte, v uint64) []byte {
	switch {
	case v == 0:
		return append(b, codeUlong0)
	case v < 256:
		return append(b, codeSmallUlong, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(b, codeUlong), v)
}

func appendDecimal(b []byte, v Decimal) ([]byte, error) {
	codes := map[int]byte{4: codeDecimal32, 8: codeDecimal64, 16: codeDecimal128}
	code, ok := codes[len(v)]
	if !ok {
		return nil, fmt.Errorf("amqp: a decimal of %d bytes", len(v))
	}
	return append(append(b, code), v...), nil
}

// AppendBinary appends the encoding of v as binary to b.
func AppendBinary(b, v []byte) []byte { return appendVariable(b, codeBin8, v) }

// appendVariable appends a binary, a string or a symbol. code is that of the form with a one-byte length; the form with
// a four-byte length is 0x10 above it.
func appendVariable[T ~string | ~[]byte](b []byte, code byte, v T) []byte {
	if len(v) < 256 {
		b = append(b, code, byte(len(v)))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, code+0x10), uint32(len(v)))
	}
	return append(b, v...)
}
