package blob

import (
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serviceVersion is the version of answers to requests that name none, or no
// valid one.
const serviceVersion = "2021-12-02"

// response is a whole answer. It is complete before any of it is sent, so that
// an operation can be performed and its answer lost.
type response struct {
	status int
	header http.Header
	body   []byte
}

func newResponse(status int) *response {
	return &response{status: status, header: make(http.Header)}
}

// write sends the answer, with the headers that all answers have.
func (a *Account) write(w http.ResponseWriter, r *http.Request, resp *response) {
	h := w.Header()
	for name, values := range resp.header {
		h[name] = values
	}
	if h.Get("x-ms-request-id") == "" {
		h.Set("x-ms-request-id", requestID())
	}
	h.Set("Date", httpTime(a.options.Now()))
	version := r.Header.Get("x-ms-version")
	if !validVersion(version) {
		version = serviceVersion
	}
	h.Set("x-ms-version", version)
	if id := r.Header.Get("x-ms-client-request-id"); id != "" && len(id) <= 1024 && printable(id) {
		h.Set("x-ms-client-request-id", id)
	}
	bodyless := r.Method == http.MethodHead || resp.status == http.StatusNotModified
	if !bodyless {
		h.Set("Content-Length", strconv.Itoa(len(resp.body)))
	}
	w.WriteHeader(resp.status)
	if !bodyless {
		_, _ = w.Write(resp.body) // if it fails, the client has gone
	}
}

// errorBody is the XML of an error.
type errorBody struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	Detail  string `xml:"AuthenticationErrorDetail,omitempty"`
}

func (a *Account) errorResponse(f *failure) *response {
	id := requestID()
	body := errorBody{Code: f.code, Message: f.message()}
	switch {
	case f.detail == "":
	case f.status == http.StatusUnauthorized || f.status == http.StatusForbidden:
		body.Detail = f.detail
	default:
		body.Message += " " + f.detail
	}
	body.Message += fmt.Sprintf(
		"\nRequestId:%s\nTime:%s", id, a.options.Now().UTC().Format("2006-01-02T15:04:05.0000000Z"),
	)

	resp := newResponse(f.status)
	for name, values := range f.header {
		resp.header[name] = values
	}
	resp.header.Set("x-ms-error-code", f.code)
	resp.header.Set("x-ms-request-id", id)
	if f.status != http.StatusNotModified {
		resp.header.Set("Content-Type", "application/xml")
		resp.body = marshal(body)
	}
	return resp
}

// marshal returns v as XML. The values here are structs of strings and numbers,
// for which xml.Marshal never fails.
func marshal(v any) []byte {
	text, err := xml.Marshal(v)
	if err != nil {
		return []byte(xml.Header + "<Error><Code>InternalError</Code></Error>")
	}
	return []byte(xml.Header + plainEntities.Replace(string(text)))
}

// plainEntities replaces the numeric entities of encoding/xml. The parser of
// the JavaScript SDK knows named entities only, and would leave numeric ones in
// names and metadata.
var plainEntities = strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;", "&#xA;", "\n", "&#x9;", "\t")

// requestID returns an id in the form of the service's: a GUID.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// httpTime returns a time as in headers and listings: RFC 1123, GMT, whole
// seconds.
func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
