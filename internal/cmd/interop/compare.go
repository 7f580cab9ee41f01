package main

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// sameValue says how a value that a client shows differs from the one that was sent, or "". A language need not have
// all of AMQP's types, but the values must be equal.
func sameValue(sent, got value) string {
	if equalAs(sent, got) {
		return ""
	}
	return fmt.Sprintf("sent %v, got %v", sent, got)
}

func equalAs(sent, got value) bool {
	s, g := fmt.Sprint(sent.V), fmt.Sprint(got.V)
	switch {
	case sent.T == "null" || got.T == "null":
		return sent.T == got.T
	case sent.T == "uuid":
		return got.T != "binary" && strings.EqualFold(s, g) || got.T == "binary" && g == uuidBytes(s)
	case sent.T == "bool" && got.T == "number":
		// rhea, JavaScript's codec, decodes the two-byte form, which Python's codec writes, as a number
		return equalNumbers(map[bool]string{true: "1", false: "0"}[sent.V == true], g)
	case isNumber(sent.T) && (isNumber(got.T) || got.T == "number"):
		return equalNumbers(s, g)
	case sent.T == "timestamp" && (got.T == "timestamp" || got.T == "number" || isNumber(got.T)):
		return equalNumbers(s, g)
	case sent.T == "symbol", sent.T == "char" && !isNumber(got.T) && got.T != "number":
		// many languages have strings for both
		return (got.T == sent.T || got.T == "string") && s == g
	case sent.T == "char":
		return equalNumbers(fmt.Sprint([]rune(s)[0]), g)
	case (sent.T == "long" || sent.T == "ulong") && got.T == "binary":
		// JavaScript shows those in binary that its numbers can't hold
		return g == bigEndian(s)
	}
	return sent.T == got.T && s == g
}

func isNumber(t string) bool { return bits[t] != 0 }

func equalNumbers(a, b string) bool {
	x, ok := new(big.Rat).SetString(a)
	y, too := new(big.Rat).SetString(b)
	return a == b || ok && too && x.Cmp(y) == 0
}

// bigEndian is the encoding of a long or an ulong, in base64.
func bigEndian(s string) string {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return ""
	}
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), 64))
	}
	return base64.StdEncoding.EncodeToString(n.FillBytes(make([]byte, 8)))
}

func uuidBytes(s string) string {
	var b []byte
	if _, err := fmt.Sscanf(strings.ReplaceAll(s, "-", ""), "%x", &b); err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// differences compares properties by name.
func differences(sent, got map[string]value) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		g, ok := got[name]
		if !ok {
			out = append(out, fmt.Sprintf("property %q: sent %v, got none", name, sent[name]))
		} else if d := sameValue(sent[name], g); d != "" {
			out = append(out, fmt.Sprintf("property %q: %s", name, d))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := sent[name]; !ok {
			out = append(out, fmt.Sprintf("property %q: sent none, got %v", name, got[name]))
		}
	}
	return out
}

// sameEvent returns an error that says how an event that a client has received differs from the one that was sent, or
// nil.
func sameEvent(sent event, got receivedEvent) error {
	out := differences(sent.Properties, got.Properties)
	if string(sent.Body) != string(got.Body) {
		out = append(out, fmt.Sprintf("body: sent %s, got %s", brief(sent.Body), brief(got.Body)))
	}
	for _, field := range []struct {
		name      string
		sent, got *value
	}{
		{"message id", sent.MessageID, got.MessageID}, {"correlation id", sent.CorrelationID, got.CorrelationID},
		{"content type", sent.ContentType, got.ContentType},
	} {
		switch {
		case field.sent == nil: // some clients make one up
		case field.got == nil:
			out = append(out, fmt.Sprintf("%s: sent %v, got none", field.name, *field.sent))
		default:
			if d := sameValue(*field.sent, *field.got); d != "" {
				out = append(out, field.name+": "+d)
			}
		}
	}
	if len(out) > 0 {
		return fmt.Errorf("%s", strings.Join(out, "; "))
	}
	return nil
}

func brief(b []byte) string {
	if len(b) > 20 {
		return fmt.Sprintf("%d bytes", len(b))
	}
	return fmt.Sprintf("%q", b)
}

// near reports whether a time in milliseconds is about now.
func near(ms int64) bool { return time.Since(time.UnixMilli(ms)).Abs() < time.Minute }
