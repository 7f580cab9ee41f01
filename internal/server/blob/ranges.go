package blob

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// byteRange is a part of a blob. Both ends are included.
type byteRange struct{ first, last int64 }

// rangeFrom returns the range of x-ms-range, which takes precedence, or Range,
// for content of that length. The service knows the forms bytes=first-last and
// bytes=first-.
func rangeFrom(h http.Header, length int64) (byteRange, bool, *failure) {
	value := h.Get("x-ms-range")
	if value == "" {
		value = h.Get("Range")
	}
	if value == "" {
		return byteRange{}, false, nil
	}
	malformed := failed(codeInvalidHeaderValue).because("the range is not bytes=first-last or bytes=first-")
	spec, ok := strings.CutPrefix(value, "bytes=")
	if !ok {
		return byteRange{}, false, malformed
	}
	firstText, lastText, ok := strings.Cut(spec, "-")
	if !ok {
		return byteRange{}, false, malformed
	}
	// ParseUint accepts no sign, and 63 bits leave room for last+1.
	first, err := strconv.ParseUint(firstText, 10, 63)
	if err != nil {
		return byteRange{}, false, malformed
	}
	r := byteRange{first: int64(first), last: length - 1}
	if lastText != "" {
		last, err := strconv.ParseUint(lastText, 10, 63)
		if err != nil || last < first {
			return byteRange{}, false, malformed
		}
		r.last = min(int64(last), r.last)
	}
	if r.first >= length {
		return byteRange{}, false, failed(codeInvalidRange).with("Content-Range", fmt.Sprintf("bytes */%d", length))
	}
	return r, true, nil
}

func (r byteRange) contentRange(length int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.first, r.last, length)
}
