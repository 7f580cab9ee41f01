package blob_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

// FuzzServeHTTP sends anything that net/http accepts as a request, with a
// bearer token, and requires a well-formed answer.
func FuzzServeHTTP(f *testing.F) {
	for _, seed := range [][4]string{
		{"PUT", "/devstoreaccount1/new?restype=container", "x-ms-meta-a: 1\r\n", ""},
		{"GET", "/devstoreaccount1/box?restype=container", "", ""},
		{"DELETE", "/devstoreaccount1/box?restype=container", "If-Unmodified-Since: Fri, 02 Jan 2026 03:04:05 GMT\r\n", ""},
		{"GET", "/box?restype=container&comp=list&include=metadata&prefix=a&delimiter=/&maxresults=1&marker=YQ", "", ""},
		{
			"PUT", "/box/a/b%20%24?timeout=3", "x-ms-blob-type: BlockBlob\r\nIf-None-Match: *\r\nx-ms-meta-ownerid:\r\n",
			"hello",
		},
		{
			"PUT", "/box/a/b",
			"x-ms-blob-type: BlockBlob\r\nContent-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\nx-ms-content-crc64: AAAAAAAAAAA=\r\n",
			"hello",
		},
		{"PUT", "/box/a?comp=metadata", "If-Match: \"0x1\"\r\nx-ms-meta-a: b\r\n", ""},
		{"HEAD", "/box/a", "If-None-Match: 0x1\r\nIf-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT\r\n", ""},
		{"GET", "/box/a", "x-ms-range: bytes=1-2\r\nx-ms-range-get-content-md5: true\r\n", ""},
		{"GET", "/box/a", "Range: bytes=9223372036854775807-\r\n", ""},
		{"DELETE", "/box/a", "x-ms-delete-snapshots: only\r\nx-ms-lease-id: 1\r\n", ""},
		{"GET", "/box/a", "Authorization: SharedKey devstoreaccount1:x\r\nx-ms-date: Fri, 02 Jan 2026 03:04:05 GMT\r\n", ""},
		{"OPTIONS", "*", "x-ms-version: 1\r\n", ""},
		{"GET", "http://devstoreaccount1.x//a//%2e%2e/%ff?;&%zz", "Host: devstoreaccount1.x\r\n", ""},
		{"GET", "/box?restype=container&sig=1&sv=1", "x-ms-client-request-id: \x7f\r\n", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, target, headers, content string) {
		text := fmt.Sprintf(
			"%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", method, target, headers, len(content), content,
		)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Skip()
		}
		r.TLS = &tls.ConnectionState{}
		if r.Header.Get("Authorization") == "" {
			r.Header.Set("Authorization", "Bearer x")
		}
		if r.Header.Get("x-ms-version") == "" {
			r.Header.Set("x-ms-version", "2024-11-04")
		}
		account, err := blob.New(blob.Options{MaxBlobSize: 1000, Bearer: func(string, *http.Request) error { return nil }})
		require.NoError(t, err)
		require.NoError(t, account.Put("box", "a", []byte("content"), map[string]string{"ownerid": ""}))
		require.NoError(t, account.Put("box", "a/b", nil, nil))

		w := httptest.NewRecorder()
		account.ServeHTTP(w, r)
		requireWellFormed(t, r, w)
	})
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func requireWellFormed(t *testing.T, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	var wire bytes.Buffer
	require.NoError(t, w.Result().Header.Write(&wire))
	require.Regexp(t, guid, w.Header().Get("x-ms-request-id"))
	require.NotEmpty(t, w.Header().Get("x-ms-version"))
	_, err := http.ParseTime(w.Header().Get("Date"))
	require.NoError(t, err)

	code := w.Header().Get("x-ms-error-code")
	switch {
	case r.Method == http.MethodHead || w.Code == http.StatusNotModified:
		require.Zero(t, w.Body.Len())
	case w.Code >= 400:
		var e xmlError
		require.NoError(t, xml.Unmarshal(w.Body.Bytes(), &e), "%s", w.Body)
		require.Equal(t, code, e.Code)
	case strings.HasPrefix(w.Body.String(), "<?xml"):
		var page struct {
			XMLName xml.Name `xml:"EnumerationResults"`
		}
		require.NoError(t, xml.Unmarshal(w.Body.Bytes(), &page), "%s", w.Body)
	}
	if w.Code >= 300 {
		require.NotEmpty(t, code)
		require.NotEqual(t, "InternalError", code)
		require.Less(t, w.Code, 500)
		return
	}
	require.Empty(t, code)
	require.Contains(t, []int{200, 201, 202, 206}, w.Code)
}

