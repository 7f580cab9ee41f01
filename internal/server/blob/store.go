package blob

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Blob is one blob at some moment.
type Blob struct {
	Name         string
	Content      []byte
	ContentType  string
	Metadata     map[string]string // names in lower case
	ETag         string            // with quotation marks; changes with each write
	Created      time.Time         // whole seconds
	LastModified time.Time         // whole seconds

	md5         string // of Content, base64
	overwritten string // when it was last overwritten, in the form of a snapshot's name; empty: never
}

// size returns how many bytes a blob counts for in Options.MaxBytes.
func (b *Blob) size() int64 {
	return int64(len(b.Name)+len(b.Content)+len(b.ContentType)) + metadata(b.Metadata).size()
}

func (b *Blob) version() version {
	if b == nil {
		return version{}
	}
	return version{etag: b.ETag, modified: b.LastModified}
}

// container holds blobs. A write replaces a *Blob and never changes one, so a
// reader may keep using what it got under the lock.
type container struct {
	etag     string
	modified time.Time
	metadata metadata
	blobs    map[string]*Blob
	names    []string // of blobs, ascending
}

// Callers of the methods below hold a.containersMu.

// stamp returns the version of a write that happens now.
func (a *Account) stamp() version {
	a.lastETag++
	return version{
		etag:     fmt.Sprintf(`"0x%X"`, a.lastETag),
		modified: a.options.Now().UTC().Truncate(time.Second),
	}
}

// addContainer creates an empty container. The name must be valid and free.
func (a *Account) addContainer(name string, m metadata) (*container, *failure) {
	if len(a.containers) >= maxContainers {
		return nil, failed(codeServerBusy).because("the account is full: %d containers", maxContainers)
	}
	v := a.stamp()
	c := &container{etag: v.etag, modified: v.modified, metadata: m, blobs: make(map[string]*Blob)}
	a.containers[name] = c
	return c, nil
}

// removeContainer removes a container and its blobs.
func (a *Account) removeContainer(name string) {
	for _, b := range a.containers[name].blobs {
		a.blobs--
		a.bytes -= b.size()
	}
	delete(a.containers, name)
}

// store stores b, which nobody else may use yet, in place of the blob of that
// name, if there is one. It sets the ETag and time of b.
func (a *Account) store(c *container, b *Blob) *failure {
	old := c.blobs[b.Name]
	blobs, size := a.blobs+1, a.bytes+b.size()
	if old != nil {
		blobs, size = a.blobs, size-old.size()
	}
	if blobs > a.options.MaxBlobs || size > a.options.MaxBytes {
		return failed(codeServerBusy).because(
			"the account is full: it is set up for %d blobs and %d bytes", a.options.MaxBlobs, a.options.MaxBytes,
		)
	}
	v := a.stamp()
	b.ETag, b.LastModified = v.etag, v.modified
	if b.Created.IsZero() {
		b.Created = v.modified
	}
	if old != nil && a.options.SoftDelete {
		b.overwritten = a.options.Now().UTC().Format("2006-01-02T15:04:05.0000000Z")
	}
	if old == nil {
		i, _ := slices.BinarySearch(c.names, b.Name)
		c.names = slices.Insert(c.names, i, b.Name)
	}
	c.blobs[b.Name] = b
	a.blobs, a.bytes = blobs, size
	return nil
}

// remove removes a blob that exists.
func (a *Account) remove(c *container, name string) {
	a.blobs--
	a.bytes -= c.blobs[name].size()
	delete(c.blobs, name)
	i, _ := slices.BinarySearch(c.names, name)
	c.names = slices.Delete(c.names, i, i+1)
}

// newBlob returns a blob that is not stored yet.
func newBlob(name, contentType string, content []byte, m metadata) *Blob {
	sum := md5.Sum(content)
	return &Blob{
		Name:        name,
		Content:     content,
		ContentType: contentType,
		Metadata:    m,
		md5:         base64.StdEncoding.EncodeToString(sum[:]),
	}
}

// The methods below are for the program that runs the account, not for its
// clients: they bypass signatures, faults and Close.

// CreateContainer creates a container unless it exists. The error says what is
// wrong with the name, or that the account is full.
func (a *Account) CreateContainer(name string) error {
	if fail := validContainerName(name); fail != nil {
		return fmt.Errorf("blob: create container %q: %w", name, fail)
	}
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	if a.containers[name] != nil {
		return nil
	}
	if _, fail := a.addContainer(name, nil); fail != nil {
		return fmt.Errorf("blob: create container %q: %w", name, fail)
	}
	return nil
}

// Put writes a blob, in place of the one of that name, and creates the
// container if need be. The content and metadata are copied; nil means empty.
// Names of metadata are changed to lower case. The error says which rule of the
// service is broken, or that the account is full.
func (a *Account) Put(container, name string, content []byte, meta map[string]string) error {
	if err := a.CreateContainer(container); err != nil {
		return err
	}
	if fail := a.seed(container, name, content, meta); fail != nil {
		return fmt.Errorf("blob: put %s/%s: %w", container, name, fail)
	}
	return nil
}

func (a *Account) seed(container, name string, content []byte, meta map[string]string) *failure {
	if fail := validBlobName(name); fail != nil {
		return fail
	}
	if int64(len(content)) > a.options.MaxBlobSize {
		return failed(codeRequestBodyTooLarge)
	}
	m := make(metadata, len(meta))
	for k, v := range meta {
		m[strings.ToLower(k)] = v
	}
	if fail := m.check(); fail != nil {
		return fail
	}
	b := newBlob(name, defaultContentType, bytes.Clone(content), m)
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	c := a.containers[container]
	if c == nil {
		return failed(codeContainerNotFound) // deleted just now
	}
	return a.store(c, b)
}

// Get returns a copy of a blob, and whether it exists.
func (a *Account) Get(container, name string) (Blob, bool) {
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	c := a.containers[container]
	if c == nil || c.blobs[name] == nil {
		return Blob{}, false
	}
	b := *c.blobs[name]
	b.Content = bytes.Clone(b.Content)
	b.Metadata = maps.Clone(b.Metadata)
	return b, true
}

// Names returns the names of a container's blobs that begin with prefix, in
// ascending order. It returns none if there is no such container.
func (a *Account) Names(container, prefix string) []string {
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	c := a.containers[container]
	if c == nil {
		return nil
	}
	from, _ := slices.BinarySearch(c.names, prefix)
	to := from
	for to < len(c.names) && strings.HasPrefix(c.names[to], prefix) {
		to++
	}
	return slices.Clone(c.names[from:to])
}

// Delete removes a blob, and reports whether it existed.
func (a *Account) Delete(container, name string) bool {
	a.containersMu.Lock()
	defer a.containersMu.Unlock()
	c := a.containers[container]
	if c == nil || c.blobs[name] == nil {
		return false
	}
	a.remove(c, name)
	return true
}
