package blob

import (
	"io"
	"net/http"
	"net/url"
	"strings"
)

// The operations that the server knows, by the names of the Blob REST API.
// [Fault].Operation is one of them.
const (
	OpCreateContainer        = "CreateContainer"
	OpGetContainerProperties = "GetContainerProperties"
	OpDeleteContainer        = "DeleteContainer"
	OpGetAccountInformation  = "GetAccountInformation"
	OpListBlobs              = "ListBlobs"
	OpPutBlob                = "PutBlob"
	OpSetBlobMetadata        = "SetBlobMetadata"
	OpGetBlobProperties      = "GetBlobProperties"
	OpGetBlob                = "GetBlob"
	OpDeleteBlob             = "DeleteBlob"
)

// call is one request, parsed.
type call struct {
	op        string
	method    string
	container string
	name      string // of the blob; "" for an operation on the container

	path     string              // as sent, still escaped: the client has signed it in this form
	query    map[string][]string // values unescaped, names in lower case
	header   http.Header
	length   int64  // of the body; -1 if the client didn't say
	body     []byte // of a PutBlob
	endpoint string // the account's URL as the client sees it
}

func (c *call) param(name string) string {
	if v := c.query[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// parse parses path and query. It does not check who is asking.
func (a *Account) parse(r *http.Request) (*call, *failure) {
	c := &call{method: r.Method, header: r.Header, length: r.ContentLength, path: sentPath(r)}

	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, failed(codeInvalidQueryParameterValue).because("the query could not be parsed")
	}
	c.query = make(map[string][]string, len(values))
	for name, v := range values {
		lower := strings.ToLower(name)
		c.query[lower] = append(c.query[lower], v...)
	}

	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	c.endpoint = scheme + r.Host + "/"
	rest := strings.TrimPrefix(c.path, "/")
	if !strings.HasPrefix(r.Host, a.options.Account+".") {
		if first, after, _ := strings.Cut(rest, "/"); first == a.options.Account {
			rest = after
			c.endpoint += first
		}
	}
	rawContainer, rawName, _ := strings.Cut(rest, "/")
	if c.container, err = url.PathUnescape(rawContainer); err != nil {
		return nil, failed(codeInvalidURI)
	}
	if c.name, err = url.PathUnescape(rawName); err != nil {
		return nil, failed(codeInvalidURI)
	}
	return c, nil
}

// sentPath returns the path exactly as the client wrote it, which is what the
// client signed. URL.EscapedPath would escape some characters differently.
func sentPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.HasPrefix(path, "/") {
		return path
	}
	if p := r.URL.EscapedPath(); strings.HasPrefix(p, "/") {
		return p
	}
	return "/"
}

// methods maps verbs to operations.
type methods map[string]string

// containerVerbs and blobVerbs are the operations on a container and on a blob,
// by the query's comp.
var (
	containerVerbs = map[string]methods{
		"": {
			"PUT": OpCreateContainer, "GET": OpGetContainerProperties, "HEAD": OpGetContainerProperties,
			"DELETE": OpDeleteContainer,
		},
		"list": {"GET": OpListBlobs},
	}
	blobVerbs = map[string]methods{
		"":         {"PUT": OpPutBlob, "GET": OpGetBlob, "HEAD": OpGetBlobProperties, "DELETE": OpDeleteBlob},
		"metadata": {"PUT": OpSetBlobMetadata},
	}
)

// route finds the operation, and checks everything about the request that does
// not depend on what is stored.
func (c *call) route() *failure {
	if c.param("restype") == "account" && c.param("comp") == "properties" && c.name == "" {
		if c.method != http.MethodGet && c.method != http.MethodHead {
			return failed(codeUnsupportedHTTPVerb)
		}
		c.op = OpGetAccountInformation // whatever container the path names
		return nil
	}
	verbs := blobVerbs
	if c.name == "" {
		verbs = containerVerbs
		if c.container == "" {
			return failed(codeInvalidURI).because("the path names no container; operations on the account are not supported " +
				"here")
		}
		if c.param("restype") == "" {
			return failed(codeMissingRequiredQueryParameter).because("an operation on a container needs restype=container")
		}
	}
	if restype := c.param("restype"); (restype == "container") != (c.name == "") {
		return failed(codeInvalidQueryParameterValue).because("restype is not right for this path")
	}
	byVerb, ok := verbs[c.param("comp")]
	if !ok {
		return failed(codeInvalidQueryParameterValue).because("this value of comp is not supported here")
	}
	if c.op, ok = byVerb[c.method]; !ok {
		return failed(codeUnsupportedHTTPVerb)
	}
	if fail := validContainerName(c.container); fail != nil {
		return fail
	}
	if fail := validBlobName(c.name); c.name != "" && fail != nil {
		return fail
	}
	return c.refuseUnknown()
}

// refuseUnknown refuses headers and parameters that would change the meaning of
// the request and are not implemented.
func (c *call) refuseUnknown() *failure {
	for name := range c.query {
		switch name {
		case "restype", "comp", "timeout":
			continue
		case "prefix", "marker", "maxresults", "include", "delimiter":
			if c.op == OpListBlobs {
				continue
			}
		}
		return failed(codeUnsupportedQueryParameter).because("parameter: %s", name)
	}
	if c.header.Get("x-ms-lease-id") != "" {
		return failed(codeLeaseNotPresent)
	}
	for _, name := range []string{
		"x-ms-access-tier", "x-ms-blob-cache-control", "x-ms-blob-content-disposition", "x-ms-blob-content-encoding",
		"x-ms-blob-content-language", "x-ms-blob-public-access", "x-ms-copy-source", "x-ms-default-encryption-scope",
		"x-ms-encryption-key", "x-ms-encryption-scope", "x-ms-if-tags", "x-ms-immutability-policy-until-date",
		"x-ms-legal-hold", "x-ms-range-get-content-crc64", "x-ms-structured-body", "x-ms-tags",
	} {
		if c.header.Get(name) != "" {
			return failed(codeUnsupportedHeader).because("header: %s", name)
		}
	}
	if c.op == OpDeleteBlob && strings.EqualFold(c.header.Get("x-ms-delete-snapshots"), "only") {
		return failed(codeUnsupportedHeader).because("x-ms-delete-snapshots: only")
	}
	return nil
}

// readBody reads the body of a Put Blob, and discards any other, so that the
// connection can be used again, and net/http notices its end.
func (c *call) readBody(r *http.Request, limit int64) *failure {
	if c.op == OpPutBlob && c.length < 0 {
		return failed(codeMissingContentLength)
	}
	if c.length > limit {
		return failed(codeRequestBodyTooLarge)
	}
	if r.Body == nil {
		return nil
	}
	limited := io.LimitReader(r.Body, limit+1)
	var n int64
	var err error
	if c.op == OpPutBlob {
		c.body, err = io.ReadAll(limited)
		n = int64(len(c.body))
	} else {
		n, err = io.Copy(io.Discard, limited)
	}
	if err != nil {
		return failed(codeInvalidInput).because("the request's body could not be read to its end")
	}
	if n > limit {
		return failed(codeRequestBodyTooLarge)
	}
	return nil
}
