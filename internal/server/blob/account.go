package blob

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// DevelopmentAccount and DevelopmentKey (base64) are the well-known account name
// and key that Azure's storage emulators use. They protect nothing.
const (
	DevelopmentAccount = "devstoreaccount1"
	DevelopmentKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Defaults of Options, and limits that can't be changed.
const (
	defaultMaxBlobSize = 4 << 20
	defaultMaxBlobs    = 100_000
	defaultMaxBytes    = 256 << 20
	maxContainers      = 1_000
	// maxUnderway bounds the bytes of request and answer bodies in flight, over
	// all clients.
	maxUnderway = 128 << 20
)

// Options describes an [Account]: its name, who may use it, and how much it
// keeps. The zero value is the account of the emulators with the limits given
// below.
type Options struct {
	// Account is the account's name: 3 to 24 lower-case letters and digits.
	// "" means [DevelopmentAccount].
	Account string

	// Key is the shared key, decoded. nil means [DevelopmentKey].
	Key []byte

	// Bearer decides on a bearer token. ErrNoRole refuses the request with 403,
	// any other error with 401. The error's text goes to the client, so it must
	// not hold the token. Bearer is called concurrently, and only for requests
	// that came over TLS: over plain HTTP, bearer tokens are refused, as on
	// Azure. nil refuses them all.
	Bearer func(token string, r *http.Request) error

	// MaxBlobSize is the largest content of one blob, in bytes. 0 means 4 MiB.
	// Larger content is answered with RequestBodyTooLarge.
	MaxBlobSize int64

	// MaxBlobs is the largest number of blobs in the account. 0 means 100,000. A
	// write beyond it is answered with ServerBusy.
	MaxBlobs int

	// MaxBytes bounds the bytes of names, metadata and content in the account. 0
	// means 256 MiB. A write beyond it is answered with ServerBusy.
	MaxBytes int64

	// HierarchicalNamespace and SoftDelete are settings that Microsoft advises
	// against for checkpoints. The first is only reported to clients that ask.
	// With the second, a listing with include=deleted shows that blobs were
	// overwritten.
	HierarchicalNamespace bool
	SoftDelete            bool
	// Now is the account's clock, for Last-Modified, Date, and the check that a
	// signed request is at most 15 minutes off. nil means [time.Now]. It is called
	// concurrently.
	Now func() time.Time
}

// Account holds the containers and blobs of one storage account in memory, and
// answers the Blob REST API for them. Its methods are safe for concurrent use,
// and each operation is atomic. It starts no goroutines. Create one with [New].
type Account struct {
	options Options

	closing sync.Once
	closed  chan struct{}

	faults   faults
	underway atomic.Int64 // bytes of bodies in flight

	containersMu sync.Mutex
	containers   map[string]*container
	blobs        int    // in all containers
	bytes        int64  // in all containers, see Blob.size
	lastETag     uint64 // ETags are handed out in ascending order
}

// New returns an empty account. It is an error if an option is not valid.
func New(o Options) (*Account, error) {
	if o.Account == "" {
		o.Account = DevelopmentAccount
	}
	if !validAccount(o.Account) {
		return nil, fmt.Errorf("blob: account name %q: use 3 to 24 lower-case letters and digits", o.Account)
	}
	if o.MaxBlobSize < 0 || o.MaxBlobs < 0 || o.MaxBytes < 0 {
		return nil, fmt.Errorf("blob: account %s: a limit is negative: use 0 for its default", o.Account)
	}
	if o.Key == nil {
		key, err := base64.StdEncoding.DecodeString(DevelopmentKey)
		if err != nil {
			return nil, fmt.Errorf("blob: decode the development key: %w", err)
		}
		o.Key = key
	}
	if o.MaxBlobSize == 0 {
		o.MaxBlobSize = defaultMaxBlobSize
	}
	if o.MaxBlobs == 0 {
		o.MaxBlobs = defaultMaxBlobs
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Account{
		options:    o,
		closed:     make(chan struct{}),
		containers: make(map[string]*container),
		// ETags of this account must not match those of an earlier run by chance.
		lastETag: uint64(time.Now().UnixNano()),
	}, nil
}

// Close ends every answer that a [Fault] holds back, and makes the account
// answer all further requests with ServerBusy. It does not wait for requests in
// progress; the [http.Server] does. What is stored can still be inspected.
// Close may be called more than once.
func (a *Account) Close() {
	a.closing.Do(func() { close(a.closed) })
}

func (a *Account) isClosed() bool {
	select {
	case <-a.closed:
		return true
	default:
		return false
	}
}

// ServeHTTP answers one request of the Blob REST API. The URL's path is either
// /{account}/{container}/{blob}, as with the emulators, or /{container}/{blob},
// as with the service. It is the latter if the first segment is not the
// account's name, or if the host name begins with "{account}.".
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp, fail := a.serve(r)
	if fail == nil && resp != nil {
		var done func()
		if done, fail = a.begin(int64(len(resp.body))); fail == nil {
			defer done()
		}
	}
	if fail != nil {
		if fail.aborts {
			panic(http.ErrAbortHandler) // makes net/http close the connection without an answer
		}
		resp = a.errorResponse(fail)
	}
	a.write(w, r, resp)
}

// begin counts the bytes of a body as in flight until done is called.
func (a *Account) begin(n int64) (done func(), fail *failure) {
	done = func() { a.underway.Add(-n) }
	if a.underway.Add(n) > maxUnderway && n > 0 {
		done()
		return nil, failed(codeServerBusy).because("more than %d bytes are in flight", int64(maxUnderway))
	}
	return done, nil
}

// serve finds the operation of a request and performs it. A fault comes after
// the checks of the request, so it meets valid requests only.
func (a *Account) serve(r *http.Request) (*response, *failure) {
	if a.isClosed() {
		return nil, failed(codeServerBusy).because("this account is closed")
	}
	c, fail := a.parse(r)
	if fail != nil {
		return nil, fail
	}
	if fail := a.authenticate(c, r); fail != nil {
		return nil, fail
	}
	if fail := c.route(); fail != nil {
		return nil, fail
	}
	// The body is read before anything waits: net/http notices that a client has
	// gone only once the body is read.
	if c.op == OpPutBlob {
		done, fail := a.begin(max(0, min(c.length, a.options.MaxBlobSize)))
		if fail != nil {
			return nil, fail
		}
		defer done()
	}
	if fail := c.readBody(r, a.options.MaxBlobSize); fail != nil {
		return nil, fail
	}

	fault, declared := a.faults.take(c)
	if declared && !fault.After {
		if fail := a.hold(r.Context(), fault, c.op); fail != nil {
			return nil, fail
		}
	}
	resp, opFail := a.perform(c)
	if declared && fault.After {
		if fail := a.hold(r.Context(), fault, c.op); fail != nil {
			return nil, fail
		}
	}
	return resp, opFail
}

// perform performs the operation that route has found.
func (a *Account) perform(c *call) (*response, *failure) {
	switch c.op {
	case OpCreateContainer:
		return a.createContainer(c)
	case OpGetContainerProperties:
		return a.getContainerProperties(c)
	case OpDeleteContainer:
		return a.deleteContainer(c)
	case OpGetAccountInformation:
		return a.accountInformation(), nil
	case OpListBlobs:
		return a.listBlobs(c)
	case OpPutBlob:
		return a.putBlob(c)
	case OpSetBlobMetadata:
		return a.setBlobMetadata(c)
	case OpGetBlobProperties:
		return a.getBlobProperties(c)
	case OpGetBlob:
		return a.getBlob(c)
	case OpDeleteBlob:
		return a.deleteBlob(c)
	}
	return nil, failed(codeInternalError).because("no such operation: %s", c.op)
}
