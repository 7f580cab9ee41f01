package blob_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// dated makes the client sign for a time that the test chooses.
type dated time.Time

func (d dated) Do(r *policy.Request) (*http.Response, error) {
	// azblob looks for an existing date under exactly this key.
	r.Raw().Header["x-ms-date"] = []string{time.Time(d).UTC().Format(http.TimeFormat)}
	return r.Next()
}

// at returns a client of a container whose clock says then.
func (s *server) at(t testing.TB, name string, then time.Time) *container.Client {
	t.Helper()
	cred, err := container.NewSharedKeyCredential(s.account, s.key)
	require.NoError(t, err)
	o := s.options()
	o.PerCallPolicies = []policy.Policy{dated(then)}
	c, err := container.NewClientWithSharedKeyCredential(s.url(name), cred, &container.ClientOptions{ClientOptions: o})
	require.NoError(t, err)
	return c
}

func TestWrongKey(t *testing.T) {
	s := start(t, blob.Options{Key: []byte("one")})
	s.key = "dHdv" // "two"
	_, err := s.client(t, "box").Create(ctx(t), nil)
	requireCode(t, err, 403, "AuthenticationFailed")
	require.NotContains(t, err.Error(), "b25l") // "one"
	s.key = "b25l"
	_, err = s.client(t, "box").Create(ctx(t), nil)
	require.NoError(t, err)
}

func TestWrongAccount(t *testing.T) {
	onlyOurs(t, "answers 404 for another account")
	s := start(t, blob.Options{})
	s.account = "someoneelse"
	_, err := s.client(t, "box").Create(ctx(t), nil)
	requireCode(t, err, 403, "AuthenticationFailed")
	require.Contains(t, err.Error(), "another account")
}

func TestClockSkew(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := start(t, blob.Options{Now: func() time.Time { return now }})
	require.NoError(t, s.CreateContainer("box"))
	for offset, ok := range map[time.Duration]bool{
		0:                             true,
		15 * time.Minute:              true,
		-15 * time.Minute:             true,
		15*time.Minute + time.Second:  false,
		-15*time.Minute - time.Second: false,
		-24 * time.Hour:               false,
	} {
		_, err := s.at(t, "box", now.Add(offset)).GetProperties(ctx(t), nil)
		if ok {
			require.NoError(t, err, offset)
			continue
		}
		requireCode(t, err, 403, "AuthenticationFailed")
	}
}

