package blob_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

func TestFaultMeetsWhatItNames(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	other := s.created(t, "other")
	put := func(c *container.Client, name string) error {
		_, err := c.NewBlockBlobClient(name).Upload(ctx(t), body(""), nil)
		return err
	}
	require.NoError(t, put(c, "x/ownership/0"))

	remove := s.AddFault(blob.Fault{
		Operation: blob.OpPutBlob, Container: "box", NameContains: "/ownership/", Code: "ServerBusy",
	})
	for range 3 {
		requireCode(t, put(c, "x/ownership/0"), 503, "ServerBusy")
	}
	require.NoError(t, put(c, "x/checkpoint/0"))
	require.NoError(t, put(other, "x/ownership/0"))
	_, err := c.NewBlobClient("x/ownership/0").GetProperties(ctx(t), nil)
	require.NoError(t, err)
	remove()
	remove()
	require.NoError(t, put(c, "x/ownership/0"))

	// A fault meets a listing by its prefix.
	s.AddFault(blob.Fault{Operation: blob.OpListBlobs, NameContains: "/ownership/", Code: "InternalError"})
	_, err = c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: ptr("x/ownership/")}).NextPage(ctx(t))
	requireCode(t, err, 500, "InternalError")
	_, err = c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: ptr("x/checkpoint/")}).NextPage(ctx(t))
	require.NoError(t, err)
}

// Every operation has its name, and a fault without an operation meets them
// all.
func TestFaultOfEachOperation(t *testing.T) {
	onlyOurs(t, "has no faults")
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	for op, do := range map[string]func() error{
		"CreateContainer":        func() error { _, err := c.Create(ctx(t), nil); return err },
		"GetContainerProperties": func() error { _, err := c.GetProperties(ctx(t), nil); return err },
		"DeleteContainer":        func() error { _, err := c.Delete(ctx(t), nil); return err },
		"ListBlobs":              func() error { _, err := c.NewListBlobsFlatPager(nil).NextPage(ctx(t)); return err },
		"PutBlob": func() error {
			_, err := c.NewBlockBlobClient("b").Upload(ctx(t), body(""), nil)
			return err
		},
		"SetBlobMetadata":   func() error { _, err := c.NewBlobClient("b").SetMetadata(ctx(t), nil, nil); return err },
		"GetBlobProperties": func() error { _, err := c.NewBlobClient("b").GetProperties(ctx(t), nil); return err },
		"GetBlob":           func() error { _, err := c.NewBlobClient("b").DownloadStream(ctx(t), nil); return err },
		"DeleteBlob":        func() error { _, err := c.NewBlobClient("b").Delete(ctx(t), nil); return err },
	} {
		t.Run(op, func(t *testing.T) {
			defer s.AddFault(blob.Fault{Operation: op, Status: 418, Code: "Declared"})()
			requireCode(t, do(), 418, "Declared")
			defer s.AddFault(blob.Fault{Status: 429, Code: "Any"})()
			requireCode(t, do(), 418, "Declared") // the first fault that fits
		})
	}
	s.AddFault(blob.Fault{Code: "AuthorizationPermissionMismatch"})
	_, err := c.GetProperties(ctx(t), nil)
	requireCode(t, err, 403, "AuthorizationPermissionMismatch")
}

func TestFaultTimesAndStatus(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	get := func() error { _, err := c.GetProperties(ctx(t), nil); return err }
	s.AddFault(blob.Fault{Times: 2, Status: 503})
	s.AddFault(blob.Fault{Times: 1, Status: 403})
	s.AddFault(blob.Fault{Times: 1, Status: 404})
	s.AddFault(blob.Fault{Times: 1, Status: 409})
	s.AddFault(blob.Fault{Times: 1, Status: 412})
	s.AddFault(blob.Fault{Times: 1, Status: 99, Code: "Odd"})
	s.AddFault(blob.Fault{Times: 1, Status: 1000})
	s.AddFault(blob.Fault{Times: 1, Code: "NobodyKnows"})
	s.AddFault(blob.Fault{Times: 1, Skip: 1, Status: 401})
	requireCode(t, get(), 503, "ServerBusy")
	requireCode(t, get(), 503, "ServerBusy")
	requireCode(t, get(), 403, "AuthorizationFailure")
	requireCode(t, get(), 404, "ContainerNotFound")
	requireCode(t, get(), 409, "BlobAlreadyExists")
	requireCode(t, get(), 412, "ConditionNotMet")
	requireCode(t, get(), 500, "Odd")
	requireCode(t, get(), 500, "InternalError")
	requireCode(t, get(), 500, "NobodyKnows")
	require.NoError(t, get())
	requireCode(t, get(), 401, "InvalidAuthenticationInfo")
	require.NoError(t, get())

	s.AddFault(blob.Fault{Times: 1, Status: 409})
	_, err := c.Create(ctx(t), nil)
	requireCode(t, err, 409, "ContainerAlreadyExists")
	s.AddFault(blob.Fault{Times: 1, Status: 404})
	_, err = c.NewBlobClient("b").GetProperties(ctx(t), nil)
	requireCode(t, err, 404, "BlobNotFound")
}

