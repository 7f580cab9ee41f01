package amqp_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// cat concatenates bytes, strings and slices.
func cat(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

// long is a string whose encoding needs a length of four bytes.
var long = strings.Repeat("é", 200)

// encodings are values and their encodings according to part 1 of the specification, in the form that Append chooses.
var encodings = []struct {
	name  string
	value any
	bytes []byte
}{
	{"null", nil, cat(0x40)},
	{"true", true, cat(0x41)},
	{"false", false, cat(0x42)},
	{"ubyte", uint8(200), cat(0x50, 200)},
	{"byte", int8(-2), cat(0x51, 0xfe)},
	{"ushort", uint16(0xabcd), cat(0x60, 0xab, 0xcd)},
	{"short", int16(-2), cat(0x61, 0xff, 0xfe)},
	{"uint 0", uint32(0), cat(0x43)},
	{"small uint", uint32(255), cat(0x52, 255)},
	{"uint", uint32(256), cat(0x70, 0, 0, 1, 0)},
	{"largest uint", uint32(math.MaxUint32), cat(0x70, 0xff, 0xff, 0xff, 0xff)},
	{"ulong 0", uint64(0), cat(0x44)},
	{"small ulong", uint64(255), cat(0x53, 255)},
	{"ulong", uint64(256), cat(0x80, 0, 0, 0, 0, 0, 0, 1, 0)},
	{"int", int32(-2), cat(0x71, 0xff, 0xff, 0xff, 0xfe)},
	{"long", int64(-2), cat(0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe)},
	{"float", float32(1.5), cat(0x72, 0x3f, 0xc0, 0, 0)},
	{"double", float64(-2), cat(0x82, 0xc0, 0, 0, 0, 0, 0, 0, 0)},
	{"char", amqp.Char('€'), cat(0x73, 0, 0, 0x20, 0xac)},
	{"timestamp", time.UnixMilli(1700000000123).UTC(), cat(0x83, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x7b)},
	{"timestamp before 1970", time.UnixMilli(-1).UTC(), cat(0x83, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
	{"uuid", amqp.UUID{1, 2, 15: 16}, cat(0x98, 1, 2, make([]byte, 13), 16)},
	{"decimal32", amqp.Decimal{1, 2, 3, 4}, cat(0x74, 1, 2, 3, 4)},
	{"decimal64", amqp.Decimal("12345678"), cat(0x84, "12345678")},
	{"decimal128", amqp.Decimal("1234567890123456"), cat(0x94, "1234567890123456")},
	{"binary", []byte{1, 2}, cat(0xa0, 2, 1, 2)},
	{"empty binary", []byte{}, cat(0xa0, 0)},
	{"long binary", []byte(long), cat(0xb0, 0, 0, 1, 0x90, long)},
	{"string", "é!", cat(0xa1, 3, "é!")},
	{"empty string", "", cat(0xa1, 0)},
	{"long string", long, cat(0xb1, 0, 0, 1, 0x90, long)},
	{"symbol", amqp.Symbol("a:b"), cat(0xa3, 3, "a:b")},
	{"long symbol", amqp.Symbol(long), cat(0xb3, 0, 0, 1, 0x90, long)},
	{"empty list", []any{}, cat(0x45)},
	{"list", []any{nil, "a", uint32(7)}, cat(0xd0, 0, 0, 0, 10, 0, 0, 0, 3, 0x40, 0xa1, 1, "a", 0x52, 7)},
	{"empty map", amqp.Map{}, cat(0xd1, 0, 0, 0, 4, 0, 0, 0, 0)},
	{
		"map", amqp.Map{{Key: amqp.Symbol("k"), Value: true}, {Key: int32(1), Value: nil}},
		cat(0xd1, 0, 0, 0, 14, 0, 0, 0, 4, 0xa3, 1, "k", 0x41, 0x71, 0, 0, 0, 1, 0x40),
	},
	{"described", amqp.Described{Descriptor: uint64(0x24), Value: []any{}}, cat(0x00, 0x53, 0x24, 0x45)},
	{
		"described by a symbol", amqp.Described{Descriptor: amqp.Symbol("x"), Value: "y"},
		cat(0x00, 0xa3, 1, "x", 0xa1, 1, "y"),
	},
	{"empty array", amqp.Array{}, cat(0xf0, 0, 0, 0, 5, 0, 0, 0, 0, 0x40)},
	{"array of booleans", amqp.Array{true, false}, cat(0xf0, 0, 0, 0, 7, 0, 0, 0, 2, 0x56, 1, 0)},
	{
		"array of uints", amqp.Array{uint32(0), uint32(258)},
		cat(0xf0, 0, 0, 0, 13, 0, 0, 0, 2, 0x70, 0, 0, 0, 0, 0, 0, 1, 2),
	},
	{"array of ulongs", amqp.Array{uint64(5)}, cat(0xf0, 0, 0, 0, 13, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 5)},
	{
		"array of symbols", amqp.Array{amqp.Symbol("a"), amqp.Symbol("")},
		cat(0xf0, 0, 0, 0, 14, 0, 0, 0, 2, 0xb3, 0, 0, 0, 1, "a", 0, 0, 0, 0),
	},
	{"array of strings", amqp.Array{"a"}, cat(0xf0, 0, 0, 0, 10, 0, 0, 0, 1, 0xb1, 0, 0, 0, 1, "a")},
	{"array of binary", amqp.Array{[]byte("a")}, cat(0xf0, 0, 0, 0, 10, 0, 0, 0, 1, 0xb0, 0, 0, 0, 1, "a")},
	{"array of shorts", amqp.Array{int16(1), int16(-1)}, cat(0xf0, 0, 0, 0, 9, 0, 0, 0, 2, 0x61, 0, 1, 0xff, 0xff)},
	{
		"array of lists", amqp.Array{[]any{}, []any{nil}},
		cat(0xf0, 0, 0, 0, 22, 0, 0, 0, 2, 0xd0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0x40),
	},
	{"array of maps", amqp.Array{amqp.Map{}}, cat(0xf0, 0, 0, 0, 13, 0, 0, 0, 1, 0xd1, 0, 0, 0, 4, 0, 0, 0, 0)},
	{
		"array of arrays", amqp.Array{amqp.Array{int8(1)}},
		cat(0xf0, 0, 0, 0, 15, 0, 0, 0, 1, 0xf0, 0, 0, 0, 6, 0, 0, 0, 1, 0x51, 1),
	},
	{"array of nulls", amqp.Array{nil, nil}, cat(0xf0, 0, 0, 0, 5, 0, 0, 0, 2, 0x40)},
	{
		"array of described",
		amqp.Array{
			amqp.Described{Descriptor: uint64(9), Value: int8(1)}, amqp.Described{Descriptor: uint64(9), Value: int8(2)},
		},
		cat(0xf0, 0, 0, 0, 10, 0, 0, 0, 2, 0x00, 0x53, 9, 0x51, 1, 2),
	},
}

func TestEncodings(t *testing.T) {
	for _, c := range encodings {
		t.Run(c.name, func(t *testing.T) {
			b, err := amqp.Append([]byte("before"), c.value)
			require.NoError(t, err)
			require.Equal(t, cat("before", c.bytes), b)
			v, err := amqp.Decode(c.bytes)
			require.NoError(t, err)
			require.Equal(t, c.value, v)
			for n := range c.bytes {
				_, err := amqp.Decode(c.bytes[:n])
				require.Error(t, err, "cut after %d bytes", n)
			}
			_, err = amqp.Decode(append(c.bytes[:len(c.bytes):len(c.bytes)], 0x40))
			require.Error(t, err, "with something after it")
		})
	}
}

// Forms that Append doesn't choose.
func TestOtherEncodings(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes []byte
		value any
	}{
		{"boolean true", cat(0x56, 1), true},
		{"boolean false", cat(0x56, 0), false},
		{"wide uint", cat(0x70, 0, 0, 0, 1), uint32(1)},
		{"wide ulong", cat(0x80, 0, 0, 0, 0, 0, 0, 0, 1), uint64(1)},
		{"small int", cat(0x54, 0xfe), int32(-2)},
		{"small long", cat(0x55, 0xfe), int64(-2)},
		{"wide string", cat(0xb1, 0, 0, 0, 1, "a"), "a"},
		{"wide symbol", cat(0xb3, 0, 0, 0, 1, "a"), amqp.Symbol("a")},
		{"wide binary", cat(0xb0, 0, 0, 0, 1, "a"), []byte("a")},
		{"list8", cat(0xc0, 3, 2, 0x40, 0x41), []any{nil, true}},
		{"empty list8", cat(0xc0, 1, 0), []any{}},
		{"empty list32", cat(0xd0, 0, 0, 0, 4, 0, 0, 0, 0), []any{}},
		{"map8", cat(0xc1, 3, 2, 0x40, 0x41), amqp.Map{{Key: nil, Value: true}}},
		{"array8", cat(0xe0, 4, 2, 0x50, 1, 2), amqp.Array{uint8(1), uint8(2)}},
		{"array8 of small strings", cat(0xe0, 5, 2, 0xa1, 1, "a", 0), amqp.Array{"a", ""}},
		{"array of true", cat(0xe0, 2, 3, 0x41), amqp.Array{true, true, true}},
		{"array of empty lists", cat(0xe0, 2, 1, 0x45), amqp.Array{[]any{}}},
		{"empty array of strings", cat(0xe0, 2, 0, 0xa1), amqp.Array{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := amqp.Decode(c.bytes)
			require.NoError(t, err)
			require.Equal(t, c.value, v)
		})
	}
}

func TestGoTypes(t *testing.T) {
	for _, c := range []struct{ given, same any }{
		{7, int64(7)},
		{[]string{"a", ""}, amqp.Array{"a", ""}},
		{[]amqp.Symbol{"a", ""}, amqp.Array{amqp.Symbol("a"), amqp.Symbol("")}},
		{map[string]any{"b": true, "a": nil}, amqp.Map{{Key: "a", Value: nil}, {Key: "b", Value: true}}},
		{map[amqp.Symbol]any{"b": 1}, amqp.Map{{Key: amqp.Symbol("b"), Value: int64(1)}}},
		{amqp.Map(nil), amqp.Map{}},
	} {
		got, err := amqp.Append(nil, c.given)
		require.NoError(t, err)
		v, err := amqp.Decode(got)
		require.NoError(t, err)
		require.Equal(t, c.same, v)
	}
	b, err := amqp.Append(nil, []string{})
	require.NoError(t, err)
	require.Equal(t, cat(0xf0, 0, 0, 0, 5, 0, 0, 0, 0, 0xb1), b, "an empty array has its type")
}

func TestNotEncodable(t *testing.T) {
	for _, v := range []any{
		struct{}{}, uint(1), amqp.Decimal("123"), []any{struct{}{}}, amqp.Map{{Key: struct{}{}}},
		amqp.Map{{Key: "a", Value: struct{}{}}},
		amqp.Described{Descriptor: struct{}{}}, amqp.Described{Value: struct{}{}}, map[string]any{"a": struct{}{}},
		amqp.Array{struct{}{}}, amqp.Array{"a", 1}, amqp.Array{"a", nil},
		amqp.Array{amqp.Decimal("1234"), amqp.Decimal("12345678")},
		amqp.Array{amqp.Described{Descriptor: uint64(1)}, amqp.Described{Descriptor: uint64(2)}},
		amqp.Array{amqp.Described{Value: amqp.Described{}}},
	} {
		_, err := amqp.Append(nil, v)
		require.Error(t, err, "%T %v", v, v)
	}
}

func TestNotDecodable(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":                          {},
		"boolean 2":                        cat(0x56, 2),
		"string that is not UTF-8":         cat(0xa1, 1, 0xff),
		"list with too few elements":       cat(0xc0, 2, 2, 0x40),
		"list with too many elements":      cat(0xc0, 3, 1, 0x40, 0x40),
		"list without a count":             cat(0xc0, 0),
		"list32 with half a count":         cat(0xd0, 0, 0, 0, 2, 0, 0),
		"list of 2^32-1":                   cat(0xd0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40),
		"list larger than the bytes":       cat(0xd0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0x40),
		"map of three":                     cat(0xc1, 4, 3, 0x40, 0x40, 0x40),
		"map of 2^32-2":                    cat(0xd1, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xfe, 0x40),
		"map with a rest":                  cat(0xc1, 4, 2, 0x40, 0x40, 0x40),
		"array without a type":             cat(0xe0, 1, 0),
		"array with too few elements":      cat(0xe0, 3, 2, 0x50, 1),
		"array with a rest":                cat(0xe0, 4, 1, 0x50, 1, 2),
		"array of 2^32-1":                  cat(0xf0, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x50, 1),
		"array of 2^32-1 nulls":            cat(0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40),
		"array of nine nulls":              cat(0xe0, 2, 9, 0x40),
		"array of an unknown type":         cat(0xe0, 3, 1, 0x57, 1),
		"array that is described twice":    cat(0xe0, 7, 1, 0x00, 0x53, 1, 0x00, 0x53, 1),
		"array with half a descriptor":     cat(0xe0, 3, 1, 0x00, 0x53),
		"described without a value":        cat(0x00, 0x53, 1),
		"binary of 2^32-1":                 cat(0xb0, 0xff, 0xff, 0xff, 0xff, 1),
		"a wrong element":                  cat(0xc0, 3, 1, 0x56, 2),
		"a wrong key":                      cat(0xc1, 4, 2, 0x56, 2, 0x40),
		"a wrong element of an array":      cat(0xe0, 3, 1, 0x56, 2),
		"lists that nest deeper than 32":   nested(33, cat(0x40)),
		"deeper by an array":               nested(32, cat(0xe0, 3, 1, 0x50, 1)),
		"deeper by a descriptor":           nested(32, cat(0x00, 0x40, 0x40)),
		"descriptors of descriptors of...": make([]byte, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := amqp.Decode(b)
			require.Error(t, err)
			walk := amqp.NewSections(cat(0x00, 0x53, 0x77, b))
			_, ok := walk.Next()
			require.False(t, ok)
			require.Error(t, walk.Err())
		})
	}
	known := cat(0x00, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x60, 0x61, 0x70,
		0x71, 0x72, 0x73, 0x74, 0x80, 0x81, 0x82, 0x83, 0x84, 0x94, 0x98, 0xa0, 0xa1, 0xa3, 0xb0, 0xb1, 0xb3, 0xc0, 0xc1,
		0xd0, 0xd1, 0xe0, 0xf0)
	for code := range 256 {
		if bytes.IndexByte(known, byte(code)) < 0 {
			_, err := amqp.Decode(cat(code, make([]byte, 300)))
			require.ErrorContains(t, err, "format code", "0x%02x", code)
		}
	}
}

// nested returns a value inside n lists.
func nested(n int, v []byte) []byte {
	for range n {
		b := binary.BigEndian.AppendUint32([]byte{0xd0}, uint32(len(v)+4))
		v = append(append(b, 0, 0, 0, 1), v...)
	}
	return v
}

func TestDepth(t *testing.T) {
	v, err := amqp.Decode(nested(32, cat(0x43)))
	require.NoError(t, err)
	for range 32 {
		require.Len(t, v, 1)
		v = v.([]any)[0]
	}
	require.Equal(t, uint32(0), v)
}
