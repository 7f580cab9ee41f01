package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/go-eventhubs/eventhubs/internal/server/amqp"
)

// value is an AMQP value with its type, as drivers receive and return it.
type value struct {
	T string `json:"t"`
	V any    `json:"v,omitempty"`
}

func (v value) String() string {
	if v.V == nil {
		return v.T
	}
	if list, ok := v.V.([]any); ok {
		b, err := json.Marshal(list)
		if err == nil {
			return v.T + " " + string(b)
		}
	}
	return fmt.Sprintf("%s %v", v.T, v.V)
}

func text(s string) *value { return &value{"string", s} }

// simpleValues has values of every type that application properties can have, at the ends of their ranges where that
// matters.
func simpleValues() map[string]value {
	return map[string]value{
		"null": {T: "null"}, "true": {"bool", true}, "false": {"bool", false},
		"ubyte": {"ubyte", "255"}, "ushort": {"ushort", "65535"}, "uint": {"uint", "4294967295"},
		"ulong": {"ulong", "18446744073709551615"},
		"byte":  {"byte", "-128"}, "short": {"short", "-32768"}, "int": {"int", "-2147483648"},
		"long":       {"long", "-9223372036854775808"},
		"small uint": {"uint", "7"}, "small ulong": {"ulong", "7"}, "small int": {"int", "-7"}, "small long": {"long", "-7"},
		"zero":  {"uint", "0"},
		"float": {"float", "1.5"}, "double": {"double", "-2.25"}, "char": {"char", "é"},
		"timestamp": {"timestamp", "1700000000123"},
		"uuid":      {"uuid", "00112233-4455-6677-8899-aabbccddeeff"},
		"binary":    {"binary", base64.StdEncoding.EncodeToString([]byte{0, 255, 1})},
		"string":    {"string", "Grüße 🌍"}, "empty string": {"string", ""}, "symbol": {"symbol", "symbol"},
	}
}

// bits are the widths of AMQP's numbers.
var bits = map[string]int{
	"ubyte": 8, "ushort": 16, "uint": 32, "ulong": 64, "byte": 8, "short": 16, "int": 32, "long": 64,
	"float": 32, "double": 64,
}

// goValue converts a value to what the Go SDK takes.
func goValue(v value) (any, error) {
	s, _ := v.V.(string)
	switch v.T {
	case "null":
		return nil, nil
	case "bool":
		return v.V, nil
	case "ubyte", "ushort", "uint", "ulong":
		n, err := strconv.ParseUint(s, 10, bits[v.T])
		return map[string]any{"ubyte": uint8(n), "ushort": uint16(n), "uint": uint32(n), "ulong": n}[v.T], err
	case "byte", "short", "int", "long":
		n, err := strconv.ParseInt(s, 10, bits[v.T])
		return map[string]any{"byte": int8(n), "short": int16(n), "int": int32(n), "long": n}[v.T], err
	case "float":
		f, err := strconv.ParseFloat(s, 32)
		return float32(f), err
	case "double":
		return strconv.ParseFloat(s, 64)
	case "timestamp":
		ms, err := strconv.ParseInt(s, 10, 64)
		return time.UnixMilli(ms).UTC(), err
	case "uuid":
		var u goamqp.UUID
		b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
		copy(u[:], b)
		return u, err
	case "binary":
		return base64.StdEncoding.DecodeString(s)
	case "string":
		return s, nil
	case "symbol":
		return goamqp.Symbol(s), nil
	}
	return nil, unsupported("go-amqp has no %s to send", v.T)
}

// amqpValue converts a value to what the local server's own codec takes. That codec knows every type.
func amqpValue(v value) (any, error) {
	if v.T == "char" {
		return amqp.Char([]rune(v.V.(string))[0]), nil
	}
	g, err := goValue(v)
	switch g := g.(type) {
	case goamqp.UUID:
		return amqp.UUID(g), err
	case goamqp.Symbol:
		return amqp.Symbol(g), err
	}
	return g, err
}

// valueOf converts a value from what the Go SDK, or the local server's codec, returns.
func valueOf(v any) value {
	switch v := v.(type) {
	case nil:
		return value{T: "null"}
	case bool:
		return value{"bool", v}
	case uint8:
		return value{"ubyte", fmt.Sprint(v)}
	case uint16:
		return value{"ushort", fmt.Sprint(v)}
	case uint32:
		return value{"uint", fmt.Sprint(v)}
	case uint64:
		return value{"ulong", fmt.Sprint(v)}
	case int8:
		return value{"byte", fmt.Sprint(v)}
	case int16:
		return value{"short", fmt.Sprint(v)}
	case int32:
		return value{"int", fmt.Sprint(v)}
	case int64:
		return value{"long", fmt.Sprint(v)}
	case float32:
		return value{"float", number(float64(v), 32)}
	case float64:
		return value{"double", number(v, 64)}
	case amqp.Char:
		return value{"char", string(rune(v))}
	case time.Time:
		return value{"timestamp", fmt.Sprint(v.UnixMilli())}
	case goamqp.UUID:
		return value{"uuid", v.String()}
	case amqp.UUID:
		return value{"uuid", goamqp.UUID(v).String()}
	case []byte:
		return value{"binary", base64.StdEncoding.EncodeToString(v)}
	case string:
		return value{"string", v}
	case goamqp.Symbol:
		return value{"symbol", string(v)}
	case amqp.Symbol:
		return value{"symbol", string(v)}
	}
	return value{fmt.Sprintf("%T", v), fmt.Sprint(v)}
}

func number(f float64, bits int) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}
