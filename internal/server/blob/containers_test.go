package blob_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/stretchr/testify/require"

	"github.com/go-eventhubs/eventhubs/internal/server/blob"
)

func TestContainers(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)
	s := start(t, blob.Options{Now: func() time.Time { return now }})
	// The date of the signature must be near the account's clock.
	c := s.at(t, "checkpoints", now)

	_, err := c.GetProperties(ctx(t), nil)
	requireCode(t, err, 404, "ContainerNotFound")
	_, err = c.Delete(ctx(t), nil)
	requireCode(t, err, 404, "ContainerNotFound")

	created, err := c.Create(ctx(t), &container.CreateOptions{Metadata: map[string]*string{"team": ptr("red")}})
	require.NoError(t, err)
	require.Equal(t, now.Truncate(time.Second), created.LastModified.UTC())
	require.Regexp(t, `^"0x[0-9A-F]+"$`, string(*created.ETag))
	require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, *created.RequestID)
	require.Equal(t, now.Truncate(time.Second), created.Date.UTC())

	_, err = c.Create(ctx(t), nil)
	requireCode(t, err, 409, "ContainerAlreadyExists")

	props, err := c.GetProperties(ctx(t), nil)
	require.NoError(t, err)
	require.Equal(t, created.ETag, props.ETag)
	require.Equal(t, "red", *props.Metadata["Team"]) // the client changes names to Go's form

	_, err = c.Delete(ctx(t), &container.DeleteOptions{AccessConditions: &container.AccessConditions{
		ModifiedAccessConditions: &container.ModifiedAccessConditions{IfUnmodifiedSince: ptr(now.Add(-time.Hour))},
	}})
	requireCode(t, err, 412, "ConditionNotMet")

	require.NoError(t, s.Put("checkpoints", "b", []byte("x"), nil))
	_, err = c.Delete(ctx(t), nil)
	require.NoError(t, err)
	_, there := s.Get("checkpoints", "b")
	require.False(t, there)
	_, err = c.NewBlobClient("b").GetProperties(ctx(t), nil)
	requireCode(t, err, 404, "ContainerNotFound")
}

func TestContainerNames(t *testing.T) {
	onlyOurs(t, "lets names pass that the service refuses")
	s := start(t, blob.Options{})
	for name, code := range map[string]string{
		"abc":                   "",
		"0-a-9":                 "",
		strings.Repeat("a", 63): "",
		"ab":                    "OutOfRangeInput",
		strings.Repeat("a", 64): "OutOfRangeInput",
		"Abc":                   "InvalidResourceName",
		"a_c":                   "InvalidResourceName",
		"-abc":                  "InvalidResourceName",
		"abc-":                  "InvalidResourceName",
		"a--c":                  "InvalidResourceName",
		"$root":                 "InvalidResourceName",
		"käse":                  "InvalidResourceName",
	} {
		_, err := s.client(t, name).Create(ctx(t), nil)
		if code == "" {
			require.NoError(t, err, name)
			continue
		}
		requireCode(t, err, 400, code)
	}
}

// The server must refuse what it does not know, not ignore it.
func TestUnsupported(t *testing.T) {
	s := bearer(t, blob.Options{})
	require.NoError(t, s.Put("box", "b", []byte("content"), nil))
	for _, test := range []struct {
		method, path string
		header       string
		status       int
		code         string
	}{
		{"GET", "", "", 400, "InvalidUri"},
		{"GET", "?comp=list", "", 400, "InvalidUri"},
		{"GET", "box", "", 400, "MissingRequiredQueryParameter"},
		{"GET", "box?restype=share", "", 400, "InvalidQueryParameterValue"},
		{"GET", "box/b?restype=container", "", 400, "InvalidQueryParameterValue"},
		{"GET", "box?restype=container&comp=acl", "", 400, "InvalidQueryParameterValue"},
		{"PUT", "box/b?comp=block&blockid=MQ==", "", 400, "InvalidQueryParameterValue"},
		{"GET", "box/b?a;b", "", 400, "InvalidQueryParameterValue"},
		{"GET", "box/b?snapshot=2026-01-01", "", 400, "UnsupportedQueryParameter"},
		{"GET", "box/b?prefix=x", "", 400, "UnsupportedQueryParameter"},
		{"GET", "box?restype=container&comp=list&startFrom=a", "", 400, "UnsupportedQueryParameter"},
		{"POST", "box/b", "", 405, "UnsupportedHttpVerb"},
		{"DELETE", "box?restype=container&comp=list", "", 405, "UnsupportedHttpVerb"},
		{"PUT", "box/b", "x-ms-copy-source", 400, "UnsupportedHeader"},
		{"GET", "box/b", "x-ms-if-tags", 400, "UnsupportedHeader"},
		{"GET", "box/b", "x-ms-lease-id", 412, "LeaseNotPresentWithBlobOperation"},
	} {
		headers := []string{}
		if test.header != "" {
			headers = append(headers, test.header, "1")
		}
		resp, e := s.raw(t, test.method, test.path, "", headers...)
		require.Equal(t, test.code, e.Code, "%v", test)
		require.Equal(t, test.status, resp.StatusCode, "%v", test)
	}
	resp, e := s.raw(t, "DELETE", "box/b", "", "x-ms-delete-snapshots", "only")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Equal(t, "UnsupportedHeader", e.Code)
	require.Contains(t, e.Message, "x-ms-delete-snapshots")
	_, there := s.Get("box", "b")
	require.True(t, there)
}

func TestHeadOfContainer(t *testing.T) {
	s := bearer(t, blob.Options{})
	resp, _ := s.raw(t, "HEAD", "box?restype=container", "")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	require.Equal(t, "ContainerNotFound", resp.Header.Get("x-ms-error-code"))
	require.NoError(t, s.CreateContainer("box"))
	resp, _ = s.raw(t, "HEAD", "box?restype=container", "", "x-ms-client-request-id", "mine")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "2024-11-04", resp.Header.Get("x-ms-version"))
	require.Equal(t, "mine", resp.Header.Get("x-ms-client-request-id"))
}
