package blob_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	azblobblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

func TestPutConditions(t *testing.T) {
	onlyOurs(t, "lets If-Match: * pass where there is no blob")
	s := start(t, blob.Options{})
	b := s.created(t, "box").NewBlockBlobClient("b")
	put := func(on *azblobblob.AccessConditions) (blockblob.UploadResponse, error) {
		return b.Upload(ctx(t), body(""), &blockblob.UploadOptions{AccessConditions: on})
	}
	// A condition on a time means nothing for a blob that doesn't exist.
	_, err := put(&azblobblob.AccessConditions{
		ModifiedAccessConditions: &azblobblob.ModifiedAccessConditions{IfModifiedSince: ptr(time.Now())},
	})
	require.NoError(t, err)
	require.True(t, s.Delete("box", "b"))
	_, err = put(ifMatch("*"))
	requireCode(t, err, 412, "ConditionNotMet")
	_, err = put(ifMatch(`"0x1"`))
	requireCode(t, err, 412, "ConditionNotMet")
	first, err := put(ifNoneMatch("*"))
	require.NoError(t, err)
	_, err = put(ifNoneMatch("*"))
	requireCode(t, err, 409, "BlobAlreadyExists")
	_, err = put(ifNoneMatch(*first.ETag))
	requireCode(t, err, 412, "ConditionNotMet")
	second, err := put(ifMatch(*first.ETag))
	require.NoError(t, err)
	_, err = put(ifMatch(*first.ETag))
	requireCode(t, err, 412, "ConditionNotMet")
	_, err = put(ifNoneMatch(*first.ETag))
	require.NoError(t, err)
	_, err = b.Delete(ctx(t), &azblobblob.DeleteOptions{AccessConditions: ifMatch(*second.ETag)})
	requireCode(t, err, 412, "ConditionNotMet")
	_, err = b.Delete(ctx(t), &azblobblob.DeleteOptions{AccessConditions: ifMatch("*")})
	require.NoError(t, err)
}

// The table is that of "Specifying conditional headers for Blob service
// operations" in Azure's documentation.
func TestConditionsOnTimes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := bearer(t, blob.Options{Now: func() time.Time { return now }})
	const before, at, after = "Fri, 02 Jan 2026 03:04:04 GMT", "Fri, 02 Jan 2026 03:04:05 GMT",
		"Fri, 02 Jan 2026 03:04:06 GMT"
	require.NoError(t, s.Put("box", "b", nil, nil))
	for _, test := range []struct {
		headers     []string // CURRENT stands for the blob's ETag
		read, write int
	}{
		{[]string{"If-Modified-Since", before}, 200, 200},
		{[]string{"If-Modified-Since", at}, 304, 412},
		{[]string{"If-Unmodified-Since", before}, 412, 412},
		{[]string{"If-Unmodified-Since", at}, 200, 200},
		{[]string{"If-Match", "CURRENT"}, 200, 200},
		{[]string{"If-Match", "*"}, 200, 200},
		{[]string{"If-Match", "0x1"}, 412, 412},
		{[]string{"If-None-Match", "CURRENT"}, 304, 412},
		{[]string{"If-None-Match", "0x1"}, 200, 200},
		{[]string{"If-None-Match", "*"}, 400, 412},
		{[]string{"If-None-Match", "0x1", "If-Modified-Since", after}, 200, 200},
		{[]string{"If-None-Match", "CURRENT", "If-Modified-Since", before}, 200, 412},
		{[]string{"If-None-Match", "CURRENT", "If-Modified-Since", after}, 304, 412},
		{[]string{"If-Match", "CURRENT", "If-Unmodified-Since", before}, 412, 200},
		{[]string{"If-Match", "CURRENT", "If-None-Match", "0x1"}, 200, 400},
	} {
		kept, _ := s.Get("box", "b")
		headers := slices.Clone(test.headers)
		for i := range headers {
			headers[i] = strings.ReplaceAll(headers[i], "CURRENT", kept.ETag)
		}
		for _, method := range []string{"HEAD", "GET"} {
			resp, _ := s.raw(t, method, "box/b", "", headers...)
			require.Equal(t, test.read, resp.StatusCode, "%s %v", method, test.headers)
			if resp.StatusCode == http.StatusNotModified {
				require.Equal(t, "ConditionNotMet", resp.Header.Get("x-ms-error-code"))
			}
		}
		resp, _ := s.raw(t, "PUT", "box/b?comp=metadata", "", headers...)
		require.Equal(t, test.write, resp.StatusCode, "write %v", test.headers)
	}
}