// Faults can meet each call of a checkpoint store alone, with each failure.
func TestFaultOfEachCallOfAStore(t *testing.T) {
	onlyOurs(t, "has no faults")
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	owned := func(owner string) map[string]*string { return map[string]*string{"ownerid": &owner} }
	list := func(kind string) error {
		pager := c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: ptr("ns/hub/$default/" + kind + "/")})
		_, err := pager.NextPage(ctx(t))
		return err
	}
	claim := func() error {
		_, err := c.NewBlockBlobClient("ns/hub/$default/ownership/0").Upload(ctx(t), body(""), &blockblob.UploadOptions{
			Metadata: owned("me"),
		})
		return err
	}
	set := func(name, owner string) error {
		_, err := c.NewBlobClient("ns/hub/$default/"+name).SetMetadata(ctx(t), owned(owner), nil)
		return err
	}
	require.NoError(t, claim())
	_, err := c.NewBlockBlobClient("ns/hub/$default/checkpoint/0").Upload(ctx(t), body(""), nil)
	require.NoError(t, err)
	calls := map[string]struct {
		fault blob.Fault
		do    func() error
	}{
		"create container": {blob.Fault{Operation: "CreateContainer"}, func() error {
			if _, err := c.Create(ctx(t), nil); !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
				return err
			}
			return nil
		}},
		"list ownership": {
			blob.Fault{Operation: "ListBlobs", NameContains: "/ownership/"}, func() error { return list("ownership") },
		},
		"list checkpoints": {
			blob.Fault{Operation: "ListBlobs", NameContains: "/checkpoint/"}, func() error { return list("checkpoint") },
		},
		"claim": {blob.Fault{Operation: "PutBlob", NameContains: "/ownership/"}, claim},
		"renew": {
			blob.Fault{Operation: "SetBlobMetadata", NameContains: "/ownership/", Metadata: map[string]string{"ownerid": "me"}},
			func() error { return set("ownership/0", "me") },
		},
		"release": {
			blob.Fault{Operation: "SetBlobMetadata", NameContains: "/ownership/", Metadata: map[string]string{"ownerid": ""}},
			func() error { return set("ownership/0", "") },
		},
		"write checkpoint": {
			blob.Fault{Operation: "SetBlobMetadata", NameContains: "/checkpoint/"},
			func() error { return set("checkpoint/0", "x") },
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{401, 403, 404, 409, 412, 429, 500, 503} {
				f := call.fault
				var happened atomic.Int64
				f.Status, f.Code, f.Happened = status, "Declared", &happened
				remove := s.AddFault(f)
				for other, call := range calls {
					if other != name {
						require.NoError(t, call.do(), other)
					}
				}
				requireCode(t, call.do(), status, "Declared")
				require.EqualValues(t, 1, happened.Load())
				remove()
				require.NoError(t, call.do())
			}
		})
	}
}

// The connection is closed, before the operation is performed or after it.
func TestFaultDropConnection(t *testing.T) {
	onlyOurs(t, "has no faults")
	s := start(t, blob.Options{})
	b := s.created(t, "box").NewBlockBlobClient("b")
	for _, after := range []bool{false, true} {
		s.AddFault(blob.Fault{Operation: blob.OpPutBlob, Times: 1, DropConnection: true, After: after})
		_, err := b.Upload(ctx(t), body("x"), nil)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, after, len(s.Names("box", "")) == 1)
	}
}

