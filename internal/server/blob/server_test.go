package blob_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// server is an account behind a real socket.
type server struct {
	storage
	http    *httptest.Server
	account string
	key     string
}

func start(t testing.TB, o blob.Options) *server {
	t.Helper()
	if connectionString := azuriteAccount(); connectionString != "" && reflect.ValueOf(o).IsZero() {
		return startAzurite(t, connectionString)
	}
	return serve(t, o, (*httptest.Server).Start)
}

func serve(t testing.TB, o blob.Options, begin func(*httptest.Server)) *server {
	t.Helper()
	account, err := blob.New(o)
	require.NoError(t, err)
	s := &server{storage: account, account: "devstoreaccount1", key: blob.DevelopmentKey}
	if o.Account != "" {
		s.account = o.Account
	}
	s.http = httptest.NewUnstartedServer(account)
	begin(s.http)
	t.Cleanup(s.http.Close)
	t.Cleanup(account.Close)
	return s
}

// url returns the URL of a container or blob, in the emulators' style.
func (s *server) url(path string) string { return s.http.URL + "/" + s.account + "/" + path }

// options returns the options of an SDK client that does not retry.
func (s *server) options() azcore.ClientOptions {
	return azcore.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: s.http.Client(),
	}
}

// client returns a client of a container, which need not exist.
func (s *server) client(t testing.TB, name string) *container.Client {
	t.Helper()
	cred, err := container.NewSharedKeyCredential(s.account, s.key)
	require.NoError(t, err)
	c, err := container.NewClientWithSharedKeyCredential(
		s.url(name), cred, &container.ClientOptions{ClientOptions: s.options()},
	)
	require.NoError(t, err)
	return c
}

// created returns a client of a container that exists.
func (s *server) created(t testing.TB, name string) *container.Client {
	t.Helper()
	require.NoError(t, s.CreateContainer(name))
	return s.client(t, name)
}

// requireCode checks that err is the service's error with that status and code.
func requireCode(t testing.TB, err error, status int, code string) {
	t.Helper()
	var respErr *azcore.ResponseError
	require.ErrorAs(t, err, &respErr)
	require.Equal(t, code, respErr.ErrorCode)
	require.Equal(t, status, respErr.StatusCode)
}

func ctx(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

func ptr[T any](v T) *T { return &v }

func body(s string) io.ReadSeekCloser { return nopCloser{bytes.NewReader([]byte(s))} }

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func ifMatch(etag azcore.ETag) *azblobblob.AccessConditions {
	return &azblobblob.AccessConditions{ModifiedAccessConditions: &azblobblob.ModifiedAccessConditions{IfMatch: &etag}}
}

func ifNoneMatch(etag azcore.ETag) *azblobblob.AccessConditions {
	return &azblobblob.AccessConditions{ModifiedAccessConditions: &azblobblob.ModifiedAccessConditions{IfNoneMatch: &etag}}
}

// hmacOf returns the signature of the Shared Key scheme. It does not use the
// code under test.
func hmacOf(t testing.TB, key, s string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	require.NoError(t, err)
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(s))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// xmlError is the body of an error.
type xmlError struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	Detail  string `xml:"AuthenticationErrorDetail"`
}

// send sends a request that the test has made.
func (s *server) send(t testing.TB, r *http.Request) (*http.Response, []byte) {
	t.Helper()
	resp, err := s.http.Client().Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, content
}

// bearer starts a server over TLS that accepts the token "good", for tests that
// set headers which azblob doesn't.
func bearer(t testing.TB, o blob.Options) *server {
	t.Helper()
	o.Bearer = func(token string, _ *http.Request) error {
		if token != "good" {
			return errors.New("the token is not good")
		}
		return nil
	}
	return serve(t, o, (*httptest.Server).StartTLS)
}

// raw sends a request with the token "good". Headers come in pairs.
func (s *server) raw(t testing.TB, method, path, content string, headers ...string) (*http.Response, xmlError) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx(t), method, s.url(path), strings.NewReader(content))
	require.NoError(t, err)
	r.Header.Set("x-ms-version", "2024-11-04")
	r.Header.Set("Authorization", "Bearer good")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, answer := s.send(t, r)
	var e xmlError
	if resp.StatusCode >= 400 && method != http.MethodHead {
		require.NoError(t, xml.Unmarshal(answer, &e), "%s", answer)
		require.Equal(t, resp.Header.Get("x-ms-error-code"), e.Code)
	}
	return resp, e
}