// onPaper passes requests to a handler as text, as a socket would.
type onPaper struct{ http.Handler }

func (h onPaper) Do(r *http.Request) (*http.Response, error) {
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		return nil, err
	}
	parsed, err := http.ReadRequest(bufio.NewReader(&text))
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, parsed.WithContext(r.Context()))
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// sendable matches values that net/http sends as azblob signs them: azblob does
// not trim.
var sendable = regexp.MustCompile(`^([!-~]([ -~]*[!-~])?)?$`)

var headerToken = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// FuzzSharedKey lets azblob sign requests with any names and metadata. The
// server must compute the same signature, and understand the same names.
func FuzzSharedKey(f *testing.F) {
	f.Add("ns/hub/$Default/ownership/0", "ns/hub/$Default/", "ownerid", "", "other_one", "")
	f.Add(" +?%#é/..//./\\", " +", "a_b", "x y", "a-b", "")
	f.Add("\x00\n\u2028\"<>[]^`{|}", "\"", "aa", "é", "a9", "content")
	f.Add("~*'();:@&=+$,/", "&=", "Z", "1,2", "z", "content")
	f.Fuzz(func(t *testing.T, name, prefix, metaName, metaValue, metaName2, content string) {
		if name == "" || !utf8.ValidString(name) || !utf8.ValidString(prefix) ||
			!headerToken.MatchString(metaName) || !headerToken.MatchString(metaName2) ||
			strings.EqualFold(metaName, metaName2) || !sendable.MatchString(metaValue) {
			t.Skip()
		}
		account, err := blob.New(blob.Options{})
		require.NoError(t, err)
		require.NoError(t, account.CreateContainer("box"))
		cred, err := container.NewSharedKeyCredential(blob.DevelopmentAccount, blob.DevelopmentKey)
		require.NoError(t, err)
		options := &container.ClientOptions{
			ClientOptions: azcore.ClientOptions{Transport: onPaper{account}, Retry: policy.RetryOptions{MaxRetries: -1}},
		}
		c, err := container.NewClientWithSharedKeyCredential("http://host/devstoreaccount1/box", cred, options)
		require.NoError(t, err)
		_, err = c.NewBlockBlobClient(name).Upload(context.Background(), body(content), &blockblob.UploadOptions{
			Metadata:    map[string]*string{metaName: &metaValue, metaName2: ptr("2")},
			HTTPHeaders: &azblobblob.HTTPHeaders{BlobContentType: ptr("a/b")},
		})
		if err != nil {
			var respErr *azcore.ResponseError
			require.True(t, errors.As(err, &respErr), "%v", err)
			require.Contains(t, []string{"InvalidMetadata", "OutOfRangeInput", "MetadataTooLarge"}, respErr.ErrorCode, "%v", err)
			return
		}
		kept, there := account.Get("box", name)
		require.True(t, there)
		require.Equal(t, metaValue, kept.Metadata[strings.ToLower(metaName)])
		require.Equal(t, content, string(kept.Content))

		page, err := c.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix}).NextPage(context.Background())
		require.NoError(t, err)
		if !strings.HasPrefix(name, prefix) {
			require.Empty(t, page.Segment.BlobItems)
			return
		}
		require.Len(t, page.Segment.BlobItems, 1)
		require.Equal(t, name, *page.Segment.BlobItems[0].Name)
	})
}