// The strings to sign are those of "Authorize with Shared Key" in Azure's
// documentation, with a newer version and, once, with the emulators' URL.
func TestStringToSign(t *testing.T) {
	now := time.Date(2015, 6, 26, 23, 39, 12, 0, time.UTC)
	s := start(t, blob.Options{Account: "myaccount", Now: func() time.Time { return now }})
	require.NoError(t, s.Put("mycontainer", "a/b c", []byte("hello"), nil))
	for _, test := range []struct {
		name, method, target, toSign string
		header                       map[string]string
	}{
		{
			name: "list in the service's style", method: "GET",
			target: "/mycontainer?restype=container&comp=list&include=snapshots&include=metadata&include=uncommittedblobs",
			header: map[string]string{"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21"},
			toSign: "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n" +
				"x-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:list\n" +
				"include:metadata,snapshots,uncommittedblobs\nrestype:container",
		},
		{
			name: "list in the emulators' style", method: "GET",
			target: "/myaccount/mycontainer?restype=container&comp=list&timeout=20",
			header: map[string]string{"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21"},
			toSign: "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 " +
				"GMT\nx-ms-version:2015-02-21\n/myaccount/myaccount/mycontainer\ncomp:list\nrestype:container\ntimeout:20",
		},
		{
			name: "every standard header", method: "GET", target: "/mycontainer/a%2Fb%20c",
			header: map[string]string{
				"Date": "Fri, 26 Jun 2015 23:39:12 GMT", "x-ms-version": "2015-02-21",
				"Content-Encoding": "identity", "Content-Language": "en", "Content-MD5": "sQqNsWTgdUEFt6mb5y4/5Q==",
				"Content-Type":      "text/plain",
				"If-Modified-Since": "Thu, 25 Jun 2015 00:00:00 GMT", "If-Match": "*", "If-None-Match": "x",
				"If-Unmodified-Since": "Sat, 27 Jun 2015 00:00:00 GMT", "Range": "bytes=1-2",
			},
			toSign: "GET\nidentity\nen\n\nsQqNsWTgdUEFt6mb5y4/5Q==\ntext/plain\nFri, 26 Jun 2015 23:39:12 GMT\nThu, 25 Jun " +
				"2015 00:00:00 GMT\n*\nx\nSat, 27 Jun 2015 00:00:00 " +
				"GMT\nbytes=1-2\nx-ms-version:2015-02-21\n/myaccount/mycontainer/a%2Fb%20c",
		},
		{
			// Hyphens don't count, and '_' sorts before letters. Date is ignored.
			name: "order of headers", method: "GET", target: "/mycontainer/a%2Fb%20c",
			header: map[string]string{
				"x-ms-date": "Fri, 26 Jun 2015 23:39:12 GMT", "Date": "Thu, 01 Jan 2015 00:00:00 GMT", "x-ms-version": "2015-02-21",
				"x-ms-meta-a_b": "1", "x-ms-meta-aab": "2", "x-ms-meta-a-c": "3", "x-ms-meta-a9": "4",
				"x-ms-meta-d-ef": "5", "x-ms-meta-de-f": "6",
			},
			toSign: "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n" +
				"x-ms-meta-a_b:1\nx-ms-meta-a9:4\nx-ms-meta-aab:2\nx-ms-meta-a-c:3\n" +
				"x-ms-meta-de-f:6\nx-ms-meta-d-ef:5\nx-ms-version:2015-02-21\n/myaccount/mycontainer/a%2Fb%20c",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(ctx(t), test.method, s.http.URL+test.target, nil)
			require.NoError(t, err)
			for name, value := range test.header {
				r.Header.Set(name, value)
			}
			r.Header.Set("Authorization", "SharedKey myaccount:"+hmacOf(t, blob.DevelopmentKey, test.toSign))
			resp, content := s.send(t, r)
			require.Less(t, resp.StatusCode, 300, "%s", content)

			r.Header.Set("x-ms-later", "1") // not signed
			resp, _ = s.send(t, r)
			require.Equal(t, http.StatusForbidden, resp.StatusCode)
		})
	}
}

