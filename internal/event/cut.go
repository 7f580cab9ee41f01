package event

import (
	"strings"
	"unicode/utf8"
)

// Cut shortens a text to a number of bytes, and makes it valid UTF-8.
func Cut(s string, length int) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= length {
		return s
	}
	const mark = "…"
	n := length - len(mark)
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}
