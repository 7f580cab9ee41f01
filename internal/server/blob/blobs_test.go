package blob_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

func TestPutGetDelete(t *testing.T) {
	s := start(t, blob.Options{})
	c := s.created(t, "box")
	const name = "ns.servicebus.windows.net/hub/$Default/checkpoint/0 +?%#é"
	b := c.NewBlockBlobClient(name)

	_, err := b.DownloadStream(ctx(t), nil)
	requireCode(t, err, 404, "BlobNotFound")
	_, err = b.GetProperties(ctx(t), nil)
	requireCode(t, err, 404, "BlobNotFound")
	_, err = b.Delete(ctx(t), nil)
	requireCode(t, err, 404, "BlobNotFound")
	_, err = s.client(t, "none").NewBlockBlobClient(name).Upload(ctx(t), body(""), nil)
	requireCode(t, err, 404, "ContainerNotFound")

	up, err := b.Upload(ctx(t), body("hello"), &blockblob.UploadOptions{
		Metadata:    map[string]*string{"ownerid": ptr(""), "Offset": ptr("7 8")},
		HTTPHeaders: &azblobblob.HTTPHeaders{BlobContentType: ptr("text/plain")},
	})
	require.NoError(t, err)
	// The MD5 of "hello".
	require.Equal(t, "\x5d\x41\x40\x2a\xbc\x4b\x2a\x76\xb9\x71\x9d\x91\x10\x17\xc5\x92", string(up.ContentMD5))

	down, err := b.DownloadStream(ctx(t), nil)
	require.NoError(t, err)
	content, err := io.ReadAll(down.Body)
	require.NoError(t, err)
	require.NoError(t, down.Body.Close())
	require.Equal(t, "hello", string(content))
	require.Equal(t, up.ETag, down.ETag)
	require.Equal(t, up.LastModified, down.LastModified)

	props, err := b.GetProperties(ctx(t), nil)
	require.NoError(t, err)
	require.Equal(t, int64(5), *props.ContentLength)
	require.Equal(t, "text/plain", *props.ContentType)
	require.Equal(t, azblobblob.BlobTypeBlockBlob, *props.BlobType)
	require.Equal(t, map[string]*string{"Ownerid": ptr(""), "Offset": ptr("7 8")}, props.Metadata)

	kept, there := s.Get("box", name)
	require.True(t, there)
	require.Equal(t, map[string]string{"ownerid": "", "offset": "7 8"}, kept.Metadata)
	require.Equal(t, string(*up.ETag), kept.ETag)

	again, err := b.Upload(ctx(t), body(""), nil)
	require.NoError(t, err)
	require.NotEqual(t, up.ETag, again.ETag)
	kept, _ = s.Get("box", name)
	require.Empty(t, kept.Metadata)
	require.Empty(t, kept.Content)

	_, err = b.Delete(ctx(t), nil)
	require.NoError(t, err)
	_, there = s.Get("box", name)
	require.False(t, there)
	require.Empty(t, s.Names("box", ""))
}

// Names of metadata are in lower case on the wire, because Python takes them as
// they come. The path is signed as it is sent, even where Go would escape it.
func TestMetadataNamesOnTheWire(t *testing.T) {
	onlyOurs(t, "is behind a proxy here, which spells headers as Go does")
	s := start(t, blob.Options{})
	require.NoError(t, s.Put("box", "b|c", nil, map[string]string{"OwnerID": "me"}))
	kept, _ := s.Get("box", "b|c")
	require.Equal(t, map[string]string{"ownerid": "me"}, kept.Metadata)

	date := time.Now().UTC().Format(http.TimeFormat)
	signature := hmacOf(
		t, s.key,
		"HEAD\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:"+date+"\nx-ms-version:2024-11-04\n/devstoreaccount1/devstoreaccount1/box/b|c",
	)
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = fmt.Fprintf(conn, "HEAD /devstoreaccount1/box/b|c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+
		"x-ms-version: 2024-11-04\r\nx-ms-date: %s\r\nAuthorization: SharedKey devstoreaccount1:%s\r\n\r\n", date, signature)
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "\r\nx-ms-meta-ownerid: me\r\n")
}

