package blob

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc64"
	"net/http"
	"strconv"
)

const (
	defaultContentType = "application/octet-stream"
	maxContentType     = 1024 // bytes
)

// putBlob writes a whole blob. With If-None-Match: *, an existing blob is
// answered with BlobAlreadyExists, which claims of a partition rely on.
func (a *Account) putBlob(c *call) (*response, *failure) {
	b, fail := c.blobToPut()
	if fail != nil {
		return nil, fail
	}
	when, fail := conditionsFrom(c.header)
	if fail != nil {
		return nil, fail
	}
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	held, fail := a.find(c)
	if fail != nil {
		return nil, fail
	}
	old := held.blobs[c.name]
	if fail := when.forWrite(old.version()); fail != nil {
		if when.noneMatch == "*" && old != nil {
			return nil, failed(codeBlobAlreadyExists)
		}
		return nil, fail
	}
	if fail := a.store(held, b); fail != nil {
		return nil, fail
	}
	resp := newResponse(http.StatusCreated)
	resp.stamp(b.version())
	resp.header.Set("Content-MD5", b.md5)
	resp.header.Set("x-ms-request-server-encrypted", "true")
	return resp, nil
}

// blobToPut returns the blob of a Put Blob, after it has checked the headers
// and checksums.
func (c *call) blobToPut() (*Blob, *failure) {
	switch c.header.Get("x-ms-blob-type") {
	case "BlockBlob":
	case "":
		return nil, failed(codeMissingRequiredHeader).because("header: x-ms-blob-type")
	default:
		return nil, failed(codeInvalidHeaderValue).because("x-ms-blob-type: only BlockBlob is supported here")
	}
	contentType := defaultContentType
	for _, name := range []string{"x-ms-blob-content-type", "Content-Type"} {
		if given := c.header.Get(name); given != "" {
			contentType = given
			break
		}
	}
	if len(contentType) > maxContentType || !printable(contentType) {
		return nil,
			failed(codeInvalidHeaderValue).because("the content type is too long or has characters that are not permitted")
	}
	m, fail := metadataFrom(c.header)
	if fail != nil {
		return nil, fail
	}
	b := newBlob(c.name, contentType, c.body, m)
	for _, name := range []string{"Content-MD5", "x-ms-blob-content-md5"} {
		if sum := c.header.Get(name); sum != "" && sum != b.md5 {
			return nil, failed(codeMD5Mismatch)
		}
	}
	if sum := c.header.Get("x-ms-content-crc64"); sum != "" && sum != azureCRC64(c.body) {
		return nil, failed(codeCRC64Mismatch)
	}
	return b, nil
}

// azureCRC64 is the service's own checksum. Its polynomial is neither of those
// in package hash/crc64.
func azureCRC64(content []byte) string {
	sum := crc64.Checksum(content, crc64.MakeTable(0x9A6C9329AC4BC9B5))
	return base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint64(nil, sum))
}

func (a *Account) setBlobMetadata(c *call) (*response, *failure) {
	m, fail := metadataFrom(c.header)
	if fail != nil {
		return nil, fail
	}
	when, fail := conditionsFrom(c.header)
	if fail != nil {
		return nil, fail
	}
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	held, old, fail := a.change(c, when)
	if fail != nil {
		return nil, fail
	}
	b := *old
	b.Metadata = m
	if fail := a.store(held, &b); fail != nil {
		return nil, fail
	}
	resp := newResponse(http.StatusOK)
	resp.stamp(b.version())
	resp.header.Set("x-ms-request-server-encrypted", "true")
	return resp, nil
}

func (a *Account) deleteBlob(c *call) (*response, *failure) {
	when, fail := conditionsFrom(c.header)
	if fail != nil {
		return nil, fail
	}
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	held, _, fail := a.change(c, when)
	if fail != nil {
		return nil, fail
	}
	a.remove(held, c.name)
	resp := newResponse(http.StatusAccepted)
	resp.header.Set("x-ms-delete-type-permanent", "true")
	return resp, nil
}

func (a *Account) getBlobProperties(c *call) (*response, *failure) {
	b, fail := a.read(c)
	if fail != nil {
		return nil, fail
	}
	resp := b.describe(http.StatusOK)
	resp.header.Set("Content-Length", strconv.Itoa(len(b.Content)))
	resp.header.Set("Content-MD5", b.md5)
	return resp, nil
}

func (a *Account) getBlob(c *call) (*response, *failure) {
	b, fail := a.read(c)
	if fail != nil {
		return nil, fail
	}
	part, given, fail := rangeFrom(c.header, int64(len(b.Content)))
	if fail != nil {
		return nil, fail
	}
	if !given {
		resp := b.describe(http.StatusOK)
		resp.header.Set("Content-MD5", b.md5)
		resp.body = b.Content
		return resp, nil
	}
	resp := b.describe(http.StatusPartialContent)
	resp.header.Set("Content-Range", part.contentRange(int64(len(b.Content))))
	resp.header.Set("x-ms-blob-content-md5", b.md5)
	resp.body = b.Content[part.first : part.last+1]
	if c.header.Get("x-ms-range-get-content-md5") == "true" {
		resp.header.Set("Content-MD5", newBlob("", "", resp.body, nil).md5)
	}
	return resp, nil
}

// read returns the blob for an operation that changes nothing.
func (a *Account) read(c *call) (*Blob, *failure) {
	when, fail := conditionsFrom(c.header)
	if fail != nil {
		return nil, fail
	}
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	_, b, fail := a.findBlob(c)
	if fail != nil {
		return nil, fail
	}
	return b, when.forRead(b.version())
}

// change returns the blob for an operation that changes it, if the conditions allow that. A missing blob has no ETag,
// so it fails a condition that names one, as on Azurite. The caller holds a.containersMu.
func (a *Account) change(c *call, when conditions) (*container, *Blob, *failure) {
	held, b, fail := a.findBlob(c)
	switch {
	case fail != nil && held != nil && when.match != "" && when.match != "*":
		return nil, nil, failed(codeConditionNotMet)
	case fail != nil:
		return nil, nil, fail
	}
	return held, b, when.forWrite(b.version())
}

// findBlob returns the blob that a request is about. It returns the container even if there is no such blob. The caller
// holds a.containersMu.
func (a *Account) findBlob(c *call) (*container, *Blob, *failure) {
	held, fail := a.find(c)
	if fail != nil {
		return nil, nil, fail
	}
	b := held.blobs[c.name]
	if b == nil {
		return held, nil, failed(codeBlobNotFound)
	}
	return held, b, nil
}

// describe returns the answer with a blob's properties.
func (b *Blob) describe(status int) *response {
	resp := newResponse(status)
	resp.stamp(b.version())
	h := resp.header
	h.Set("Content-Type", b.ContentType)
	h.Set("Accept-Ranges", "bytes")
	h.Set("x-ms-blob-type", "BlockBlob")
	h.Set("x-ms-creation-time", httpTime(b.Created))
	h.Set("x-ms-lease-status", "unlocked")
	h.Set("x-ms-lease-state", "available")
	h.Set("x-ms-server-encrypted", "true")
	h.Set("x-ms-access-tier", "Hot")
	h.Set("x-ms-access-tier-inferred", "true")
	metadata(b.Metadata).addTo(h)
	return resp
}