// The answer is lost: the blob is stored, and the client gets a failure.
func TestFaultAfter(t *testing.T) {
	s := start(t, blob.Options{})
	b := s.created(t, "box").NewBlockBlobClient("b")
	s.AddFault(blob.Fault{Operation: blob.OpPutBlob, Times: 1, Code: "InternalError"})
	_, err := b.Upload(ctx(t), body(""), nil)
	requireCode(t, err, 500, "InternalError")
	require.Empty(t, s.Names("box", ""))

	s.AddFault(blob.Fault{Operation: blob.OpPutBlob, Times: 1, Code: "InternalError", After: true})
	_, err = b.Upload(ctx(t), body(""), nil)
	requireCode(t, err, 500, "InternalError")
	require.Equal(t, []string{"b"}, s.Names("box", ""))

	// After without a failure only delays the answer, which keeps the operation's
	// own error.
	s.AddFault(blob.Fault{Times: 1, Delay: time.Millisecond, After: true})
	_, err = b.SetMetadata(ctx(t), nil, &azblobblob.SetMetadataOptions{AccessConditions: ifMatch("0x1")})
	requireCode(t, err, 412, "ConditionNotMet")
}

func TestFaultDelay(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	s.AddFault(blob.Fault{Times: 1, Delay: 50 * time.Millisecond})
	begin := time.Now()
	_, err := c.GetProperties(ctx(t), nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), 50*time.Millisecond)

	s.AddFault(blob.Fault{Times: 1, Delay: time.Hour})
	short, cancel := context.WithTimeout(ctx(t), 20*time.Millisecond)
	defer cancel()
	_, err = c.GetProperties(short, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// A fault that hangs ends when the client has gone. Otherwise the server, which
// waits for its requests, could not be closed.
func TestFaultHang(t *testing.T) {
	s := start(t, blob.Options{})
	b := s.created(t, "box").NewBlockBlobClient("b")
	s.AddFault(blob.Fault{Operation: blob.OpPutBlob, Hang: true})
	short, cancel := context.WithTimeout(ctx(t), 20*time.Millisecond)
	defer cancel()
	_, err := b.Upload(short, body("content"), nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	closed := make(chan struct{})
	go func() { s.http.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the request still hangs")
		s.Close()
		<-closed
	}
	require.Empty(t, s.Names("box", ""))
}

// When a request ends during a fault, its answer must not look like success.
func TestHangNeverSucceeds(t *testing.T) {
	account, err := blob.New(blob.Options{})
	require.NoError(t, err)
	require.NoError(t, account.CreateContainer("box"))
	account.AddFault(blob.Fault{Hang: true})
	gone, cancel := context.WithCancelCause(ctx(t))
	cancel(errors.New("gone"))
	r := httptest.NewRequestWithContext(gone, "GET", "https://host/devstoreaccount1/box?restype=container", nil)
	date := time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
	r.Header.Set("x-ms-version", "2024-11-04")
	r.Header.Set("x-ms-date", date)
	r.Header.Set("Authorization", "SharedKey devstoreaccount1:"+hmacOf(t, blob.DevelopmentKey,
		"GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:"+date+"\nx-ms-version:2024-11-04\n"+
			"/devstoreaccount1/devstoreaccount1/box\nrestype:container"))
	w := httptest.NewRecorder()
	account.ServeHTTP(w, r)
	require.Equal(t, 500, w.Code)
	require.Equal(t, "OperationTimedOut", w.Header().Get("x-ms-error-code"))
}

func TestClose(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	met := make(chan error, 1)
	s.AddFault(blob.Fault{Times: 1, Hang: true, After: true})
	go func() {
		_, err := c.NewBlockBlobClient("a").Upload(ctx(t), body(""), nil)
		met <- err
	}()
	// Once the blob exists, the request hangs, or is about to.
	require.Eventually(t, func() bool { return len(s.Names("box", "")) == 1 }, 10*time.Second, time.Millisecond)
	s.Close()
	s.Close()
	requireCode(t, <-met, 503, "ServerBusy")
	_, err := c.Create(ctx(t), nil)
	requireCode(t, err, 503, "ServerBusy")
	require.NoError(t, s.Put("box", "b", nil, nil))
	require.Equal(t, []string{"a", "b"}, s.Names("box", ""))
}