func TestRanges(t *testing.T) {
	s := bearer(t, blob.Options{})
	require.NoError(t, s.Put("box", "b", []byte("0123456789"), nil))
	require.NoError(t, s.Put("box", "empty", nil, nil))
	for _, test := range []struct {
		name, header, value string
		status              int
		content, rangeIs    string
		code                string
	}{
		{"b", "Range", "bytes=2-4", 206, "234", "bytes 2-4/10", ""},
		{"b", "x-ms-range", "bytes=7-", 206, "789", "bytes 7-9/10", ""},
		{"b", "Range", "bytes=8-100", 206, "89", "bytes 8-9/10", ""},
		{"b", "Range", "bytes=0-9223372036854775807", 206, "0123456789", "bytes 0-9/10", ""},
		{"b", "Range", "bytes=10-", 416, "", "bytes */10", "InvalidRange"},
		{"empty", "Range", "bytes=0-", 416, "", "bytes */0", "InvalidRange"},
		{"b", "Range", "bytes=-3", 400, "", "", "InvalidHeaderValue"},
		{"b", "Range", "bytes=4-2", 400, "", "", "InvalidHeaderValue"},
		{"b", "Range", "bytes=+1-2", 400, "", "", "InvalidHeaderValue"},
		{"b", "Range", "bytes=1-2,4-5", 400, "", "", "InvalidHeaderValue"},
		{"b", "Range", "lines=1-2", 400, "", "", "InvalidHeaderValue"},
		{"b", "Range", "bytes=7", 400, "", "", "InvalidHeaderValue"},
		{"b", "Range", "bytes=9223372036854775808-", 400, "", "", "InvalidHeaderValue"},
	} {
		r, err := http.NewRequestWithContext(ctx(t), "GET", s.url("box/"+test.name), nil)
		require.NoError(t, err)
		r.Header.Set("x-ms-version", "2024-11-04")
		r.Header.Set("Authorization", "Bearer good")
		r.Header.Set(test.header, test.value)
		resp, content := s.send(t, r)
		require.Equal(t, test.status, resp.StatusCode, "%v", test)
		require.Equal(t, test.rangeIs, resp.Header.Get("Content-Range"), "%v", test)
		require.Equal(t, test.code, resp.Header.Get("x-ms-error-code"), "%v", test)
		if test.code == "" {
			require.Equal(t, test.content, string(content))
		}
	}
	// The client has its own way of reading a part, with its MD5.
	part, err := s.withToken(t, "good").NewBlobClient("b").DownloadStream(ctx(t), &azblobblob.DownloadStreamOptions{
		Range: azblobblob.HTTPRange{Offset: 1, Count: 2}, RangeGetContentMD5: ptr(true),
	})
	require.NoError(t, err)
	require.NoError(t, part.Body.Close())
	// of "12"
	require.Equal(t, "\xc2\x0a\xd4\xd7\x6f\xe9\x77\x59\xaa\x27\xa0\xc9\x9b\xff\x67\x10", string(part.ContentMD5))
}

