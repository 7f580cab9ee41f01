package blob

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is a declared failure: which operations it meets, how often, and what
// happens to them. It meets only requests that are authorized and well formed.
// If several faults fit an operation, the one that was added first is used.
//
// A fault with neither Status, Code, Hang nor DropConnection only delays.
type Fault struct {
	// Operation is one of the Op constants; "" means all.
	Operation string

	// Container is the container's name; "" means all.
	Container string

	// NameContains is part of the blob's name, or of the prefix in ListBlobs:
	// "/ownership/", say. "" means all. Operations on containers have no name.
	NameContains string

	// Metadata are values that the request must carry, by name. nil means any.
	Metadata map[string]string

	// Skip is how many operations succeed before the fault happens.
	Skip int

	// Times is how often the fault happens. 0 means until it is removed.
	Times int

	// Happened counts how often the fault has happened. nil means no counting.
	Happened *atomic.Int64

	// Status is the HTTP status of the answer, from 400 to 599. Any other value
	// means 500, except 0, which means the status that belongs to Code.
	Status int

	// Code is the service's error code. "" means one that fits Status.
	Code string

	// Delay comes before the answer: before the operation, or after it if After is
	// set.
	Delay time.Duration

	// Hang means that no answer comes until the client gives up or the account is
	// closed.
	Hang bool

	// DropConnection means that the connection is closed instead of an answer.
	DropConnection bool

	// After means that the operation is performed, and only its answer is lost:
	// the client gets the failure.
	After bool
}

// matches reports whether the fault applies to an operation, apart from Skip
// and Times.
func (f Fault) matches(c *call) bool {
	name := c.name
	if c.op == OpListBlobs {
		name = c.param("prefix")
	}
	for key, value := range f.Metadata {
		if values := c.header.Values(metadataPrefix + key); len(values) == 0 || values[0] != value {
			return false
		}
	}
	return (f.Operation == "" || f.Operation == c.op) &&
		(f.Container == "" || f.Container == c.container) &&
		strings.Contains(name, f.NameContains)
}

// failure returns the answer of the fault, or nil if it only delays. op is the
// operation that it met.
func (f Fault) failure(op string) *failure {
	if f.DropConnection {
		return &failure{aborts: true}
	}
	if f.Status == 0 && f.Code == "" {
		return nil
	}
	code := f.Code
	if code == "" {
		code = codeFor(f.Status, op)
	}
	fail := failed(code)
	switch {
	case f.Status == 0:
	case f.Status < 400 || f.Status > 599:
		fail.status = http.StatusInternalServerError
	default:
		fail.status = f.Status
	}
	return fail
}

// codeFor returns the code with which an operation fails most often, among
// those with a status.
func codeFor(status int, op string) string {
	switch status {
	case http.StatusUnauthorized:
		return codeInvalidAuthenticationInfo
	case http.StatusForbidden:
		return codeAuthorizationFailure
	case http.StatusConflict:
		if op == OpCreateContainer {
			return codeContainerAlreadyExists
		}
		return codeBlobAlreadyExists
	case http.StatusNotFound:
		switch op {
		case OpCreateContainer, OpGetContainerProperties, OpDeleteContainer, OpListBlobs, OpPutBlob:
			return codeContainerNotFound
		}
		return codeBlobNotFound
	case http.StatusPreconditionFailed:
		return codeConditionNotMet
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return codeServerBusy
	}
	return codeInternalError
}

// faults holds the declared faults. The zero value has none.
type faults struct {
	listMu sync.Mutex
	list   []*declared
}

type declared struct {
	Fault
	left int // how often it still happens, if Times is not 0
}

// AddFault declares a failure, and returns a function that removes it. Calling
// that function again, or after the fault is used up, does nothing. It does not
// release operations that the fault already holds up.
func (a *Account) AddFault(f Fault) (remove func()) {
	d := &declared{Fault: f, left: f.Times}
	a.faults.listMu.Lock()
	defer a.faults.listMu.Unlock()
	a.faults.list = append(a.faults.list, d)
	return func() {
		a.faults.listMu.Lock()
		defer a.faults.listMu.Unlock()
		a.faults.drop(d)
	}
}

// drop removes a fault. The caller holds fs.listMu.
func (fs *faults) drop(d *declared) {
	for i, other := range fs.list {
		if other == d {
			fs.list = append(fs.list[:i:i], fs.list[i+1:]...)
			return
		}
	}
}

// take returns the fault for an operation, and counts it.
func (fs *faults) take(c *call) (Fault, bool) {
	fs.listMu.Lock()
	defer fs.listMu.Unlock()
	for _, d := range fs.list {
		if !d.matches(c) {
			continue
		}
		if d.Skip > 0 {
			d.Skip--
			continue
		}
		if d.Happened != nil {
			d.Happened.Add(1)
		}
		if d.Times > 0 {
			if d.left--; d.left == 0 {
				fs.drop(d)
			}
		}
		return d.Fault, true
	}
	return Fault{}, false
}

// hold waits as the fault says, and returns its failure. A wait that is cut
// short is a failure, too: no answer may look like success.
func (a *Account) hold(ctx context.Context, f Fault, op string) *failure {
	var over <-chan time.Time // nil: never
	if !f.Hang {
		if f.Delay <= 0 {
			return f.failure(op)
		}
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return f.failure(op)
	case <-ctx.Done():
		return failed(codeOperationTimedOut)
	case <-a.closed:
		return failed(codeServerBusy).because("this account is closed")
	}
}
