package amqp_test

import (
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// both has the same values for go-amqp and for this package. go-amqp decodes symbols as strings.
var both = []struct {
	name         string
	theirs       any
	ours         any
	theirsDecode any // what go-amqp decodes, if not theirs
}{
	{"boolean", true, true, nil},
	{"ubyte", uint8(1), uint8(1), nil},
	{"ushort", uint16(65535), uint16(65535), nil},
	{"uint", uint32(70000), uint32(70000), nil},
	{"small uint", uint32(7), uint32(7), nil},
	{"ulong", uint64(1 << 40), uint64(1 << 40), nil},
	{"ulong 0", uint64(0), uint64(0), nil},
	{"byte", int8(-1), int8(-1), nil},
	{"short", int16(-300), int16(-300), nil},
	{"int", int32(-70000), int32(-70000), nil},
	{"small int", int32(-5), int32(-5), nil},
	{"long", int64(-1 << 40), int64(-1 << 40), nil},
	{"small long", int64(5), int64(5), nil},
	{"float", float32(0.5), float32(0.5), nil},
	{"double", 0.1, 0.1, nil},
	{"timestamp", time.UnixMilli(1700000000123), time.UnixMilli(1700000000123).UTC(), nil},
	{"uuid", goamqp.UUID{3, 15: 4}, amqp.UUID{3, 15: 4}, nil},
	{"binary", []byte("abc"), []byte("abc"), nil},
	{"string", "grüß", "grüß", nil},
	{"long string", long, long, nil},
	{"symbol", goamqp.Symbol("a:b"), amqp.Symbol("a:b"), "a:b"},
	{"list", []any{int64(1), "b", true}, []any{int64(1), "b", true}, nil},
	{"map", map[any]any{"k": int64(1)}, amqp.Map{{Key: "k", Value: int64(1)}}, map[string]any{"k": int64(1)}},
	{"array of strings", []string{"a", "bc"}, amqp.Array{"a", "bc"}, nil},
	{"array of symbols", []goamqp.Symbol{"a", "bc"}, amqp.Array{amqp.Symbol("a"), amqp.Symbol("bc")}, nil},
	{"array of longs", []int64{1, -2, 1 << 40}, amqp.Array{int64(1), int64(-2), int64(1 << 40)}, nil},
	{"array of uints", []uint32{1, 70000}, amqp.Array{uint32(1), uint32(70000)}, nil},
	{"array of booleans", []bool{true, false}, amqp.Array{true, false}, nil},
	{"array of binary", [][]byte{{1}, {2, 3}}, amqp.Array{[]byte{1}, []byte{2, 3}}, nil},
	{"nested", []any{[]any{"x"}, map[any]any{"y": []any{}}}, []any{[]any{"x"}, amqp.Map{{Key: "y", Value: []any{}}}}, nil},
}

func TestValuesAcrossLibraries(t *testing.T) {
	for _, c := range both {
		t.Run(c.name, func(t *testing.T) {
			b, err := (&goamqp.Message{Value: c.theirs}).MarshalBinary()
			require.NoError(t, err)
			m, err := amqp.DecodeMessage(b)
			require.NoError(t, err)
			require.Equal(t, c.ours, m.Value)

			b, err = amqp.AppendSection(nil, amqp.SectionValue, c.ours)
			require.NoError(t, err)
			var got goamqp.Message
			require.NoError(t, got.UnmarshalBinary(b))
			want := c.theirsDecode
			if want == nil {
				want = c.theirs
			}
			if c.name == "nested" {
				want = []any{[]any{"x"}, map[string]any{"y": []any{}}}
				got.Value.([]any)[1].(map[string]any)["y"] = []any{} // it decodes an empty list as nil
			}
			require.Equal(t, want, got.Value)
		})
	}
}

// full returns a message with every section, as go-amqp encodes it.
func full(t *testing.T) []byte {
	ttl := 5 * time.Second
	subject := "s"
	b, err := (&goamqp.Message{
		Header:              &goamqp.MessageHeader{Durable: true, TTL: ttl},
		DeliveryAnnotations: goamqp.Annotations{"d": int64(1)},
		Annotations:         goamqp.Annotations{"x-opt-partition-key": "pk"},
		Properties: &goamqp.MessageProperties{
			MessageID: "id", CorrelationID: uint64(7), ReplyTo: ptr("back"), Subject: &subject,
		},
		ApplicationProperties: map[string]any{"operation": "put-token"},
		Data:                  [][]byte{[]byte("one"), []byte("two")},
		Footer:                goamqp.Annotations{"f": "g"},
	}).MarshalBinary()
	require.NoError(t, err)
	return b
}

func ptr[T any](v T) *T { return &v }

func TestSections(t *testing.T) {
	msg := full(t)
	var kinds []byte
	var whole []byte
	walk := amqp.NewSections(msg)
	for s, ok := walk.Next(); ok; s, ok = walk.Next() {
		kinds = append(kinds, s.Kind)
		whole = append(whole, s.Whole...)
		_, err := amqp.Decode(s.Value)
		require.NoError(t, err)
		body, err := amqp.Binary(s.Value)
		if s.Kind == amqp.SectionData {
			require.NoError(t, err)
			require.Contains(t, []string{"one", "two"}, string(body))
		} else {
			require.Error(t, err)
		}
	}
	require.NoError(t, walk.Err())
	require.Equal(t, []byte{0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x75, 0x78}, kinds)
	require.Equal(t, msg, whole)
	_, ok := walk.Next()
	require.False(t, ok, "at the end it stays")
}

func TestSectionsInOrder(t *testing.T) {
	header, annotations, body := cat(0x00, 0x53, 0x70, 0x45), cat(0x00, 0x53, 0x72, 0xc1, 1, 0),
		cat(0x00, 0x53, 0x75, 0xa0, 0)
	delivery := cat(0x00, 0x53, 0x71, 0xc1, 1, 0)
	sequence, value, footer := cat(0x00, 0x53, 0x76, 0x45), cat(0x00, 0x53, 0x77, 0x40), cat(0x00, 0x53, 0x78, 0xc1, 1, 0)
	symbolic := cat(0x00, 0xa3, 16, "amqp:data:binary", 0xa0, 0)
	for _, c := range []struct {
		name string
		msg  []byte
		good bool
	}{
		{"nothing", nil, true},
		{"all in order", cat(header, annotations, body, body, footer), true},
		{"a symbolic descriptor", cat(header, symbolic, body), true},
		{"a wide descriptor", cat(0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x77, 0x40), true},
		{"sequences", cat(sequence, sequence), true},
		{"two headers", cat(header, header), false},
		{"a header at the end", cat(body, header), false},
		{"two values", cat(value, value), false},
		{"data and a value", cat(body, value), false},
		{"data and a sequence", cat(body, sequence), false},
		{"a value and data", cat(value, body), false},
		{"a footer before the body", cat(header, footer, body, body), true},
		{"a footer before a value", cat(footer, value), true},
		{"a footer before and after the body", cat(footer, body, footer), false},
		{"two footers", cat(body, footer, footer), false},
		{"a footer within the body", cat(body, footer, body), false},
		{"two kinds of body around a footer", cat(body, footer, value), false},
		{"annotations after the footer", cat(body, footer, annotations), false},
		{"delivery annotations in their place", cat(header, delivery, body), true},
		{"delivery annotations at the end", cat(body, footer, delivery), true},
		{"delivery annotations in both places", cat(header, delivery, body, delivery), true},
		{"delivery annotations after annotations", cat(annotations, delivery), true},
		{"delivery annotations before the footer", cat(body, delivery, footer), false},
		{"delivery annotations twice at the end", cat(body, delivery, delivery), false},
		{"delivery annotations twice in their place", cat(delivery, delivery, body), false},
		{"null for data", cat(0x00, 0x53, 0x75, 0x40), true},
		{"null for a sequence", cat(0x00, 0x53, 0x76, 0x40), false},
		{"no descriptor", cat(0x40), false},
		{"an unknown descriptor", cat(0x00, 0x53, 0x79, 0x40), false},
		{"an unknown symbol", cat(0x00, 0xa3, 1, "x", 0x40), false},
		{"a text for a descriptor", cat(0x00, 0xa1, 1, "x", 0x40), false},
		{"half a section", body[:4], false},
		{"a descriptor only", body[:3], false},
		{"text in a data section", cat(0x00, 0x53, 0x75, 0xa1, 0), false},
		{"a list of annotations", cat(0x00, 0x53, 0x72, 0x45), false},
		{"a map for a header", cat(0x00, 0x53, 0x70, 0xc1, 1, 0), false},
		{"a header within a header", cat(0x00, 0x53, 0x70, header), false},
		{"an odd map", cat(0x00, 0x53, 0x72, 0xc1, 2, 1, 0x40), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			walk := amqp.NewSections(c.msg)
			for _, ok := walk.Next(); ok; _, ok = walk.Next() {
			}
			require.Equal(t, c.good, walk.Err() == nil, "%v", walk.Err())
			_, err := amqp.DecodeMessage(c.msg)
			require.Equal(t, c.good, err == nil)
		})
	}
}