func TestRefusedPuts(t *testing.T) {
	s := bearer(t, blob.Options{MaxBlobSize: 10})
	require.NoError(t, s.CreateContainer("box"))
	long := strings.Repeat("v", 8<<10)
	for _, test := range []struct {
		name    string
		content string
		headers []string
		status  int
		code    string
	}{
		{"no type", "", nil, 400, "MissingRequiredHeader"},
		{"another type", "", []string{"x-ms-blob-type", "AppendBlob"}, 400, "InvalidHeaderValue"},
		{"too large", "12345678901", []string{"x-ms-blob-type", "BlockBlob"}, 413, "RequestBodyTooLarge"},
		{"sum", "1", []string{"x-ms-blob-type", "BlockBlob", "Content-MD5", "XUFAKrxLKna5cZ2REBfFkg=="}, 400, "Md5Mismatch"},
		{"crc", "1", []string{"x-ms-blob-type", "BlockBlob", "x-ms-content-crc64", "AAAAAAAAAAA="}, 400, "Crc64Mismatch"},
		{
			"long content type", "1", []string{"x-ms-blob-type", "BlockBlob", "x-ms-blob-content-type", long}, 400,
			"InvalidHeaderValue",
		},
		{"metadata name", "", []string{"x-ms-blob-type", "BlockBlob", "x-ms-meta-a-b", "1"}, 400, "InvalidMetadata"},
		{
			"metadata name with a digit first", "", []string{"x-ms-blob-type", "BlockBlob", "x-ms-meta-1a", "1"}, 400,
			"InvalidMetadata",
		},
		{"metadata value", "", []string{"x-ms-blob-type", "BlockBlob", "x-ms-meta-a", "é"}, 400, "InvalidMetadata"},
		{
			"metadata twice", "", []string{"x-ms-blob-type", "BlockBlob", "x-ms-meta-a", "1", "x-ms-meta-A", "2"}, 400,
			"InvalidMetadata",
		},
		{"metadata without a name", "", []string{"x-ms-blob-type", "BlockBlob", "x-ms-meta-", "1"}, 400, "EmptyMetadataKey"},
		{"metadata too large", "", []string{"x-ms-blob-type", "BlockBlob", "x-ms-meta-a", long}, 400, "MetadataTooLarge"},
		{
			"two conditions", "", []string{"x-ms-blob-type", "BlockBlob", "If-Match", "1", "If-None-Match", "2"}, 400,
			"MultipleConditionHeadersNotSupported",
		},
		{
			"two ETags", "", []string{"x-ms-blob-type", "BlockBlob", "If-Match", `"1","2"`}, 400,
			"MultipleConditionHeadersNotSupported",
		},
		{"no ETag", "", []string{"x-ms-blob-type", "BlockBlob", "If-Match", `""`}, 400, "InvalidHeaderValue"},
		{"no date", "", []string{"x-ms-blob-type", "BlockBlob", "If-Modified-Since", "today"}, 400, "InvalidHeaderValue"},
	} {
		resp, e := s.raw(t, "PUT", "box/b", test.content, test.headers...)
		require.Equal(t, test.code, e.Code, test.name)
		require.Equal(t, test.status, resp.StatusCode, test.name)
	}
	require.Empty(t, s.Names("box", ""))

	for name, code := range map[string]string{
		strings.Repeat("é", 1024): "",
		strings.Repeat("é", 1025): "OutOfRangeInput",
		"a\xffb":                  "InvalidUri",
	} {
		_, err := s.withToken(t, "good").NewBlockBlobClient(name).Upload(ctx(t), body(""), nil)
		if code == "" {
			require.NoError(t, err)
			continue
		}
		requireCode(t, err, 400, code)
	}

	// Bodies whose length isn't announced.
	for _, test := range []struct {
		path, content string
		status        int
		code          string
	}{
		{"box/b", "1", 411, "MissingContentLengthHeader"},
		{"box/b?comp=metadata", "12345678901", 413, "RequestBodyTooLarge"},
		{"box/b?comp=metadata", "1234567890", 404, "BlobNotFound"},
	} {
		r, err := http.NewRequestWithContext(ctx(t), "PUT", s.url(test.path), io.MultiReader(strings.NewReader(test.content)))
		require.NoError(t, err)
		r.Header.Set("x-ms-version", "2024-11-04")
		r.Header.Set("x-ms-blob-type", "BlockBlob")
		r.Header.Set("Authorization", "Bearer good")
		resp, _ := s.send(t, r)
		require.Equal(t, test.status, resp.StatusCode)
		require.Equal(t, test.code, resp.Header.Get("x-ms-error-code"))
	}
}

// The checksums that the client sends are checked, and correct ones pass.
func TestChecksums(t *testing.T) {
	onlyOurs(t, "has no CRC64")
	s := start(t, blob.Options{})
	b := s.created(t, "box").NewBlockBlobClient("b")
	_, err := b.Upload(ctx(t), body("hello"), &blockblob.UploadOptions{
		TransactionalValidation: azblobblob.TransferValidationTypeComputeCRC64(),
	})
	require.NoError(t, err)
	_, err = b.Upload(ctx(t), body("hello"), &blockblob.UploadOptions{
		TransactionalValidation: azblobblob.TransferValidationTypeMD5(
			[]byte("\x5d\x41\x40\x2a\xbc\x4b\x2a\x76\xb9\x71\x9d\x91\x10\x17\xc5\x92"),
		),
	})
	require.NoError(t, err)
}

func TestSetMetadata(t *testing.T) {
	s := start(t, blob.Options{})
	b := s.created(t, "box").NewBlobClient("b")
	set := func(owner string, on *azblobblob.AccessConditions) (azcore.ETag, error) {
		resp, err := b.SetMetadata(
			ctx(t), map[string]*string{"ownerid": &owner}, &azblobblob.SetMetadataOptions{AccessConditions: on},
		)
		if err != nil {
			return "", err
		}
		require.NotNil(t, resp.LastModified)
		return *resp.ETag, nil
	}
	_, err := set("a", nil)
	requireCode(t, err, 404, "BlobNotFound")
	_, err = set("a", ifMatch("0x1"))
	requireCode(t, err, 412, "ConditionNotMet") // as on Azurite

	require.NoError(t, s.Put("box", "b", []byte("content"), map[string]string{"other": "1"}))
	first, err := set("a", nil)
	require.NoError(t, err)
	second, err := set("b", ifMatch(first))
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	_, err = set("c", ifMatch(first))
	requireCode(t, err, 412, "ConditionNotMet")
	// Listings give ETags without quotation marks, and the checkpoint store sends
	// them that way.
	_, err = set("d", ifMatch(azcore.ETag(strings.Trim(string(second), `"`))))
	require.NoError(t, err)

	kept, _ := s.Get("box", "b")
	require.Equal(t, map[string]string{"ownerid": "d"}, kept.Metadata)
	require.Equal(t, "content", string(kept.Content))
}
