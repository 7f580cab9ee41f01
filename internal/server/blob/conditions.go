package blob

import (
	"net/http"
	"strings"
	"time"
)

// conditions are a request's conditional headers. ETags have no quotation marks
// here, because listings give them without, and the SDKs send both forms.
type conditions struct {
	match, noneMatch     string // "" if not given; "*" means any
	modified, unmodified time.Time
}

func conditionsFrom(h http.Header) (conditions, *failure) {
	var c conditions
	var fail *failure
	if c.match, fail = etagFrom(h, "If-Match"); fail != nil {
		return c, fail
	}
	if c.noneMatch, fail = etagFrom(h, "If-None-Match"); fail != nil {
		return c, fail
	}
	if c.modified, fail = timeFrom(h, "If-Modified-Since"); fail != nil {
		return c, fail
	}
	c.unmodified, fail = timeFrom(h, "If-Unmodified-Since")
	return c, fail
}

// etagFrom returns the one ETag of a header: the service refuses lists of them.
func etagFrom(h http.Header, name string) (string, *failure) {
	values := h.Values(name)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || strings.Contains(values[0], ",") {
		return "", failed(codeMultipleConditions).because("header: %s", name)
	}
	etag := strings.Trim(values[0], `"`)
	if etag == "" {
		return "", failed(codeInvalidHeaderValue).because("header: %s", name)
	}
	return etag, nil
}

func timeFrom(h http.Header, name string) (time.Time, *failure) {
	value := h.Get(name)
	if value == "" {
		return time.Time{}, nil
	}
	t, err := http.ParseTime(value)
	if err != nil {
		return time.Time{}, failed(codeInvalidHeaderValue).because("header: %s", name)
	}
	return t, nil
}

// version is what conditions apply to. The zero value is the version of
// something that does not exist.
type version struct {
	etag     string // with quotation marks, as in headers
	modified time.Time
}

func (v version) exists() bool { return v.etag != "" }

func (v version) is(etag string) bool {
	return v.exists() && (etag == "*" || etag == strings.Trim(v.etag, `"`))
}

// forWrite checks the conditions of an operation that changes v. If an ETag and
// a time are given, the ETag alone decides.
func (c conditions) forWrite(v version) *failure {
	none, since := c.noneMatch != "" || !c.modified.IsZero(), c.match != "" || !c.unmodified.IsZero()
	if none && since {
		return failed(codeMultipleConditions)
	}
	met := true
	switch {
	case c.noneMatch != "":
		met = !v.is(c.noneMatch)
	case c.match != "":
		met = v.is(c.match)
	case !v.exists():
	case !c.modified.IsZero():
		met = v.modified.After(c.modified)
	case !c.unmodified.IsZero():
		met = !v.modified.After(c.unmodified)
	}
	if !met {
		return failed(codeConditionNotMet)
	}
	return nil
}

// forRead checks the conditions of an operation that reads v, which exists.
func (c conditions) forRead(v version) *failure {
	if c.noneMatch == "*" {
		return failed(codeUnsatisfiableCondition)
	}
	if c.match != "" && !v.is(c.match) || !c.unmodified.IsZero() && v.modified.After(c.unmodified) {
		return failed(codeConditionNotMet)
	}
	if c.noneMatch == "" && c.modified.IsZero() {
		return nil
	}
	// It is enough if one of the two is met.
	if c.noneMatch != "" && !v.is(c.noneMatch) || !c.modified.IsZero() && v.modified.After(c.modified) {
		return nil
	}
	unmodified := failed(codeConditionNotMet).with("ETag", v.etag)
	unmodified.status = http.StatusNotModified
	return unmodified
}