func TestCredentialsThatAreNone(t *testing.T) {
	s := start(t, blob.Options{Now: func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }})
	require.NoError(t, s.CreateContainer("box"))
	for _, test := range []struct {
		name, authorization, version, date, query string
		status                                    int
		code                                      string
	}{
		{name: "none", version: "2024-11-04", status: 401, code: "NoAuthenticationInformation"},
		{name: "shared access signature", query: "&sv=2024-11-04&sig=abc", status: 403, code: "AuthenticationFailed"},
		{name: "no version", authorization: "SharedKey devstoreaccount1:x", status: 400, code: "MissingRequiredHeader"},
		{
			name: "old version", authorization: "SharedKey devstoreaccount1:x", version: "2009-09-19", status: 400,
			code: "InvalidHeaderValue",
		},
		{
			name: "version that is none", authorization: "SharedKey devstoreaccount1:x", version: "9999", status: 400,
			code: "InvalidHeaderValue",
		},
		{
			name: "no colon", authorization: "SharedKey devstoreaccount1", version: "2024-11-04", status: 400,
			code: "InvalidAuthenticationInfo",
		},
		{
			name: "no date", authorization: "SharedKey devstoreaccount1:x", version: "2024-11-04", status: 403,
			code: "AuthenticationFailed",
		},
		{
			name: "date that is none", authorization: "SharedKey devstoreaccount1:x", version: "2024-11-04", date: "today",
			status: 403, code: "AuthenticationFailed",
		},
		{
			name: "no signature", authorization: "SharedKey devstoreaccount1:", version: "2024-11-04",
			date: "Thu, 01 Jan 2026 00:00:00 GMT", status: 403, code: "AuthenticationFailed",
		},
		{
			name: "lite", authorization: "SharedKeyLite devstoreaccount1:x", version: "2024-11-04", status: 403,
			code: "AuthenticationFailed",
		},
		{name: "no scheme", authorization: "hunter2", version: "2024-11-04", status: 403, code: "AuthenticationFailed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(ctx(t), "GET", s.url("box?restype=container"+test.query), nil)
			require.NoError(t, err)
			for name, value := range map[string]string{
				"Authorization": test.authorization, "x-ms-version": test.version, "x-ms-date": test.date,
			} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			resp, content := s.send(t, r)
			require.Equal(t, test.status, resp.StatusCode)
			require.Equal(t, test.code, resp.Header.Get("x-ms-error-code"))
			require.Contains(t, string(content), "<Code>"+test.code+"</Code>")
			require.NotContains(t, string(content), "hunter2")
			if test.code == "NoAuthenticationInformation" {
				require.Contains(t, resp.Header.Get("WWW-Authenticate"), "resource_id=https://storage.azure.com")
			}
		})
	}
}

func TestBearerOverPlainHTTPIsRefused(t *testing.T) {
	s := start(t, blob.Options{Bearer: func(string, *http.Request) error {
		t.Error("consulted over plain HTTP")
		return nil
	}})
	require.NoError(t, s.CreateContainer("box"))
	resp, e := s.raw(t, "GET", "box?restype=container", "")
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	require.Equal(t, "AuthenticationFailed", e.Code)
	require.Contains(t, e.Detail, "HTTP")
}

// token is a credential for the SDK.
type token string

func (c token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func (s *server) withToken(t testing.TB, value string) *container.Client {
	t.Helper()
	c, err := container.NewClient(s.url("box"), token(value), &container.ClientOptions{ClientOptions: s.options()})
	require.NoError(t, err)
	return c
}

func TestBearerOverTLS(t *testing.T) {
	s := bearer(t, blob.Options{})
	_, err := s.withToken(t, "good").Create(ctx(t), nil)
	require.NoError(t, err)

	_, err = s.withToken(t, "bad").GetProperties(ctx(t), nil)
	requireCode(t, err, 401, "InvalidAuthenticationInfo")
	require.Contains(t, err.Error(), "the token is not good")

	none := serve(t, blob.Options{}, (*httptest.Server).StartTLS)
	_, err = none.withToken(t, "good").Create(ctx(t), nil)
	requireCode(t, err, 401, "InvalidAuthenticationInfo")
}

// In the service's own style, the account is in the host name, and a container
// may have the name of the account.
func TestServiceStyle(t *testing.T) {
	onlyOurs(t, "takes any first part of a path for the account")
	s := start(t, blob.Options{})
	cred, err := container.NewSharedKeyCredential(s.account, s.key)
	require.NoError(t, err)
	address, err := url.Parse(s.http.URL)
	require.NoError(t, err)
	for _, path := range []string{"http://devstoreaccount1.blob.test/devstoreaccount1", "http://elsewhere.test/box"} {
		o := s.options()
		o.Transport = &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(address), DisableKeepAlives: true}}
		c, err := container.NewClientWithSharedKeyCredential(path, cred, &container.ClientOptions{ClientOptions: o})
		require.NoError(t, err)
		_, err = c.Create(ctx(t), nil)
		require.NoError(t, err)
		_, err = c.NewBlockBlobClient("a/b").Upload(ctx(t), body("x"), nil)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"a/b"}, s.Names("devstoreaccount1", ""))
	require.Equal(t, []string{"a/b"}, s.Names("box", ""))
}