func TestRequestAndAnswer(t *testing.T) {
	m, err := amqp.DecodeMessage(full(t))
	require.NoError(t, err)
	require.Equal(t, &amqp.Message{
		MessageID: "id", CorrelationID: uint64(7), ReplyTo: "back",
		ApplicationProperties: amqp.Map{{Key: "operation", Value: "put-token"}},
	}, m)
	require.Equal(t, "put-token", m.ApplicationProperties.Get("operation"))
	require.Nil(t, m.ApplicationProperties.Get("other"))
	require.Equal(t, 1, amqp.Map{{Key: amqp.Symbol("a"), Value: 1}}.Get("a"))

	b, err := (&amqp.Message{
		MessageID: "m", CorrelationID: "c", ApplicationProperties: amqp.Map{{Key: "status-code", Value: int32(202)}},
		Value: amqp.Map{{Key: "name", Value: "hub"}},
	}).Encode()
	require.NoError(t, err)
	var got goamqp.Message
	require.NoError(t, got.UnmarshalBinary(b))
	require.Equal(t, "m", got.Properties.MessageID)
	require.Equal(t, "c", got.Properties.CorrelationID)
	require.Equal(t, map[string]any{"status-code": int32(202)}, got.ApplicationProperties)
	require.Equal(t, map[string]any{"name": "hub"}, got.Value)

	_, err = (&amqp.Message{Value: struct{}{}}).Encode()
	require.Error(t, err)
	_, err = (&amqp.Message{MessageID: struct{}{}}).Encode()
	require.Error(t, err)
	_, err = (&amqp.Message{ApplicationProperties: amqp.Map{{Key: struct{}{}}}}).Encode()
	require.Error(t, err)
	_, err = amqp.Binary(nil)
	require.Error(t, err)
}
